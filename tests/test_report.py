"""The report of an evaluation: one file with correct values, safe with any name."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from aesop.evaluation.curves import MeasuredCurve
from aesop.evaluation.results import Evaluation, ModelFile, Result
from aesop.files import short_path
from aesop.reports.plots import chart, mark
from aesop.reports.report import breakable, find_starts, report, report_text
from report_samples import HOSTILE, Parsed, evaluated, evaluation, training


def test_nothing_outside_the_file_is_referred_to(tmp_path: Path):
    report(evaluation(), tmp_path / "r.html", [evaluated("p0")], published=True, training=training())
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    parsed = Parsed(text)
    for tag, attributes in parsed.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:image/"))
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_links_lead_to_parts_of_the_page():
    parsed = Parsed(report_text(evaluation(), training=training()))
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in parsed.of("a")} <= set(ids)


def test_the_scripts_are_those_that_the_policy_admits():
    parsed = Parsed(report_text(evaluation(HOSTILE)))
    code = [s for s, a in zip(parsed.scripts, parsed.of("script"), strict=True) if not a]
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in code]
    policy = next(m["content"] for m in parsed.of("meta") if "http-equiv" in m)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    assert len(code) == 2
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}"
    assert "innerHTML" not in code[1]


def test_hostile_names_are_text():
    pages = [
        Parsed(report_text(evaluation(name, name), [evaluated(name, model=name)], training=training(name)))
        for name in ("p1", HOSTILE)
    ]
    shapes = [[(tag, set(a)) for tag, a in parsed.elements if tag != "wbr"] for parsed in pages]
    assert shapes[0] == shapes[1]
    assert HOSTILE in pages[1].text
    assert {HOSTILE, "LR", "bicubic", "HR"} == {f["data-title"] for f in pages[1].of("figure") if "data-title" in f}
    # Plotly takes tags of names for its own.
    names = [trace["name"] for trace in pages[1].data["plot"]["traces"]["Set5"]]
    assert names == ["bicubic", html.escape(HOSTILE)]


def test_missing_values_and_their_reasons_are_shown():
    shown = Parsed(report_text(evaluation(), [])).plain
    assert "FID: no weights: <none>" in shown
    assert "RealSRSet: has no HR pictures, so there is no PSNR, FID" in shown
    assert "net psnr: broken & <b>bold</b>" in shown
    assert "Set5/p1: is greyscale among colour" in shown
    assert "26.125 (4 of 5)" in shown
    assert "12.500" in shown
    assert "bicubic 30.000 7.1000 net – 5.2000" in shown  # p1 by itself, where the network failed
    assert "bicubic ∞ 7.4000 net 23.000" in shown


def test_cells_sort_by_the_full_value():
    cells = Parsed(report_text(evaluation())).of("td")
    # psnr, fid and niqe of both models, in full precision; missing values have none
    assert [cell.get("data-value") for cell in cells][:6] == ["27.0", None, "7.2", "26.125", "12.5", "5.2"]


def test_significant_differences_are_better_or_worse():
    text = report_text(evaluation())
    assert re.search(r'<td class="better" data-value="-2\.0\d*">▲ −2\.0000<', text)
    assert 'class="worse" data' not in text


def test_the_papers_numbers_stand_in_a_table_of_their_own():
    found = evaluation()
    for result in found.results:
        result.benchmark = result.benchmark.replace("Set5", "Set14")
    found.benchmarks[0] = "Set14"
    found.failures, found.notes = [], []
    text = report_text(found, published=True)
    parsed = Parsed(text)
    body = text[text.index('<details class="paper">') :].replace("<wbr>", "")
    assert re.search(r'AESOP RRDB-256, tables [\d, ]+</span></span></th><td data-value="27\.246">27\.246<', body)
    (printed,) = (trace for trace in parsed.data["plot"]["traces"]["Set14"] if trace.get("visible") == "legendonly")
    point = next(i for i, note in enumerate(printed["notes"]) if "AESOP RRDB-256" in note)
    assert (printed["values"]["psnr"][point], printed["text"]["psnr"][point]) == (27.246, "PSNR 27.246 dB")
    assert "What the paper prints" not in report_text(found)


def test_columns_without_a_value_are_dropped():
    found = evaluation()
    for result in found.results:
        if result.metric == "fid":
            result.set_value, result.unavailable = None, "no weights"
    assert re.findall(r"<button[^>]*>([^<]*)", report_text(found))[:3] == ["model", "PSNR ↑ dB", "NIQE ↓"]
    assert "FID: no weights" in Parsed(report_text(found)).plain
    found.benchmarks, found.results = ["S"], [Result(m, "S", 4, "psnr", {"a": None}) for m in found.models]
    found.metrics = ["psnr"]
    assert "Nothing could be measured here." in report_text(found)


def test_what_the_interval_cannot_tell_from_the_best_is_underlined():
    values = {"best": [1.0, 2.0, 3.0, 4.0, 5.0], "alike": [1.1, 1.8, 3.1, 3.7, 5.1], "worse": [2.0, 3.0, 4.0, 5.0, 6.0]}
    results = [Result(m, "S", 4, "niqe", {f"p{i}": v for i, v in enumerate(of)}) for m, of in values.items()]
    text = report_text(Evaluation(list(values), ["S"], ["niqe"], results, against="worse"))
    assert re.findall(r'<td(?: class="(\w+)")? data-value="[\d.]+">', text)[:3] == ["tie", "best", ""]


def test_files_are_named_without_the_folders_above_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    found = evaluation()
    found.files = {"net": ModelFile(f"{tmp_path}/runs/net_a", "0123456789abcdef"), "bicubic": ModelFile("/x/y/b", "1")}
    found.autoencoder = ModelFile("runs/ae", "fedcba9876543210")
    found.failures[0] = replace(found.failures[0], reason=f"{tmp_path}/HR/p1.png: is damaged, as is /x/y/z.png")
    text = report_text(found)
    shown = Parsed(text.replace("<wbr>", "")).plain
    assert "runs/net_a sha256 0123456789ab " in shown
    assert "Auto-encoder runs/ae sha256 fedcba987654 " in shown
    assert "psnr: HR/p1.png: is damaged, as is z.png" in shown
    assert str(tmp_path) not in text
    assert "/x/y" not in text
    assert short_path("../b") == "../b"
    said = found.to_json()
    assert "runs/net_a" in said
    assert str(tmp_path) not in said
    assert "/x/y" not in said


def test_starts_are_found_in_run_folders(tmp_path: Path):
    for name in ("one/fidelity", "one/perceptual", "two/perceptual"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "generator.safetensors").write_bytes(name.encode())
    fidelity = tmp_path / "one/fidelity/generator.safetensors"
    (tmp_path / "two/recipe.yaml").write_text(f"fidelity: {{weights: {fidelity}}}\n")
    (tmp_path / "two/run.json").write_text("{}")
    paths = {"f": fidelity, "one": tmp_path / "one", "two": tmp_path / "two/perceptual/generator.safetensors"}
    contents = {
        name: hashlib.sha256(fidelity.read_bytes() if name == "f" else name.encode()).hexdigest() for name in paths
    }
    files = {name: ModelFile(str(path), contents[name]) for name, path in paths.items()}
    assert find_starts(files) == {"one": "f", "two": "f"}
    assert find_starts({name: file for name, file in files.items() if name != "f"}) == {}


def test_a_curve_has_the_colour_of_the_model_it_ends_in():
    def colours(end: Evaluation) -> tuple[str, str]:
        curve = MeasuredCurve("c", {"start": "a", "end": "b"}, end)
        traces = Parsed(report_text(found, curves=[curve])).data["plot"]["traces"]["Set5"]
        return traces[0]["line"]["color"], traces[2]["marker"]["color"]

    found = evaluation()
    end = Evaluation(["a", "b"], ["Set5"], ["psnr"], [Result("b", "Set5", 4, "psnr", {"p0": 1.0})])
    other, net = colours(end)
    assert other != net
    # A run's last checkpoint is a different file from its generator, with the same means.
    end.results = [replace(result, model="b") for result in found.results if result.model == "net"][1:]
    assert colours(end) == (net, net)


def test_a_plot_needs_two_metrics_and_says_when_none_is_perceptual():
    found = evaluation()
    plot = Parsed(report_text(found)).data["plot"]
    assert (plot["x"], plot["y"], plot["measured"]) == ("psnr", "niqe", ["psnr", "fid", "niqe"])
    assert "No perceptual metric" not in report_text(found)
    for result in found.results:
        result.metric = result.metric.replace("niqe", "ssim").replace("fid", "lr-psnr")
    found.metrics = ["psnr", "lr-psnr", "ssim"]
    assert "No perceptual metric was measured, so this is no perception-distortion plot." in report_text(found)
    found.results = [result for result in found.results if result.metric == "psnr"]
    found.metrics = ["psnr"]
    parsed = Parsed(report_text(found))
    assert parsed.data["plot"] is None
    assert len(parsed.scripts) == 2, "nothing to draw, and no Plotly"


def test_intervals_of_differences_stand_at_the_models():
    found = evaluation()
    trace = Parsed(report_text(found)).data["plot"]["traces"]["Set5"][1]
    difference = next(d for d in found.differences() if (d.benchmark, d.metric) == ("Set5", "niqe"))
    assert difference.interval is not None
    low, high = (abs(end - difference.difference) for end in difference.interval)
    assert trace["intervals"]["niqe"] == pytest.approx([low, high])
    assert trace["text"]["niqe"][0].startswith("NIQE 5.2000<br>  from bicubic: −2.0000 (−2.")


def test_a_model_far_from_the_others_starts_hidden():
    values = {"bicubic": 20.0, "a": 30.0, "b": 30.1, "c": 30.2}
    results = [Result(m, "S", 4, metric, {"p": v}) for m, v in values.items() for metric in ("psnr", "niqe")]
    traces = Parsed(report_text(Evaluation(list(values), ["S"], ["psnr", "niqe"], results))).data["plot"]["traces"]["S"]
    assert [trace["far"] for trace in traces] == [{"psnr": True, "niqe": True}, {}, {}, {}]


def test_models_have_marks_of_their_own():
    assert len({mark(number) for number in range(64)}) == 64


def test_names_break_where_words_end():
    assert breakable("a_b-c/d.e<") == "a_<wbr>b-<wbr>c/<wbr>d.<wbr>e&lt;"


def test_the_training_is_told():
    told = training(facts=[("pictures", "3 held out")], commands=[("Next", "aesop upscale <x>")])
    parsed = Parsed(report_text(evaluation(), training=told))
    for text in (
        "31.25 dB",
        "30.25 dB",
        "45.68 dB",
        "keeps 1.00 dB more of HR than LR allows",
        "3 held out",
        "aesop upscale <x>",
    ):
        assert text in parsed.plain
    charts = {one["title"]: one for one in parsed.data["charts"]}
    assert list(charts) == [
        "Fidelity stage", "Auto-encoder stage", "Fidelity term", "Perceptual term", "Artifact term", "Adversarial term",
        "Discriminator", "PSNR along the perceptual stage", "AE-PSNR along the perceptual stage",
    ]  # fmt: skip
    assert charts["Fidelity stage"]["traces"][0]["y"] == [9.0 / i for i in range(1, 31)]


@pytest.mark.parametrize(("best", "x", "y"), [(max, [1], [3.0]), (min, [4], [1.0])])
def test_a_star_marks_the_best(best: Callable[[Sequence[float]], float], x: list[int], y: list[float]):
    _, star = chart([("a<b", 0, [1, 2, 4], [3.0, 2.0, 1.0])], logarithmic=False, best=best)["traces"]
    assert (star["x"], star["y"], star["mode"], star["marker"]["symbol"]) == (x, y, "markers", "star")


def test_smoothing_keeps_a_line_straight_and_leaves_a_short_curve_unchanged():
    line = [3.0 + 0.5 * i for i in range(60)]
    faint, smooth = chart([("a<b", 0, list(range(60)), line)], logarithmic=True)["traces"]
    assert (faint["y"], faint["name"]) == (line, "a&lt;b")
    assert smooth["y"][3:-3] == pytest.approx(line[3:-3])
    (short,) = chart([("", 0, list(range(20)), line[:20])], logarithmic=False)["traces"]
    assert short["y"] == line[:20]
