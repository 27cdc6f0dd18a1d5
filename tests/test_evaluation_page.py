"""The report of an evaluation: one file, true to the values, safe with any name, no larger than allowed."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from typer import Typer
from typer.testing import CliRunner

from aesop.cli_evaluate import evaluate as evaluate_command
from aesop.data.bicubic import resize
from aesop.data.pictures import write_picture
from aesop.errors import AesopError
from aesop.evaluation.evaluate import Upscaled, evaluate
from aesop.evaluation.page.curves import common_scale, open_routes
from aesop.evaluation.page.gallery import Gallery
from aesop.evaluation.page.page import page, write_page
from aesop.evaluation.results import NO_GROUND_TRUTH, Evaluation, Failure, Note, Result
from aesop.networks.srvgg import SRVGGConfig
from aesop.networks.state_dicts import write_state

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
VOID = {"meta", "img", "input", "br"}


class Parsed(HTMLParser):
    """Every element's name and attributes, and the text of scripts; what stands inside which is checked as well."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self.open[-1:] != ["style"]:
            self.text += f"{data} "

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def evaluation(model: str = "net", picture: str = "p1") -> Evaluation:
    names = ["p0", picture, "p2", "p3", "p4"]

    def result(name: str, metric: str, values: list[float | None]) -> Result:
        return Result(name, "Set5", 4, metric, dict(zip(names, values, strict=True)))

    return Evaluation(
        ["bicubic", model],
        ["Set5", "RealSRSet"],
        ["psnr", "fid", "niqe"],
        [
            result("bicubic", "psnr", [24.0, 30.0, 26.0, 28.0, float("inf")]),
            result(model, "psnr", [25.0, None, 27.0, 29.5, 23.0]),
            Result("bicubic", "Set5", 4, "fid", dict.fromkeys(names), "no weights: <none>"),
            Result(model, "Set5", 4, "fid", dict.fromkeys(names), set_value=12.5, set_count=5),
            result("bicubic", "niqe", [7.0, 7.1, 7.2, 7.3, 7.4]),
            result(model, "niqe", [5.0, 5.2, 5.1, 5.4, 5.3]),
            *(Result(m, "RealSRSet", 4, "psnr", {"a": None}, NO_GROUND_TRUTH) for m in ("bicubic", model)),
            *(Result(m, "RealSRSet", 4, "fid", {"a": None}, NO_GROUND_TRUTH) for m in ("bicubic", model)),
            *(Result(m, "RealSRSet", 4, "niqe", {"a": 6.0}) for m in ("bicubic", model)),
        ],
        [Failure("Set5", picture, model, "psnr", "broken & <b>bold</b>")],
        {"torch": "2.9"},
        [Note("Set5", picture, "is greyscale among colour")],
    )


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    """What no compression makes small."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, height, width), np.uint8))


def upscaled(name: str, side: int = 32, scale: int = 4, model: str = "net", hr: bool = True) -> Upscaled:
    truth = noise(side, side)
    lr = resize(truth, 1 / scale)
    return Upscaled("Set5", name, scale, truth if hr else None, lr, {model: noise(side, side, 1)})


def filled(*pictures: Upscaled, limit: int = 1 << 20) -> Gallery:
    gallery = Gallery(limit)
    gallery.fill(iter(pictures), len(pictures))
    return gallery


def decoded(parsed: Parsed) -> Iterator[tuple[str, Image.Image]]:
    for image in parsed.of("img"):
        assert image["src"].startswith("data:image/webp;base64,")
        data = base64.b64decode(image["src"].partition(",")[2], validate=True)
        yield image["alt"], Image.open(io.BytesIO(data))


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
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in plain.elements]
    assert [set(a) for _, a in hostile.elements] == [set(a) for _, a in plain.elements]
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
    assert "PSNR ↑ dB 30.000 – NIQE" in shown  # p1 by itself, where the network failed
    assert "∞ 23.000" in shown
    assert parsed.of("img") == []


def test_cells_sort_by_the_full_value():
    parsed = Parsed(page(evaluation()))
    first_table = [cell.get("data-value") for cell in parsed.of("td")][:6]
    # psnr, fid and niqe of both models, in full; what is missing has none
    assert first_table == ["Infinity", None, "7.2", "26.125", "12.5", "5.2"]


def test_significant_differences_are_marked_as_better_or_worse():
    text = page(evaluation())
    assert re.search(r'<td class="better" data-value="-2\.0\d*">-2\.0000 \*', text)
    assert 'class="worse" data' not in text


def test_the_papers_numbers_stand_in_a_body_of_their_own():
    found = evaluation()
    for result in found.results:
        result.benchmark = result.benchmark.replace("Set5", "Set14")
    found.benchmarks[0] = "Set14"
    found.failures, found.notes = [], []
    text = page(found, published=True)
    body = text[text.index('<tbody class="paper">') :]
    assert re.search(r'AESOP RRDB-256, tables [\d, ]+</th><td data-value="27\.246">27\.246<', body)
    assert "The paper prints" not in page(found)


def test_pictures_stand_whole_and_exact_in_the_page():
    picture = upscaled("p0")
    parsed = Parsed(page(evaluation(), filled(picture)))
    images = dict(decoded(parsed))
    assert list(images) == ["p0, LR", "p0, bicubic", "p0, net", "p0, HR"]
    assert picture.hr is not None
    expected = (picture.lr, resize(picture.lr, 4), picture.sr["net"], picture.hr)
    for image, tensor in zip(images.values(), expected, strict=True):
        assert np.array_equal(np.asarray(image), tensor.permute(1, 2, 0).numpy())
    assert {(image["width"], image["height"]) for image in parsed.of("img")} == {("32", "32")}
    assert "1 picture: 1 whole, without loss. Values" in re.sub(r"\s+", " ", parsed.text)


def test_a_picture_without_hr_has_no_hr_side():
    assert [side.title for side in filled(upscaled("a", hr=False)).pictures[0].sides] == ["LR", "bicubic", "net"]


def test_models_called_hr_do_not_pass_for_hr():
    assert [side.title for side in filled(upscaled("a", model="HR")).pictures[0].sides] == [
        "LR", "bicubic", "HR (model)", "HR",
    ]  # fmt: skip


def test_large_pictures_are_cut_to_what_there_is_room_for():
    picture = upscaled("p0", side=400)
    sizes = []
    for limit in (3_000_000, 1_000_000, 300_000, 10_000):
        gallery = filled(picture, limit=limit)
        shown = gallery.pictures[0]
        text = page(evaluation(), gallery)
        assert sum(len(image["src"]) for image in Parsed(text).of("img")) <= limit
        sizes.append((len(shown.sides), shown.lossless, shown.crop and shown.crop.side))
        for alt, image in decoded(Parsed(text)):
            side = shown.crop.side if shown.crop else 400
            assert image.size == ((side // 4,) * 2 if alt.endswith("LR") else (side, side))
    assert sizes == [(4, True, None), (4, False, None), (4, True, 128), (0, True, None)]
    assert "not shown for want of room" in page(evaluation(), gallery)
    assert "128 x 128 at" in page(evaluation(), filled(picture, limit=300_000))


def test_crops_show_one_place_of_all_sides():
    picture = upscaled("p0", side=400)
    shown = filled(picture, limit=300_000).pictures[0]
    place = shown.crop
    assert place is not None
    images = {side.title: np.asarray(Image.open(io.BytesIO(side.file))) for side in shown.sides}
    assert picture.hr is not None
    assert np.array_equal(images["HR"], place.cut(picture.hr).permute(1, 2, 0).numpy())
    top, left, side = place.top // 4, place.left // 4, place.side // 4
    assert np.array_equal(images["LR"], picture.lr[:, top : top + side, left : left + side].permute(1, 2, 0).numpy())


@pytest.mark.parametrize("sides", [(8, 8, 64), (64, 8, 8)])
def test_room_that_small_pictures_leave_goes_to_the_others(sides: tuple[int, ...]):
    pictures = [upscaled(str(index), side) for index, side in enumerate(sides)]
    need = sum(picture.size for picture in filled(*pictures).pictures)
    exact = filled(*pictures, limit=need * 4 // 3 + 4).pictures
    assert all(picture.lossless and not picture.crop and picture.sides for picture in exact)
    less = filled(*pictures, limit=need).pictures
    assert sum(picture.size for picture in less) * 4 / 3 <= need
    assert not all(picture.lossless and picture.sides for picture in less)


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
def test_evaluate_hands_out_every_picture_once(bench: Path, model: Path, cache: bool):
    seen: list[Upscaled] = []
    (bench / "HR/c.png").write_bytes(b"no picture")
    for _ in range(2):
        seen.clear()
        evaluate(["bicubic", model], [bench], metrics=["psnr"], cache=cache, show=lambda found, _: seen.extend(found))
        assert [picture.name for picture in seen] == ["a", "b"]
        for picture in seen:
            assert torch.equal(picture.sr["bicubic"], resize(picture.lr, 4))
            assert picture.hr is not None
            assert picture.sr["net"].shape == picture.hr.shape


def test_pictures_that_the_cache_has_dropped_are_made_again(bench: Path, model: Path, tmp_path: Path):
    seen: list[list[Upscaled]] = []
    for _ in range(2):
        evaluate([model], [bench], metrics=["psnr"], show=lambda found, _: seen.append(list(found)))
        for path in tmp_path.rglob("evaluations/*/*.png"):
            path.unlink()
    assert torch.equal(seen[0][1].sr["net"], seen[1][1].sr["net"])


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
    assert [point["note"] for point in curve["points"]][::5] == ["share 0", "share 1"]
    means = {(r["model"], r["metric"]): r["mean"] for r in json.loads(embedded["evaluation"])["results"]}
    for point, name in ((curve["points"][0], "net"), (curve["points"][-1], "other")):
        assert point["means"]["bench"] == {metric: means[name, metric] for metric in ("psnr", "ssim")}


def test_curves_that_nothing_can_be_made_of_are_refused(model: Path, tmp_path: Path):
    for text in ("net", f"{model}", f"{model}:missing"):
        with pytest.raises(AesopError, match="A:B"):
            open_routes([text], tmp_path)
    with pytest.raises(AesopError, match="names one network twice"):
        open_routes([f"{model}:{model}"], tmp_path)
    with pytest.raises(AesopError, match="no perceptual/snapshots"):
        open_routes([str(tmp_path)], tmp_path)
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
    routes = open_routes([str(run_folder)], tmp_path)
    assert [waypoint.note for waypoint in routes[0].waypoints] == ["iteration 0", "iteration 10", "iteration 20"]
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
        common_scale(open_routes([f"{model}:{other}", pair], tmp_path))
