"""Whole degradations: alignment of pairs, seeds, sizes and resuming."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F
from typer.testing import CliRunner

from aesop import degrade, load_recipe
from aesop.cli.degrade import degrade as command
from aesop.data.pictures import read_picture, write_picture
from aesop.degradation import BSRGANDegradationConfig, DegradationSection, RealESRGANDegradationConfig
from aesop.degradation.draws import Draws
from aesop.degradation.filtering import sharpen
from aesop.degradation.pool import PairPool
from aesop.errors import AesopError, DataError
from aesop.training.recipe import DataConfig
from helpers import synthetic_picture

#: Everything except noise and (nearly) JPEG; and nothing but resizing to the LR size.
NOISELESS = {"noise": [0, 0], "poisson": [0, 0], "jpeg": [100, 100]}
MILD = {**NOISELESS, "blur": 0, "resize": [0, 0, 1], "gaussian": 1}


def real_esrgan(**values: Any) -> RealESRGANDegradationConfig:
    return RealESRGANDegradationConfig.model_validate({"type": "real-esrgan", "source_crop": 96, "pool": 0, **values})


def bsrgan(**values: Any) -> BSRGANDegradationConfig:
    return BSRGANDegradationConfig.model_validate({"type": "bsrgan", "source_crop": 96, **values})


BOTH = pytest.mark.parametrize("section", [real_esrgan(), bsrgan()], ids=["real-esrgan", "bsrgan"])


def photos(number: int, height: int = 96, width: int = 96) -> Tensor:
    pictures = np.stack([synthetic_picture(height, width, seed) for seed in range(number)])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


def with_coordinates(hr: Tensor) -> Tensor:
    """Red and green become row and column in 8-bit levels."""
    rows = torch.arange(96).float() / 255
    hr[:, 0], hr[:, 1] = rows[:, None], rows
    return hr


def require_levels(images: Tensor) -> None:
    """Require that every value is exactly one of the 256 levels of a picture file."""
    assert torch.isin(images, torch.arange(256).float() / 255).all()


@BOTH
@pytest.mark.parametrize(("scale", "crop"), [(2, 64), (3, 48), (4, 96), (8, 64)])
def test_pairs_have_their_sizes_and_levels(section: DegradationSection, scale: int, crop: int) -> None:
    hr = with_coordinates(photos(2))
    degradation = section.build(scale, crop)
    for seed in range(4):
        lr, cut = degradation(hr, seed)
        assert (lr.shape, cut.shape) == ((2, 3, crop // scale, crop // scale), (2, 3, crop, crop))
        require_levels(lr)
        for image, of in zip(cut, hr, strict=True):
            top, left = (image[:2, 0, 0] * 255).round().int().tolist()
            assert top % scale == left % scale == 0
            assert (image == of[:, top : top + crop, left : left + crop]).all()


@BOTH
def test_a_seed_fixes_everything_and_touches_nothing_else(section: DegradationSection) -> None:
    hr = photos(2)
    before, state = hr.clone(), torch.get_rng_state()
    results = [section.build(4, 48)(hr, seed) for seed in (5, 5, 6)]
    assert torch.equal(hr, before)
    assert torch.equal(torch.get_rng_state(), state)
    for first, again, other in zip(*results, strict=True):
        assert (first == again).all()
        assert (first != other).any()


def test_images_of_a_batch_differ_in_what_the_references_draw_for_each() -> None:
    hr = with_coordinates(photos(1).expand(3, -1, -1, -1).clone())
    for section, shared in (
        (real_esrgan(first=NOISELESS, second=NOISELESS), True),
        (bsrgan(noise=[0, 0], quality=[100, 100]), False),
    ):
        lr, _ = section.build(4, 96)(hr, 1)
        assert len({image.numpy().tobytes() for image in lr}) == 3
        _, cut = section.build(4, 16)(hr, 1)
        assert (len({tuple(image[:2, 0, 0].tolist()) for image in cut}) == 1) is shared


def ramp(length: int, axis: int) -> Tensor:
    """A grey picture that rises from 0 to 1 along one axis, so that brightness encodes the place."""
    grey = torch.linspace(0, 1, length).expand(1, 3, length, length)
    return grey if axis == 3 else grey.transpose(2, 3)


@pytest.mark.parametrize(
    "section",
    [
        real_esrgan(first=NOISELESS, second=NOISELESS),
        bsrgan(halve=1, noise=[0, 0], quality=[100, 100]),
        bsrgan(halve=0, skip=1, noise=[0, 0], quality=[100, 100]),
    ],
    ids=["real-esrgan", "bsrgan halved", "bsrgan skipping"],
)
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_pictures_are_not_shifted(section: DegradationSection, scale: int) -> None:
    # A ramp turned by 180 degrees is its negative, and so is whatever treats both directions alike: its mean is 0.5.
    degradation = section.build(scale, 48)
    for seed in range(8):
        for axis in (2, 3):
            lr = degradation.degrade_whole(ramp(96, axis), seed)
            # 0.2 HR pixels: rounding to 8 bit twice, JPEG's blocks at odd borders.
            assert abs(lr.mean().item() - 0.5) * 95 < 0.4
            assert lr.select(axis, -1).mean() > lr.select(axis, 0).mean() + 0.1


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_lr_and_hr_crops_are_of_one_place(scale: int) -> None:
    degradation = real_esrgan(first=MILD, second=MILD, final_sinc=0, sharpen=False).build(scale, 48)
    means = []
    for seed in range(8):
        for axis in (2, 3):
            lr, hr = degradation(ramp(96, axis), seed)
            assert abs(lr.mean().item() - hr.mean().item()) * 95 < 0.3
            means.append(hr.mean().item())
    assert np.std(means) > 0.05


def test_second_order_degradation_without_its_parts_is_resizing() -> None:
    section = real_esrgan(first=MILD, second=MILD, final_sinc=0, sharpen=False)
    hr = photos(1, 64, 96)
    candidates = [F.interpolate(hr, size=(32, 48), mode=mode) for mode in ("area", "bilinear", "bicubic")]
    for seed in range(4):
        lr = section.build(2, 64).degrade_whole(hr, seed)
        # 8 levels on average: the JPEG compressions halve the colours' resolution.
        assert min((lr - candidate).abs().mean().item() for candidate in candidates) < 8 / 255


def test_noise_of_the_second_round_is_of_lr_pixels() -> None:
    second = {**MILD, "noise": [20, 20], "grey": 1}
    degradation = real_esrgan(first=MILD, second=second, final_sinc=0).build(4, 96)
    for seed in range(6):
        lr = degradation.degrade_whole(torch.full((1, 3, 384, 384), 0.5), seed)
        # 4 standard errors of a deviation from 96 x 96 values: 3 %.
        assert lr[:, 1].std().item() * 255 == pytest.approx(20, rel=0.03)


@BOTH
@pytest.mark.parametrize("size", [(41, 64), (16, 23)])
@pytest.mark.parametrize("scale", [3, 8])
def test_whole_pictures_of_any_size(section: DegradationSection, size: tuple[int, int], scale: int) -> None:
    degradation = section.build(scale, 48)
    for seed in range(4):
        lr = degradation.degrade_whole(photos(1, *size), seed)
        assert lr.shape == (1, 3, size[0] // scale, size[1] // scale)
        require_levels(lr)


def test_parameters_do_not_depend_on_pixels() -> None:
    # Devices differ by rounding, and the number of random numbers for Poisson noise depends on the pixels.
    degradation = real_esrgan(first={"gaussian": 0}, second={"gaussian": 0}, sharpen=False).build(4, 16)
    corners = []
    for brightness in (0.1, 0.9):
        hr = with_coordinates(torch.full((1, 3, 96, 96), brightness))
        corners.append([tuple(degradation(hr, seed)[1][0, :2, 0, 0].tolist()) for seed in range(8)])
    assert corners[0] == corners[1]
    assert len(set(corners[0])) > 4


def test_sharpening_is_of_what_is_degraded_and_of_targets_not_of_crops() -> None:
    hr = photos(1)
    plain, sharp = (real_esrgan(sharpen=value).build(4, 96) for value in (False, True))
    assert (plain.sharpen(hr) == hr).all()
    assert (sharp.sharpen(hr) == sharpen(hr)).all()
    assert (sharp.degrade_whole(hr, 1) == plain.degrade_whole(sharpen(hr), 1)).all()
    lr, cut = sharp(hr, 1)
    assert (cut == hr).all()
    assert (lr == plain(sharpen(hr), 1)[0]).all()


@BOTH
def test_a_resumed_pool_continues_bit_for_bit(section: DegradationSection) -> None:
    section = section.model_copy(update={"pool": 5})
    going = section.build(4, 32)
    for seed in range(4):
        going(photos(2), seed)
    state = going.state_dict()
    resumed = section.build(4, 32)
    expected = [going(photos(2), seed) for seed in range(4, 8)]
    resumed.load_state_dict(state)
    for seed, pair in zip(range(4, 8), expected, strict=True):
        for ours, theirs in zip(resumed(photos(2), seed), pair, strict=True):
            assert (ours == theirs).all()


@pytest.mark.parametrize(("size", "batch"), [(6, 2), (7, 3), (2, 5)])
def test_the_pool_loses_no_pair_and_keeps_pairs_together(size: int, batch: int) -> None:
    pool, taken, given, mixed = PairPool(size), [], [], False
    for step in range(12):
        numbers = torch.arange(step * batch, (step + 1) * batch)
        values = numbers.float()[:, None, None, None] / 255
        lr, hr = pool.exchange(values.expand(-1, 3, 2, 2), 1 - values.expand(-1, 3, 4, 4), Draws(step))
        assert (lr.shape, hr.shape) == ((batch, 3, 2, 2), (batch, 3, 4, 4))
        torch.testing.assert_close(lr[..., :1, :1] + hr[..., :1, :1], torch.ones(batch, 3, 1, 1))
        out = (lr[:, 0, 0, 0] * 255).round().int().tolist()
        fresh = step * batch < size
        taken += numbers.tolist()
        given += [] if fresh else out
        mixed |= set(out) != set(numbers.tolist())
        if fresh:
            assert out == numbers.tolist()
    kept = pool.state_dict()["lr"][:, 0, 0, 0].tolist()
    assert len(kept) == size
    # While the pool fills, pairs are used and kept; from the batch that fills it, only as many as fit are kept.
    filling = -(-size // batch) * batch
    assert Counter(given + kept) == Counter(taken) - Counter(range(size, filling))
    assert mixed


@pytest.mark.parametrize(
    ("build", "values", "message"),
    [
        (real_esrgan, {"first": {"jpeg": [95, 30]}}, "95"),
        (real_esrgan, {"first": {"jpeg": [0, 30]}}, "greater than or equal to 1"),
        (real_esrgan, {"second": {"factor": [0, 1.2]}}, "factor"),
        (real_esrgan, {"second": {"factor": [0.5, 0.9]}}, "factor"),
        (real_esrgan, {"first": {"resize": [0, 0, 0]}}, "resize"),
        (real_esrgan, {"first": {"blurr": 1}}, "blurr"),
        (bsrgan, {"quality": [30, 101]}, "quality"),
        (bsrgan, {"noise": [-1, 3]}, "noise"),
    ],
)
def test_impossible_ranges_are_refused(build: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(**values)


@BOTH
def test_crops_that_do_not_fit_are_refused(section: DegradationSection) -> None:
    with pytest.raises(ValueError, match="not a multiple of the scale 4"):
        section.build(4, 50)
    with pytest.raises(ValueError, match="source_crop: 96 pixels hold no crop of 128"):
        section.build(4, 128)


def test_one_key_of_the_second_round_leaves_its_others_as_published() -> None:
    second = real_esrgan(second={"jpeg": [50, 60]}).second
    assert (second.jpeg, second.sigma, second.noise, second.blur) == ((50, 60), (0.2, 1.5), (1, 25), 0.8)


def run(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments)


def test_degrade_without_a_degradation_shows_bicubic(tmp_path: Path) -> None:
    picture, output = tmp_path / "in.png", tmp_path / "out" / "sheet.png"
    original = synthetic_picture(81, 90, 0)
    write_picture(picture, original)
    for _ in range(2):  # the second overwrites the first
        result = run("laptop", str(picture), "--output", str(output), "--count", "3")
        assert result.exit_code == 0, result.output
        assert str(output) in result.output.replace("\n", "")
    sheet = read_picture(output)
    assert sheet.shape[1] > 2 * 80
    middle = original[:80, 1:89]
    assert any((sheet[top : top + 80, :88] == middle).all() for top in range(len(sheet) - 79))


def test_sheet_shows_each_seed(tmp_path: Path) -> None:
    picture, output = tmp_path / "in.png", tmp_path / "sheet.png"
    write_picture(picture, synthetic_picture(120, 140, 0))
    recipe = load_recipe("laptop").model_copy(update={"degradation": real_esrgan(), "data": DataConfig(shrink=1)})
    degrade(recipe, picture, output, count=3, seed=7)
    sheet = read_picture(output)
    degradation = real_esrgan().build(4, 96)
    hr = torch.from_numpy(synthetic_picture(120, 140, 0)[12:108, 22:118]).permute(2, 0, 1)[None].float() / 255
    for number, seed in enumerate((7, 8, 9), start=1):
        large = degradation.degrade_whole(hr, seed).repeat_interleave(4, 2).repeat_interleave(4, 3)[0]
        cell = (large * 255).round().byte().permute(1, 2, 0).numpy()
        top, left = (number // 2) * 116 + 16, (number % 2) * 100
        np.testing.assert_array_equal(sheet[top : top + 96, left : left + 96], cell)


def test_degrade_names_what_is_wrong(tmp_path: Path) -> None:
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    write_picture(small, synthetic_picture(40, 90, 0))
    write_picture(large, synthetic_picture(80, 90, 0))
    result = run("laptop", str(small), "--output", str(tmp_path / "sheet.png"))
    assert isinstance(result.exception, DataError)
    assert "small.png: 90 x 40 pixels" in str(result.exception)
    for arguments in (
        ("laptop", str(tmp_path / "none.png"), "--output", str(tmp_path / "sheet.png")),
        ("laptop", str(large), "--output", str(tmp_path / "sheet.txt")),
        ("laptop", str(large), "--output", str(tmp_path)),
    ):
        assert isinstance(run(*arguments).exception, AesopError)
    assert not list(tmp_path.glob("sheet*"))
