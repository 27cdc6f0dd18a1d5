"""The pictures of a report: exact, at informative regions, within the size limit, with readable values."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from aesop.analysis.regions import Region, differing_region
from aesop.data.bicubic import resize
from aesop.evaluation.pictures import EvaluatedPicture
from aesop.evaluation.results import Evaluation, Result
from aesop.reports.pictures import CROP_SIDES, PATCH, ShownPicture, show
from aesop.reports.report import report_text
from report_samples import HOSTILE, Parsed, decoded, evaluated, evaluation, noise


def changed(picture: Tensor, place: Region, level: int) -> Tensor:
    """`picture` with every level in `place` raised or lowered by `level`."""
    copy = picture.clone()
    square = place.cut(copy)
    square += torch.where(square < 128, level, -level).to(torch.uint8)
    return copy


def pair(*changes: tuple[Region, int], side: int = 400) -> EvaluatedPicture:
    """A picture on which two networks agree except for `changes`."""
    found = evaluated("p0", side)
    sr = found.sr["net"]
    other = sr
    for place, level in changes:
        other = changed(other, place, level)
    return EvaluatedPicture(found.benchmark, found.name, found.scale, found.hr, found.lr, {"one": sr, "two": other})


def contains(outer: Region, inner: Region) -> bool:
    ends = (inner.top + inner.side, inner.left + inner.side)
    starts = outer.top <= inner.top and outer.left <= inner.left
    return starts and ends[0] <= outer.top + outer.side and ends[1] <= outer.left + outer.side


def filled(*pictures: EvaluatedPicture, limit: int = 1 << 20) -> Sequence[ShownPicture]:
    return show(pictures, len(pictures), limit)


#: An evaluation of one picture.
ALONE = Evaluation(
    ["bicubic", "net"], ["Set5"], ["psnr"], [Result(m, "Set5", 4, "psnr", {"p0": 30.0}) for m in ("bicubic", "net")]
)


def test_a_picture_without_hr_has_no_hr_side_and_a_model_called_hr_does_not_pass_for_it():
    assert [side.title for side in filled(evaluated("a", hr=False))[0].sides] == ["LR", "bicubic", "net"]
    sides = [(side.title, side.model) for side in filled(evaluated("a", model="HR"))[0].sides]
    assert sides == [("LR", None), ("bicubic", "bicubic"), ("HR (model)", "HR"), ("HR", None)]


@pytest.mark.parametrize(
    ("limit", "sides", "crop", "words"),
    [
        (3_000_000, 4, None, "1 picture, without loss."),
        (1_500_000, 4, 384, "only a square of 384, "),
        (300_000, 4, 128, "held below 0.3 MB"),
        (10_000, 0, None, "not shown for lack of space"),
    ],
)
def test_large_pictures_are_cut_to_what_there_is_room_for(limit: int, sides: int, crop: int | None, words: str):
    picture = evaluated("p0", side=400)
    shown = filled(picture, limit=limit)[0]
    assert (len(shown.sides), shown.crop and shown.crop.side) == (sides, crop)
    text = report_text(ALONE, [picture], megabytes=limit / 10**6)
    parsed = Parsed(text)
    assert words in parsed.plain
    assert sum(len(image["src"]) for image in parsed.of("img")) <= limit
    images = dict(decoded(parsed))
    if not sides:
        assert images == {}
        return
    place = shown.crop or Region(0, 0, 400)
    small = Region(place.top // 4, place.left // 4, place.side // 4)
    assert picture.hr is not None
    expected = {"LR": small.cut(picture.lr)}
    for title, whole in (("bicubic", resize(picture.lr, 4)), ("net", picture.sr["net"]), ("HR", picture.hr)):
        expected[title] = place.cut(whole)
    for title, tensor in expected.items():  # without loss
        assert np.array_equal(np.asarray(images.pop(f"p0, {title}")), tensor.permute(1, 2, 0).numpy())
    if crop is not None:
        assert images.pop("p0: where the square is from").size == (200, 200)
        box = f"left: {place.left / 4:.2f}%; top: {place.top / 4:.2f}%; width: {place.side / 4:.2f}%"
        assert f'<span style="{box}; height: {place.side / 4:.2f}%; "></span>' in text
    assert images == {}


@pytest.mark.parametrize("sides", [(8, 8, 64), (64, 8, 8)])
def test_room_that_small_pictures_leave_goes_to_the_others(sides: tuple[int, ...]):
    pictures = [evaluated(str(index), side) for index, side in enumerate(sides)]
    need = sum(picture.size for picture in filled(*pictures))
    exact = filled(*pictures, limit=need * 4 // 3 + 4)
    assert all(picture.sides and not picture.crop for picture in exact)
    less = filled(*pictures, limit=need)
    assert sum(picture.size for picture in less) * 4 / 3 <= need
    assert not all(picture.sides for picture in less)


def test_the_square_is_where_networks_differ():
    hidden = Region(260, 180, 40)
    crop = filled(pair((hidden, 20)), limit=300_000)[0].crop
    assert crop is not None
    assert crop.side < 384
    assert contains(crop, hidden)


def test_bicubic_is_no_network_and_equal_networks_fall_back_to_detail():
    calm = torch.full((3, 400, 400), 128, dtype=torch.uint8)
    detail = Region(160, 80, 128)
    hr = calm.clone()
    detail.cut(hr).copy_(noise(128, 128))
    lr = resize(hr, 1 / 4)
    for sr in ({"net": calm}, {"bicubic": noise(400, 400), "net": calm}, {"one": calm, "two": calm.clone()}):
        spot = filled(EvaluatedPicture("Set5", "p0", 4, hr, lr, sr), limit=2_000_000)[0].spot
        assert spot is not None
        assert contains(detail, spot)
    assert differing_region([calm, calm], 4, 64) is None


@pytest.mark.parametrize("limit", [3_000_000, 300_000])
def test_the_page_says_where_to_look_first(limit: int):
    picture = pair((Region(264, 184, PATCH), 20))
    parsed = Parsed(report_text(ALONE, [picture], megabytes=limit / 10**6))
    stage = next(attributes for attributes in parsed.of("div") if attributes.get("class") == "stage")
    crop = filled(picture, limit=limit)[0].crop or Region(0, 0, 400)
    assert (float(stage["data-x"]), float(stage["data-y"])) == (184 + 18 - crop.left, 264 + 18 - crop.top)


@pytest.mark.parametrize("side", [8, 16, 24])
def test_pictures_smaller_than_a_patch_are_looked_at_whole(side: int):
    spot = filled(evaluated("p0", side, scale=8))[0].spot
    assert spot == Region(0, 0, side)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_squares_lie_on_the_grid_of_every_scale(scale: int):
    side = 120
    shown = filled(evaluated("p0", side, scale=scale), limit=120_000)[0]
    assert shown.crop is not None
    assert shown.crop.side <= max(CROP_SIDES)
    assert [value % scale for value in (shown.crop.top, shown.crop.left, shown.crop.side)] == [0, 0, 0]
    lr, *_, hr = (Image.open(io.BytesIO(each.file)).size for each in shown.sides)
    assert hr == (shown.crop.side,) * 2 == tuple(length * scale for length in lr)


def test_values_are_a_row_a_model_with_the_best_of_each_column():
    text = report_text(evaluation(), [])
    article = text[text.index('data-name="p0"') : text.index('data-name="p1"')]
    assert re.findall(r'<th scope="col".*?>(.*?)</th>', article) == ["model", "PSNR ↑ dB", "NIQE ↓"]
    assert re.findall(r"<td.*?</td>", article) == [
        '<td data-value="24.0">24.000</td>', '<td data-value="7.0">7.0000</td>',
        '<td class="best" data-value="25.0">25.000</td>', '<td class="best" data-value="5.0">5.0000</td>',
    ]  # fmt: skip
    assert '<td class="best" data-value="Infinity">∞</td>' in text[text.index('data-name="p4"') :]


def test_sides_name_the_models_whose_values_they_have():
    parsed = Parsed(report_text(evaluation(HOSTILE), [evaluated("p0", model=HOSTILE)]))
    sides = [figure for figure in parsed.of("figure") if "data-title" in figure]
    assert [side.get("data-model") for side in sides] == [None, "bicubic", HOSTILE, None]
    assert (parsed.data["left"], parsed.data["right"]) == ("bicubic", HOSTILE)
