"""Results of any size, the dial between fidelity and perception, and the mean over eight orientations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import aesop
from aesop.data.bicubic import resize
from aesop.data.pictures import read_picture, write_picture
from aesop.errors import AesopError, DataError, ModelError
from aesop.networks.generators import SRVGGConfig
from aesop.networks.interpolate import interpolate, load_between
from aesop.networks.loading import LoadedGenerator
from aesop.networks.state_dicts import write_state
from aesop.upscaling.ensemble import Ensemble
from aesop.upscaling.plan import Name
from aesop.upscaling.targets import Target, steps_to
from aesop.upscaling.upscale import upscale
from helpers import Repeat, randomise

MODEL = LoadedGenerator(Repeat(), 2, "repeat", Path("twice.pth"), "")


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


@given(height=st.integers(1, 5000), width=st.integers(1, 5000), scale=st.integers(2, 4), factor=st.floats(1, 20))
@settings(max_examples=200, deadline=None)
def test_sizes_and_the_fewest_passes(height: int, width: int, scale: int, factor: float) -> None:
    steps = steps_to(Target(scale=factor), height, width, scale)
    assert abs(steps.height - height * factor) < 1
    assert abs(steps.width - width * factor) < 1
    assert 0 < steps.shrink <= 1
    assert steps.passes == 1 or scale ** (steps.passes - 1) < factor
    wide = steps_to(Target(width=5000), height, width, scale)
    assert wide.width == 5000
    assert abs(wide.height - height * 5000 / width) < 1
    high = steps_to(Target(height=5000), height, width, scale)
    assert high.height == 5000
    area = steps_to(Target(megapixels=100), height, width, scale)
    assert area.height * area.width == pytest.approx(100e6, rel=(area.height + area.width) / 99e6)
    assert steps.pixels == sum(height * width * scale ** (2 * done) for done in range(steps.passes))


def test_the_models_own_scale_needs_no_resize() -> None:
    for target in (Target(), Target(scale=4), Target(width=4 * 331), Target(height=4 * 77)):
        steps = steps_to(target, 77, 331, 4)
        assert (steps.passes, steps.shrink, steps.height, steps.width) == (1, 1.0, 308, 1324)
    assert steps_to(Target(scale=16), 77, 331, 4).shrink == 1
    assert steps_to(Target(scale=1), 77, 331, 1).passes == 1


def test_sizes_that_cannot_be() -> None:
    wrong: dict[str, Any]
    for wrong, message in (
        ({"scale": 0.5}, "--scale must be at least 1, not 0.5"),
        ({"scale": float("nan")}, "--scale must be at least 1"),
        ({"width": 0}, "--width must be more than 0"),
        ({"megapixels": float("inf")}, "--megapixels must be at most 100,000,000"),
        ({"scale": 1e308}, "--scale must be at most 100,000,000"),
        ({"width": 10**400}, "--width must be at most 100,000,000"),
        ({"height": 10**5000}, "--height must be at most 100,000,000"),
        ({"width": 9, "scale": 2}, "--scale and --width: give one of them"),
    ):
        with pytest.raises(AesopError, match=message):
            Target(**wrong)
    for largest in (Target(scale=1e8), Target(width=10**8), Target(height=10**8), Target(megapixels=1e8)):
        assert steps_to(largest, 1, 5000, 2).width > 5000
    with pytest.raises(DataError, match=r"has 30 x 20 pixels already, more than asked for"):
        steps_to(Target(width=29), 20, 30, 4)
    with pytest.raises(AesopError, match="does not enlarge"):
        steps_to(Target(scale=2), 20, 30, 1)


def test_passes_then_one_antialiased_resize(tmp_path: Path) -> None:
    original = picture(13, 17, 4)
    original[..., 3] |= 1
    write_picture(tmp_path / "a.png", original)
    report = upscale(tmp_path / "a.png", MODEL, tmp_path / "three", scale=3)
    fourfold = torch.from_numpy(original.repeat(4, 0).repeat(4, 1)).permute(2, 0, 1)
    expected = resize(fourfold[:3], 0.75).permute(1, 2, 0).numpy().astype(int)
    result = read_picture(tmp_path / "three/a.png", alpha=True)
    assert result.shape == (39, 51, 4)
    assert np.abs(result[..., :3] - expected).max() <= 1  # 16 bits between the steps
    assert report.megapixels == pytest.approx(39 * 51 / 1e6)
    upscale(tmp_path / "a.png", MODEL, tmp_path / "eight", scale=8)
    assert np.array_equal(read_picture(tmp_path / "eight/a.png"), original[..., :3].repeat(8, 0).repeat(8, 1))
    upscale(tmp_path / "a.png", MODEL, tmp_path / "wide", width=100)
    assert read_picture(tmp_path / "wide/a.png").shape == (77, 100, 3)
    report = upscale(tmp_path / "a.png", MODEL, tmp_path / "small", height=12)
    assert "more than asked for" in report.failed[tmp_path / "a.png"]
    assert upscale(tmp_path / "a.png", MODEL, tmp_path / "wide", width=100).skipped
    assert (
        "scale 5.88235; --overwrite"
        in upscale(tmp_path / "a.png", MODEL, tmp_path / "wide", scale=3).failed.popitem()[1]
    )


def test_a_picture_in_memory_of_any_size() -> None:
    image = Image.fromarray(picture(20, 30))
    assert aesop.upscale_picture(image, MODEL).size == (60, 40)
    assert aesop.upscale_picture(image, MODEL, scale=1.5).size == (45, 30)
    floating = torch.rand(2, 3, 20, 30)
    expected = resize(Repeat()(floating), 0.75).clamp(0, 1)
    torch.testing.assert_close(aesop.upscale_picture(floating, MODEL, width=45), expected)
    assert aesop.upscale_picture(picture(20, 30, 1), MODEL, megapixels=0.0054).shape == (60, 90, 1)


def run_of_two(folder: Path) -> list[dict[str, Tensor]]:
    states = []
    for stage in ("fidelity", "perceptual"):
        torch.manual_seed(len(states))
        states.append(randomise(SRVGGConfig(type="srvgg", features=4, convs=1).build(2)).state_dict())
        (folder / stage).mkdir(parents=True)
        write_state(folder / stage / "generator.safetensors", states[-1], {})
    return states


def test_the_dial(tmp_path: Path) -> None:
    states = run_of_two(tmp_path / "run")
    for alpha in (0.0, 0.3, 1.0):
        mixed = load_between(tmp_path / "run", alpha).model.state_dict()
        assert all(torch.equal(mixed[name], value) for name, value in interpolate(states[0], states[1], alpha).items())
    assert load_between(tmp_path / "run", 0.3).sha256 != load_between(tmp_path / "run", 0.4).sha256
    write_picture(tmp_path / "a.png", picture(16, 16))
    for dial, stage in ((1, "fidelity"), (0, "perceptual")):
        upscale(tmp_path / "a.png", tmp_path / "run", tmp_path / stage, fidelity=dial)
        model = tmp_path / "run" / stage / "generator.safetensors"
        upscale(tmp_path / "a.png", model, tmp_path / f"{stage}-alone")
        both = [read_picture(folder / "a.png") for folder in (tmp_path / stage, tmp_path / f"{stage}-alone")]
        assert np.array_equal(both[0], both[1])
    for model, message in (
        (MODEL, "needs a run's folder"),
        (tmp_path / "a.png", "has no fidelity network beside"),
        (tmp_path, "has no"),
    ):
        with pytest.raises(AesopError, match=message):
            upscale(tmp_path / "a.png", model, tmp_path / "out", fidelity=0.5)
    with pytest.raises(AesopError, match="--fidelity must be from 0 to 1, not 2"):
        upscale(tmp_path / "a.png", tmp_path / "run", tmp_path / "out", fidelity=2)
    (tmp_path / "run/fidelity/generator.safetensors").unlink()
    with pytest.raises(ModelError, match="has no fidelity network"):
        load_between(tmp_path / "run", 0.5)


def test_the_ensemble_does_not_know_up_from_left(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = randomise(SRVGGConfig(type="srvgg", features=4, convs=1).build(2))
    images = torch.rand(2, 3, 8, 12)
    with torch.no_grad():
        mean = Ensemble(model)(images)
        for turned, back in (
            (images.flip(3), lambda sr: sr.flip(3)),
            (images.flip(2), lambda sr: sr.flip(2)),
            (images.transpose(2, 3), lambda sr: sr.transpose(2, 3)),
        ):
            torch.testing.assert_close(back(Ensemble(model)(turned)), mean)
            assert not torch.allclose(back(model(turned)), model(images), atol=1e-3)
        parts = [model(images.rot90(turn, (2, 3))).rot90(-turn, (2, 3)) for turn in range(4)]
        parts += [model(images.flip(3).rot90(turn, (2, 3))).rot90(-turn, (2, 3)).flip(3) for turn in range(4)]
        torch.testing.assert_close(mean, torch.stack(parts).mean(dim=0))
    write_picture(tmp_path / "a.png", picture(9, 7))
    assert upscale(tmp_path / "a.png", MODEL, tmp_path / "out", ensemble=True).written
    assert "twice ensemble" in upscale(tmp_path / "a.png", MODEL, tmp_path / "out").failed.popitem()[1]


def test_names(tmp_path: Path) -> None:
    for name in ("in/a.b.png", "in/deep/c.gif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(8, 8)).save(tmp_path / name)
    upscale(tmp_path / "in", MODEL, tmp_path / "out", name="{stem}_x{scale}_{model}", scale=1.5)
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert found == ["a.b_x1.5_twice.png", "deep/c_x1.5_twice.png"]
    upscale(tmp_path / "in/a.b.png", MODEL, tmp_path / "in", name="{stem}_x{scale}")  # beside its original
    assert (tmp_path / "in/a.b_x2.png").is_file()
    for template, message in (
        ("result", "must hold {stem}"),
        ("{stem}{width}", "there are {stem}, {model} and {scale}"),
        ("{stem:>99}", "there are"),
        ("{stem.__class__}", "there are"),
        ("{stem", "expected '}'"),
        ("../{stem}", "is a file's name"),
    ):
        with pytest.raises(AesopError, match=message):
            Name(template, scale=2)
    with pytest.raises(AesopError, match="known with --scale only"):
        upscale(tmp_path / "in", MODEL, tmp_path / "out", name="{stem}_{scale}", width=900)
