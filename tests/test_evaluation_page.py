"""The report of an evaluation: one file, true to the values, safe with any name, no larger than allowed."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer import Typer
from typer.testing import CliRunner

from aesop.cli.evaluate import evaluate as evaluate_command
from aesop.data.bicubic import resize
from aesop.data.pictures import write_picture
from aesop.errors import AesopError
from aesop.evaluation.curves import CurvePoint, MeasuredCurve, open_curves
from aesop.evaluation.evaluate import evaluate
from aesop.evaluation.pictures import pictures
from aesop.evaluation.results import Evaluation, ModelFile, Result
from aesop.networks.srvgg import SRVGGConfig
from aesop.networks.state_dicts import write_state
from aesop.report.markup import breakable, mark
from aesop.report.page import page, write_page
from page_samples import HOSTILE, Parsed, evaluation, filled, noise, upscaled


def test_nothing_outside_the_file_is_referred_to(tmp_path: Path):
    write_page(evaluation(), tmp_path / "r.html", filled(upscaled("p0")), published=True)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    parsed = Parsed(text)
    for tag, attributes in parsed.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:image/"))
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(m["content"] for m in parsed.of("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_links_lead_to_places_of_the_page():
    parsed = Parsed(page(evaluation()))
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in parsed.of("a")} <= set(ids)


def test_the_script_is_the_one_that_the_policy_admits():
    import hashlib

    parsed = Parsed(page(evaluation(HOSTILE)))
    code = [s for s, a in zip(parsed.scripts, parsed.of("script"), strict=True) if not a]
    digest = base64.b64encode(hashlib.sha256(code[0].encode()).digest()).decode()
    policy = next(m["content"] for m in parsed.of("meta") if "http-equiv" in m)
    assert len(code) == 1
    assert f"script-src 'sha256-{digest}'" in policy
    assert "innerHTML" not in code[0]


@pytest.mark.parametrize("name", ["net", HOSTILE])
def test_the_embedded_values_are_the_evaluations(name: str):
    found = evaluation(name, name)
    parsed = Parsed(page(found))
    embedded = dict(zip((a.get("id") for a in parsed.of("script")), parsed.scripts, strict=True))
    assert json.loads(embedded["evaluation"]) == json.loads(found.to_json())
    assert json.loads(embedded["page"])["metrics"]["niqe"]["higher"] is False


def test_hostile_names_are_text():
    plain = Parsed(page(evaluation(), filled(upscaled("p1"))))
    hostile = Parsed(page(evaluation(HOSTILE, HOSTILE), filled(upscaled(HOSTILE, model=HOSTILE)), published=False))
    shapes = [[(tag, set(a)) for tag, a in parsed.elements if tag != "wbr"] for parsed in (plain, hostile)]
    assert shapes[0] == shapes[1]
    assert HOSTILE in hostile.text
    assert {HOSTILE, "LR", "bicubic", "HR"} == {figure["data-title"] for figure in hostile.of("figure")}


def test_missing_values_and_their_reasons_are_shown():
    parsed = Parsed(page(evaluation(), filled()))
    shown = re.sub(r"\s+", " ", parsed.text)
    assert "FID: no weights: <none>" in shown
    assert "RealSRSet: has no HR pictures, so there is no PSNR, FID" in shown
    assert "net psnr: broken & <b>bold</b>" in shown
    assert "Set5/p1: is greyscale among colour" in shown
    assert "26.125 (4 of 5)" in shown
    assert "12.500" in shown
    assert "bicubic 30.000 7.1000 net – 5.2000" in shown  # p1 by itself, where the network failed
    assert "bicubic ∞ 7.4000 net 23.000" in shown
    assert parsed.of("img") == []


def test_cells_sort_by_the_full_value():
    parsed = Parsed(page(evaluation()))
    first_table = [cell.get("data-value") for cell in parsed.of("td")][:6]
    # psnr, fid and niqe of both models, in full; what is missing has none
    assert first_table == ["27.0", None, "7.2", "26.125", "12.5", "5.2"]


def test_significant_differences_are_marked_as_better_or_worse():
    text = page(evaluation())
    assert re.search(r'<td class="better" data-value="-2\.0\d*">▲ −2\.0000<', text)
    assert 'class="worse" data' not in text


def test_the_papers_numbers_stand_in_a_body_of_their_own():
    found = evaluation()
    for result in found.results:
        result.benchmark = result.benchmark.replace("Set5", "Set14")
    found.benchmarks[0] = "Set14"
    found.failures, found.notes = [], []
    text = page(found, published=True)
    body = text[text.index('<details class="paper">') :]
    assert re.search(r'AESOP RRDB-256, tables [\d, ]+</span></th><td data-value="27\.246">27\.246<', body)
    assert "What the paper prints" not in page(found)


def plain(text: str) -> str:
    """What a page says, without breaks."""
    return re.sub(r"\s+", " ", Parsed(text.replace("<wbr>", "")).text)


def test_columns_without_a_value_are_dropped():
    found = evaluation()
    for result in found.results:
        if result.metric == "fid":
            result.set_value, result.unavailable = None, "no weights"
    assert re.findall(r"<button[^>]*>([^<]*)", page(found))[:3] == ["model", "PSNR ↑ dB", "NIQE ↓"]
    assert "FID: no weights" in plain(page(found))
    found.benchmarks, found.results = ["S"], [Result(m, "S", 4, "psnr", {"a": None}) for m in found.models]
    found.metrics = ["psnr"]
    assert "Nothing could be measured here." in page(found)


def test_what_the_interval_cannot_tell_from_the_best_is_underlined():
    values = {"best": [1.0, 2.0, 3.0, 4.0, 5.0], "alike": [1.1, 1.8, 3.1, 3.7, 5.1], "worse": [2.0, 3.0, 4.0, 5.0, 6.0]}
    results = [Result(m, "S", 4, "niqe", {f"p{i}": v for i, v in enumerate(of)}) for m, of in values.items()]
    text = page(Evaluation(list(values), ["S"], ["niqe"], results, against="worse"))
    assert re.findall(r'<td(?: class="(\w+)")? data-value="[\d.]+">', text)[:3] == ["tie", "best", ""]


def test_the_files_that_were_measured_are_named():
    found = evaluation()
    found.files = {"net": ModelFile("runs/net_a", "0123456789abcdef")}
    found.autoencoder = ModelFile("runs/ae", "fedcba9876543210")
    said = plain(page(found))
    assert "runs/net_a sha256 0123456789ab " in said
    assert "Auto-encoder runs/ae sha256 fedcba987654 " in said
    assert "torch 2.9" in said
    # Nothing is told of a metric that has no value.
    assert "FID : of all SR" in said
    found.results = [result for result in found.results if result.metric != "fid"]
    found.metrics.remove("fid")
    assert "of all SR" not in plain(page(found))


def test_a_curve_has_the_mark_of_the_model_it_ends_in():
    def marks(end: Evaluation) -> tuple[object, object]:
        curve = MeasuredCurve("c", [CurvePoint("start", "a"), CurvePoint("end", "b")], evaluation=end)
        document = Parsed(page(found, curves=[curve]))
        embedded = dict(zip((a.get("id") for a in document.of("script")), document.scripts, strict=True))
        told = json.loads(embedded["page"])
        return told["curves"][0]["mark"], told["marks"]["net"]

    found = evaluation()
    end = Evaluation(["a", "b"], ["Set5"], ["psnr"], [Result("b", "Set5", 4, "psnr", {"p0": 1.0})])
    other, net = marks(end)
    assert other != net
    # The same file, then another file of the same means, as a run's last checkpoint is.
    found.files, end.files = {"net": ModelFile("x", "1")}, {"b": ModelFile("y", "1")}
    assert marks(end) == (net, net)
    end.files = {"b": ModelFile("y", "2")}
    assert marks(end) == (other, net)
    end.results = [replace(result, model="b") for result in found.results if result.model == "net"]
    assert marks(end) == (net, net)


def test_there_is_a_plot_where_two_metrics_have_values():
    found = evaluation()
    assert 'href="#plot"' in page(found)
    found.results = [result for result in found.results if result.metric == "psnr"]
    found.metrics = ["psnr"]
    assert 'href="#plot"' not in page(found)


def test_models_have_marks_of_their_own():
    assert len({mark(number) for number in range(64)}) == 64


def test_names_break_where_words_end():
    assert breakable("a_b-c/d.e<") == "a_<wbr>b-<wbr>c/<wbr>d.<wbr>e&lt;"


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a", "b")):
        write_picture(tmp_path / "bench/HR" / f"{name}.png", noise(24, 32, seed).permute(1, 2, 0).numpy())
    return tmp_path / "bench"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    network = SRVGGConfig(type="srvgg", features=4, convs=0).build(4)
    write_state(tmp_path / "net.safetensors", network.state_dict(), {})
    return tmp_path / "net.safetensors"


@pytest.mark.parametrize("cache", [True, False])
def test_pictures_are_handed_out_with_what_every_model_made_of_them(
    bench: Path, model: Path, cache: bool, tmp_path: Path
):
    (bench / "HR/c.png").write_bytes(b"no picture")
    for _ in range(2):
        found = evaluate(["bicubic", model], [bench], metrics=["psnr"], cache=cache, sr_folder=tmp_path / "sr")
        seen = list(pictures(found))
        assert [picture.name for picture in seen] == ["a", "b"]
        for picture in seen:
            assert torch.equal(picture.sr["bicubic"], resize(picture.lr, 4))
            assert picture.hr is not None
            assert picture.sr["net"].shape == picture.hr.shape
    with pytest.raises(AesopError, match="sr_folder"):
        list(pictures(evaluate(["bicubic"], [bench], metrics=["psnr"])))


def run(*arguments: object):
    app = Typer()
    app.command()(evaluate_command)
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_the_command_writes_a_report_with_a_curve(bench: Path, model: Path, tmp_path: Path):
    other = tmp_path / "other.safetensors"
    network = SRVGGConfig(type="srvgg", features=4, convs=0).build(4)
    write_state(other, network.state_dict(), {})
    report = tmp_path / "out" / "r.html"
    done = run(
        "bicubic", model, other, "--benchmark", bench, "--metrics", "psnr,ssim", "--report", report,
        "--curve", f"{model}:{other}", "--processes", 1,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    parsed = Parsed(report.read_text(encoding="utf-8"))
    assert len(parsed.of("img")) == 2 * 5
    embedded = dict(zip((a.get("id") for a in parsed.of("script")), parsed.scripts, strict=True))
    curve = json.loads(embedded["page"])["curves"][0]
    assert curve["title"] == "net to other"
    assert [point["note"] for point in curve["points"]][::5] == ["alpha 0", "alpha 1"]
    means = {(r["model"], r["metric"]): r["mean"] for r in json.loads(embedded["evaluation"])["results"]}
    for point, name in ((curve["points"][0], "net"), (curve["points"][-1], "other")):
        assert point["means"]["bench"] == {metric: means[name, metric] for metric in ("psnr", "ssim")}


def test_curves_that_nothing_can_be_made_of_are_refused(model: Path, tmp_path: Path):
    for text in ("net", f"{model}", f"{model}:missing"):
        with pytest.raises(AesopError, match="A:B"):
            open_curves([text], tmp_path)
    run_folder = tmp_path / "run"
    (run_folder / "perceptual").mkdir(parents=True)
    own = run_folder / "perceptual/generator.safetensors"
    own.write_bytes(model.read_bytes())
    for same in (f"{model}:{model}", f"{model}:{model.parent}/./{model.name}", f"{run_folder}:{own}"):
        with pytest.raises(AesopError, match="are one network; name two"):
            open_curves([same], tmp_path)
    with pytest.raises(AesopError, match="perceptual: has no snapshots"):
        open_curves([str(tmp_path)], tmp_path)
    other = model.with_name("other.safetensors")
    other.write_bytes(model.read_bytes())
    with pytest.raises(AesopError, match="--report"):
        raise run("bicubic", "--benchmark", "none", "--curve", f"{model}:{other}").exception or AssertionError


def test_a_runs_checkpoints_are_a_curve(bench: Path, model: Path, tmp_path: Path):
    run_folder = tmp_path / "long"
    for name in ("fidelity/generator", "perceptual/snapshots/00000010", "perceptual/snapshots/00000020"):
        path = run_folder / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model.read_bytes())
    curves, scale = open_curves([f"{run_folder}/"], tmp_path)
    assert [point.note for point in curves[0].points] == ["iteration 0", "iteration 10", "iteration 20"]
    assert scale == 4
    assert open_curves([f"Ours={run_folder}"], tmp_path)[0][0].title == "Ours's training"
    report = tmp_path / "r.html"
    done = run("bicubic", "--benchmark", bench, "--metrics", "psnr", "--report", report, "--curve", run_folder)
    assert done.exit_code == 0, done.output
    parsed = Parsed(report.read_text(encoding="utf-8"))
    embedded = dict(zip((a.get("id") for a in parsed.of("script")), parsed.scripts, strict=True))
    curve = json.loads(embedded["page"])["curves"][0]
    assert curve["title"] == "long's training"
    assert [point["note"] for point in curve["points"]] == ["iteration 0", "iteration 10", "iteration 20"]


def test_curves_have_the_scale_of_the_models(bench: Path, model: Path, tmp_path: Path):
    double = {}
    for name in ("one", "two"):
        double[name] = tmp_path / f"{name}.safetensors"
        write_state(double[name], SRVGGConfig(type="srvgg", features=4, convs=0).build(2).state_dict(), {})
    pair = f"{double['one']}:{double['two']}"
    report = tmp_path / "r.html"
    with pytest.raises(AesopError, match="is for scale 4, not for 2"):
        raise run(model, "--benchmark", bench, "--report", report, "--curve", pair).exception or AssertionError
    other = tmp_path / "other.safetensors"
    other.write_bytes(model.read_bytes())
    with pytest.raises(AesopError, match="draw each scale by itself"):
        open_curves([f"{model}:{other}", pair], tmp_path)


def test_what_goes_wrong_on_a_curve_is_told(bench: Path, model: Path, tmp_path: Path):
    run_folder = tmp_path / "long"
    good, bad = (run_folder / f"perceptual/snapshots/000000{n}0.safetensors" for n in (1, 2))
    good.parent.mkdir(parents=True)
    good.write_bytes(model.read_bytes())
    network = SRVGGConfig(type="srvgg", features=4, convs=0).build(4)
    write_state(bad, {name: value * float("nan") for name, value in network.state_dict().items()}, {})
    report = tmp_path / "r.html"
    command = ("bicubic", "--benchmark", bench, "--metrics", "psnr", "--report", report, "--curve", run_folder)
    done = run(*command)
    assert done.exit_code == 2
    assert "long's training, iteration 20: " in done.output
    parsed = Parsed(report.read_text(encoding="utf-8"))
    embedded = dict(zip((a.get("id") for a in parsed.of("script")), parsed.scripts, strict=True))
    assert [bool(point["means"]) for point in json.loads(embedded["page"])["curves"][0]["points"]] == [True, False]
    assert "long's training, iteration 20: " in parsed.text
    report.unlink()
    bad.write_bytes(b"half a file")
    done = run(*command)
    assert "20.safetensors" in str(done.exception)
    assert not report.exists()
