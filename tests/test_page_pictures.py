"""The pictures of a report: exact, at telling places, no larger than allowed, with values that read."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from typer import Typer
from typer.testing import CliRunner

from aesop.analysis.regions import Region, differing_region
from aesop.cli.evaluate import evaluate as evaluate_command
from aesop.data.bicubic import resize
from aesop.data.pictures import write_picture
from aesop.evaluation.pictures import EvaluatedPicture
from aesop.evaluation.results import Evaluation, Result
from aesop.report.gallery import CROP_SIDES, PATCH
from aesop.report.page import page
from aesop.report.pictures import picture_ids
from page_samples import HOSTILE, Parsed, decoded, evaluation, filled, noise, upscaled


def changed(picture: Tensor, place: Region, level: int) -> Tensor:
    """`picture` with every grey level of `place` raised or lowered by `level`."""
    copy = picture.clone()
    square = place.cut(copy)
    square += torch.where(square < 128, level, -level).to(torch.uint8)
    return copy


def pair(*places: tuple[Region, int], side: int = 400) -> EvaluatedPicture:
    """A picture on which two networks agree but for `places`."""
    found = upscaled("p0", side)
    sr = found.sr["net"]
    other = sr
    for place, level in places:
        other = changed(other, place, level)
    return EvaluatedPicture(found.benchmark, found.name, found.scale, found.hr, found.lr, {"one": sr, "two": other})


def contains(outer: Region, inner: Region) -> bool:
    ends = (inner.top + inner.side, inner.left + inner.side)
    starts = outer.top <= inner.top and outer.left <= inner.left
    return starts and ends[0] <= outer.top + outer.side and ends[1] <= outer.left + outer.side


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
    assert "1 picture, without loss. Values" in re.sub(r"\s+", " ", parsed.text)


def test_a_picture_without_hr_has_no_hr_side():
    assert [side.title for side in filled(upscaled("a", hr=False)).pictures[0].sides] == ["LR", "bicubic", "net"]


def test_models_called_hr_do_not_pass_for_hr():
    sides = filled(upscaled("a", model="HR")).pictures[0].sides
    assert [(side.title, side.model) for side in sides] == [
        ("LR", None), ("bicubic", "bicubic"), ("HR (model)", "HR"), ("HR", None),
    ]  # fmt: skip


def test_large_pictures_are_cut_to_what_there_is_room_for():
    picture = upscaled("p0", side=400)
    sizes = []
    for limit in (3_000_000, 1_500_000, 300_000, 10_000):
        gallery = filled(picture, limit=limit)
        shown = gallery.pictures[0]
        text = page(evaluation(), gallery)
        assert sum(len(image["src"]) for image in Parsed(text).of("img")) <= limit
        sizes.append((len(shown.sides), shown.crop and shown.crop.side))
        for alt, image in decoded(Parsed(text)):
            side = shown.crop.side if shown.crop else 400
            if alt == "p0: where the square is from":
                assert (image.size, shown.crop is not None) == ((200, 200), True)
                continue
            assert image.size == ((side // 4,) * 2 if alt.endswith("LR") else (side, side))
    assert sizes == [(4, None), (4, 384), (4, 128), (0, None)]
    assert "not shown for want of room" in page(evaluation(), gallery)
    cut = filled(picture, limit=1_500_000).pictures[0]
    assert cut.crop is not None
    box = f"left: {cut.crop.left / 4:.2f}%; top: {cut.crop.top / 4:.2f}%; width: 96.00%; height: 96.00%"
    assert f'<span style="{box}"></span>' in page(evaluation(), filled(picture, limit=1_500_000))
    assert "only a square of 128, " in page(evaluation(), filled(picture, limit=300_000))
    assert "held below 0.3 MB" in page(evaluation(), filled(picture, limit=300_000))


@pytest.mark.parametrize("limit", [3_000_000, 1_500_000, 300_000, 100_000])
def test_whatever_is_shown_is_shown_without_loss(limit: int):
    picture = upscaled("p0", side=400)
    shown = filled(picture, limit=limit).pictures[0]
    place = shown.crop or Region(0, 0, 400)
    images = {side.title: np.asarray(Image.open(io.BytesIO(side.file))) for side in shown.sides}
    assert picture.hr is not None
    whole = {"bicubic": resize(picture.lr, 4), "net": picture.sr["net"], "HR": picture.hr}
    for title, tensor in whole.items():
        assert np.array_equal(images[title], place.cut(tensor).permute(1, 2, 0).numpy())
    top, left, side = place.top // 4, place.left // 4, place.side // 4
    assert np.array_equal(images["LR"], picture.lr[:, top : top + side, left : left + side].permute(1, 2, 0).numpy())


@pytest.mark.parametrize("sides", [(8, 8, 64), (64, 8, 8)])
def test_room_that_small_pictures_leave_goes_to_the_others(sides: tuple[int, ...]):
    pictures = [upscaled(str(index), side) for index, side in enumerate(sides)]
    need = sum(picture.size for picture in filled(*pictures).pictures)
    exact = filled(*pictures, limit=need * 4 // 3 + 4).pictures
    assert all(picture.sides and not picture.crop for picture in exact)
    less = filled(*pictures, limit=need).pictures
    assert sum(picture.size for picture in less) * 4 / 3 <= need
    assert not all(picture.sides for picture in less)


def test_the_square_is_where_networks_differ():
    hidden = Region(260, 180, 40)
    crop = filled(pair((hidden, 20)), limit=300_000).pictures[0].crop
    assert crop is not None
    assert crop.side < 384
    assert contains(crop, hidden)


def test_many_small_differences_outweigh_one_hard_edge():
    texture, dot = Region(200, 200, 64), Region(40, 40, 24)
    found = pair((texture, 8), (dot, 120))
    chosen = differing_region([found.sr["one"], found.sr["two"]], 4, 64)
    assert chosen == Region(200, 200, 64)


def test_bicubic_is_no_network_and_equal_networks_fall_back_to_detail():
    calm = torch.full((3, 400, 400), 128, dtype=torch.uint8)
    detail = Region(160, 80, 128)
    hr = calm.clone()
    detail.cut(hr).copy_(noise(128, 128))
    lr = resize(hr, 1 / 4)
    for sr in ({"net": calm}, {"bicubic": noise(400, 400), "net": calm}, {"one": calm, "two": calm.clone()}):
        spot = filled(EvaluatedPicture("Set5", "p0", 4, hr, lr, sr), limit=2_000_000).pictures[0].spot
        assert spot is not None
        assert contains(detail, spot)
    assert differing_region([calm, calm], 4, 64) is None


@pytest.mark.parametrize("limit", [3_000_000, 300_000])
def test_the_page_says_where_to_look_first(limit: int):
    hidden = Region(264, 184, PATCH)
    gallery = filled(pair((hidden, 20)), limit=limit)
    stage = next(a for a in Parsed(page(evaluation(), gallery)).of("div") if a.get("class") == "stage")
    crop = gallery.pictures[0].crop or Region(0, 0, 400)
    assert (float(stage["data-x"]), float(stage["data-y"])) == (184 + 18 - crop.left, 264 + 18 - crop.top)


@pytest.mark.parametrize("side", [8, 16, 24])
def test_pictures_smaller_than_a_patch_are_looked_at_whole(side: int):
    spot = filled(upscaled("p0", side, scale=8)).pictures[0].spot
    assert spot == Region(0, 0, side)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_squares_lie_on_the_grid_of_every_scale(scale: int):
    side = 120
    shown = filled(upscaled("p0", side, scale=scale), limit=120_000).pictures[0]
    assert shown.crop is not None
    assert shown.crop.side <= max(CROP_SIDES)
    assert [value % scale for value in (shown.crop.top, shown.crop.left, shown.crop.side)] == [0, 0, 0]
    lr, *_, hr = (Image.open(io.BytesIO(each.file)).size for each in shown.sides)
    assert hr == (shown.crop.side,) * 2 == tuple(length * scale for length in lr)


def test_values_are_a_row_a_model_with_the_best_of_each_column():
    text = page(evaluation(), filled())
    article = text[text.index('id="picture-0-0"') : text.index('id="picture-0-1"')]
    assert re.findall(r'<th scope="col">(.*?)</th>', article) == ["model", "PSNR ↑ dB", "NIQE ↓"]
    rows = [re.findall(r"<td.*?</td>", row) for row in article.split("<tr>")[2:]]
    assert rows == [
        ["<td>24.000</td>", "<td>7.0000</td>"],
        ['<td class="best">25.000</td>', '<td class="best">5.0000</td>'],
    ]
    assert "<th></th>" not in text


def test_every_picture_has_an_id_that_notes_may_link_to():
    found = evaluation("net", HOSTILE)
    text = page(found, filled())
    articles = [a for a in Parsed(text).of("article") if a.get("class") == "picture"]
    assert {(a["data-benchmark"], a["data-name"]): a["id"] for a in articles} == picture_ids(found)
    assert picture_ids(found)["Set5", HOSTILE] == "picture-0-1"
    assert picture_ids(found)["RealSRSet", "a"] == "picture-1-0"


def test_sides_name_the_models_whose_values_they_have():
    found = evaluation(HOSTILE)
    parsed = Parsed(page(found, filled(upscaled("p0", model=HOSTILE))))
    assert [figure.get("data-model") for figure in parsed.of("figure")] == [None, "bicubic", HOSTILE, None]


def test_the_space_of_a_page_is_for_pictures_alone():
    """Nothing else of a page grows with its pictures: beside the values, an article is small."""
    names = [f"p{index}" for index in range(40)]
    found = Evaluation(
        ["bicubic", "net"],
        ["Set5"],
        ["psnr"],
        [Result(model, "Set5", 4, "psnr", dict.fromkeys(names, 30.0)) for model in ("bicubic", "net")],
    )
    bare = len(page(found))
    pictures = [upscaled(name, 8) for name in names]
    text = page(found, filled(*pictures))
    encoded = sum(len(base64.b64encode(side.file)) for picture in filled(*pictures).pictures for side in picture.sides)
    assert len(text) - bare - encoded < 1000 * len(names)


@pytest.mark.parametrize(("megabytes", "sides"), [(0, 0), (1, 3)])
def test_the_command_takes_the_size(tmp_path: Path, megabytes: int, sides: int):
    write_picture(tmp_path / "bench/HR/a.png", noise(24, 32).permute(1, 2, 0).numpy())
    app = Typer()
    app.command()(evaluate_command)
    report = tmp_path / "r.html"
    arguments = ["bicubic", "--benchmark", tmp_path / "bench", "--metrics", "psnr", "--report", report]
    done = CliRunner().invoke(app, [*map(str, arguments), "--report-size", str(megabytes)])
    assert done.exit_code == 0, done.output
    assert len(Parsed(report.read_text(encoding="utf-8")).of("img")) == sides
