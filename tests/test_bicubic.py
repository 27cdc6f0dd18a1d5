"""`resize` against MATLAB's definition written out slowly, Pillow, and the published LR files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aesop.data.bicubic import resize
from aesop.data.pictures import find_pictures, read_picture

FACTORS = (1 / 2, 1 / 3, 1 / 4, 1 / 8, 2, 3, 4, 8)


def keys_cubic(x: float) -> float:
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    if x <= 2:
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return 0.0


def slow_axis(values: np.ndarray, factor: float, repeat: bool = False) -> np.ndarray:
    """imresize along the first axis, as MATLAB's documentation defines it, in 1-based coordinates."""
    size = len(values)
    shrinking = min(factor, 1.0)
    result = []
    for output in range(1, math.ceil(round(size * factor, 6)) + 1):
        position = output / factor + 0.5 * (1 - 1 / factor)
        reach = math.ceil(2 / shrinking) + 1
        total, norm = 0.0, 0.0
        for tap in range(math.floor(position) - reach, math.floor(position) + reach + 1):
            weight = shrinking * keys_cubic(shrinking * (position - tap))
            mirrored = (tap - 1) % (2 * size)  # ... 3 2 1 | 1 2 3 ... n | n n-1 ...
            mirrored = mirrored if mirrored < size else 2 * size - 1 - mirrored
            repeated = min(max(tap, 1), size) - 1
            total, norm = total + weight * values[repeated if repeat else mirrored], norm + weight
        result.append(total / norm)
    return np.stack(result)


def slow(image: np.ndarray, factor: float) -> np.ndarray:
    """H x W -> resized H x W."""
    return slow_axis(slow_axis(image, factor).T, factor).T


@pytest.mark.parametrize("factor", FACTORS)
@settings(max_examples=12, deadline=None)
@given(height=st.integers(1, 37), width=st.integers(1, 37), seed=st.integers(0, 1000))
def test_equals_the_definition(factor: float, height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).uniform(-1, 2, (height, width))
    ours = resize(torch.from_numpy(image)[None], factor)[0].numpy()
    # 1e-12: a few dozen float64 roundings of values up to 2.
    np.testing.assert_allclose(ours, slow(image, factor), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("size", "factor"), [((300, 523), 1 / 4), ((301, 200), 1 / 3), ((90, 131), 3), ((200, 97), 0.37)]
)
def test_pictures_of_several_bands_equal_the_definition(size: tuple[int, int], factor: float) -> None:
    image = np.random.default_rng(0).uniform(0, 1, size)
    ours = resize(torch.from_numpy(image)[None], factor)[0].numpy()
    np.testing.assert_allclose(ours, slow(image, factor), rtol=0, atol=1e-12)


@pytest.mark.parametrize("factor", [1 / 2, 1 / 4, 2])
def test_published_rounds_between_the_passes_and_repeats_the_border(factor: float) -> None:
    # At these factors the weights are dyadic: float64 is exact, ties included.
    image = np.random.default_rng(2).choice([0, 100, 255], (34, 46))
    tall = np.floor(slow_axis(image, factor, repeat=True) + 0.5).clip(0, 255)
    expected = np.floor(slow_axis(tall.T, factor, repeat=True).T + 0.5).clip(0, 255)
    ours = resize(torch.from_numpy(image.astype(np.uint8))[None], factor, published=True)[0]
    np.testing.assert_array_equal(ours.numpy(), expected)


@pytest.mark.parametrize("factor", FACTORS)
def test_inside_equals_pillow(factor: float) -> None:
    # Pillow has the same kernel and antialiasing, other borders, and float32 between the passes.
    image = np.random.default_rng(1).uniform(0, 255, (96, 120)).astype(np.float32)
    size = (round(120 * factor), round(96 * factor))
    theirs = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    ours = resize(torch.from_numpy(image)[None], factor)[0].numpy()
    border = math.ceil(2 * max(factor, 1))
    inside = (slice(border, -border), slice(border, -border))
    np.testing.assert_allclose(ours[inside], theirs[inside], rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("name", "scale", "count"),
    [*(("Set5", scale, 5) for scale in (2, 3, 4)), *(("Set14", scale, 14) for scale in (2, 3, 4)), ("BSD100", 4, 100)],
)
def test_published_files_come_out_bit_for_bit(shared_data: Path, name: str, scale: int, count: int) -> None:
    # Grey files are grey on both sides, so that repeating the channel changes nothing.
    pairs = [
        (p, p.parent.parent / f"LRx{scale}" / p.name)
        for p in find_pictures(shared_data / f"benchmarks/{name}/HRx{scale}")
    ]
    assert len(pairs) == count
    for hr, lr in pairs:
        ours = resize(torch.from_numpy(read_picture(hr)).permute(2, 0, 1), 1 / scale, published=True)
        np.testing.assert_array_equal(ours.permute(1, 2, 0).numpy(), read_picture(lr), err_msg=str(hr))


@pytest.mark.parametrize("factor", [1 / 3, 1 / 4, 3])
def test_gradient(factor: float) -> None:
    images = torch.rand(2, 1, 7, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: resize(x, factor), images)


@given(level=st.integers(0, 255), height=st.integers(1, 90), width=st.integers(1, 90), factor=st.sampled_from(FACTORS))
@settings(max_examples=40, deadline=None)
def test_constant_images_stay_constant(level: int, height: int, width: int, factor: float) -> None:
    image = torch.full((1, height, width), level, dtype=torch.uint8)
    for published in (False, True):
        result = resize(image, factor, published=published)
        assert result.shape == (1, math.ceil(round(height * factor, 6)), math.ceil(round(width * factor, 6)))
        assert (result == level).all()
    torch.testing.assert_close(resize(image.double(), factor), torch.full_like(result.double(), level))


def test_8_bit_is_rounded_once_half_up_and_clamped() -> None:
    image = torch.randint(0, 256, (3, 40, 44), dtype=torch.uint8)
    exact = np.stack([slow(channel.numpy().astype(float), 1 / 4) for channel in image])
    # A quarter's weights are dyadic, so that float64 is exact here, ties included.
    expected = np.floor(exact + 0.5).clip(0, 255)
    np.testing.assert_array_equal(resize(image, 1 / 4).numpy(), expected)
    edge = torch.tensor([0, 0, 255, 255], dtype=torch.uint8).repeat(1, 4, 1)
    assert resize(edge.double(), 4).min() < 0 < 255 < resize(edge.double(), 4).max()
    assert set(resize(edge, 4).unique().tolist()) >= {0, 255}
    half = torch.tensor([[[0, 0, 1, 1]] * 4], dtype=torch.uint8)
    assert resize(half.double(), 1 / 4).item() == 0.5
    assert resize(half, 1 / 4).item() == 1


def test_batches_and_types() -> None:
    images = torch.rand(2, 3, 20, 24)
    result = resize(images, 1 / 4)
    assert result.shape == (2, 3, 5, 6)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result[1], resize(images[1], 1 / 4), rtol=0, atol=0)
    torch.testing.assert_close(result.double(), resize(images.double(), 1 / 4), rtol=0, atol=1e-7)
    assert resize(images.bfloat16(), 2).dtype == torch.bfloat16


def test_use_in_inference_mode_first_does_not_spoil_training() -> None:
    with torch.inference_mode():
        resize(torch.rand(1, 53, 59), 1 / 4)
    images = torch.rand(1, 53, 59, requires_grad=True)
    resize(images, 1 / 4).sum().backward()
    assert images.grad is not None


@pytest.mark.parametrize(
    ("images", "factor", "published"),
    [
        (torch.zeros(4, 4), 0.5, False),
        (torch.zeros(1, 0, 4), 0.5, False),
        (torch.zeros(1, 4, 4), 0.0, False),
        (torch.zeros(1, 4, 4), 0.5, True),
        (torch.zeros(1, 4, 4, dtype=torch.int64), 0.5, False),
    ],
)
def test_wrong_use_is_refused(images: torch.Tensor, factor: float, published: bool) -> None:
    with pytest.raises(ValueError, match="must be"):
        resize(images, factor, published=published)
