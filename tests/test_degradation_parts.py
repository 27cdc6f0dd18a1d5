"""The steps of the degradations, each against its formula, its statistics or another library."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from torch import Tensor

from aesop.degradation.draws import Draws
from aesop.degradation.filtering import blur, resize, sharpen
from aesop.degradation.jpeg import compress
from aesop.degradation.kernels import (
    draw_blur,
    draw_final_sinc,
    gaussian_kernel,
    plateau_kernel,
    shifted_gaussian,
    sinc_kernel,
)
from aesop.degradation.noise import add_correlated, add_gaussian, add_poisson
from helpers import synthetic_picture


def photo(height: int, width: int) -> Tensor:
    return torch.from_numpy(synthetic_picture(height, width, 0)).permute(2, 0, 1).float()[None] / 255


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def offsets(size: int) -> np.ndarray:
    """(size, size, 2): x (columns) and y (rows) from the middle."""
    axis = np.arange(size) - size // 2
    return np.stack(np.meshgrid(axis, axis), axis=-1)


def covariance(widths: tuple[float, float], angle: float) -> np.ndarray:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return turn @ np.diag(np.square(widths)) @ turn.T


@pytest.mark.parametrize(("size", "widths", "angle"), [(7, (0.5, 0.5), 0.0), (21, (3.0, 0.8), 0.7), (13, (1, 2.5), -2)])
def test_gaussian_is_the_normal_density(size: int, widths: tuple[float, float], angle: float) -> None:
    # The stubs know covariances as whole numbers only.
    normal = stats.multivariate_normal(np.zeros(2), covariance(widths, angle))  # pyright: ignore[reportArgumentType]
    density = normal.pdf(offsets(size))
    np.testing.assert_allclose(gaussian_kernel(size, widths, angle).numpy(), density / density.sum(), atol=1e-14)


@pytest.mark.parametrize("power", [0.5, 1.7, 4.0])
def test_generalised_gaussian_and_plateau_follow_their_formulas(power: float) -> None:
    widths, angle, size = (2.2, 1.1), 0.4, 15
    inverse = np.linalg.inv(covariance(widths, angle))
    q = np.array([[r @ inverse @ r for r in row] for row in offsets(size)])
    for kernel, values in (
        (gaussian_kernel, np.exp(-(q**power) / 2)),
        (plateau_kernel, 1 / (1 + q**power)),
    ):
        np.testing.assert_allclose(kernel(size, widths, angle, power).numpy(), values / values.sum(), atol=1e-14)


@pytest.mark.parametrize("cutoff", [math.pi / 5, math.pi / 3, 2.5])
def test_sinc_passes_what_is_below_its_cutoff(cutoff: float) -> None:
    size = 255  # long enough for the ideal filter to show
    spectrum = np.abs(np.fft.fft2(sinc_kernel(size, cutoff).numpy()))
    frequency = 2 * math.pi * np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    # 0.05: what is left of the ringing of an impulse response cut off after 127 pixels.
    assert abs(spectrum[frequency < 0.85 * cutoff] - 1).max() < 0.05
    stopped = spectrum[(frequency > 1.15 * cutoff) & (frequency < math.pi)]
    assert stopped.max() < 0.05
    assert 0.4 < spectrum[abs(frequency - cutoff) < 0.02].mean() < 0.6


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_shifted_gaussian_keeps_a_picture_in_place_when_pixels_are_skipped(scale: int) -> None:
    columns = torch.arange(160, dtype=torch.float64)
    ramp = (columns + 3 * columns[:, None])[None, None]
    kept = blur(ramp, shifted_gaussian(25, 0.3 * scale, (scale - 1) / 2))[0, 0, ::scale, ::scale]
    inside = slice(16 // scale + 2, -(16 // scale + 3))
    middles = torch.arange(len(kept), dtype=torch.float64) * scale + (scale - 1) / 2
    expected = middles + 3 * middles[:, None]
    # 0.01 pixels: wide kernels are cut off.
    torch.testing.assert_close(kept[inside, inside], expected[inside, inside], rtol=0, atol=0.04)


def test_kernels_are_drawn_as_often_as_published() -> None:
    draws = Draws(0)
    kernels = torch.stack([draw_blur(draws, (0.2, 3.0), 0.1) for _ in range(3000)])
    assert kernels.shape == (3000, 21, 21)
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(3000, dtype=torch.float64))
    sinc = kernels.amin((1, 2)) < 0
    # 4 standard deviations of 3,000 draws: 0.022 and 0.036.
    assert abs(sinc.double().mean() - 0.1) < 0.022
    round_ = (kernels - kernels.rot90(1, (1, 2))).abs().amax((1, 2)) < 1e-12
    assert abs(round_[~sinc].double().mean() - (0.45 + 0.12 + 0.12)) < 0.036
    sizes = (kernels != 0).any(1).sum(1)
    assert set(sizes.tolist()) >= {7, 9, 11, 13, 15, 17, 19, 21}
    lasts = torch.stack([draw_final_sinc(draws, 0.8) for _ in range(1000)])
    pulses = (lasts != 0).sum((1, 2)) == 1
    assert abs(pulses.double().mean() - 0.2) < 0.051
    assert (lasts[pulses, 10, 10] == 1).all()


@pytest.mark.parametrize("size", [(30, 41), (8, 5), (1, 3)])
def test_blur_equals_scipy_also_where_the_kernel_is_larger_than_the_picture(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    images, kernels = rng.uniform(size=(2, 3, *size)), rng.uniform(-1, 1, (2, 21, 21))
    ours = blur(torch.from_numpy(images), torch.from_numpy(kernels)).numpy()
    for image, kernel, result in zip(images, kernels, ours, strict=True):
        theirs = [ndimage.convolve(channel, kernel, mode="mirror") for channel in image]
        np.testing.assert_allclose(result, theirs, rtol=0, atol=1e-12)
    shared = blur(torch.from_numpy(images), torch.from_numpy(kernels[1])).numpy()
    np.testing.assert_allclose(shared[1], ours[1], rtol=0, atol=1e-12)


def test_sharpening_equals_opencv_step_by_step() -> None:
    image = photo(90, 70)[0].permute(1, 2, 0).double().numpy()

    def blurred(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (51, 51), 0, borderType=cv2.BORDER_REFLECT_101)

    residual = image - blurred(image)
    mask = blurred((np.abs(residual) * 255 > 10).astype(np.float64))
    expected = mask * np.clip(image + 0.5 * residual, 0, 1) + (1 - mask) * image
    ours = sharpen(torch.from_numpy(image).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9)
    assert np.abs(ours - image).max() > 0.05


def test_gaussian_noise_has_the_deviation_asked_for() -> None:
    images = torch.full((3, 3, 200, 200), 0.5)
    noise = (add_gaussian(images, [1.0, 10.0, 25.0], [False, True, False], generator()) - images) * 255
    # 2 %: 4 standard errors of a deviation estimated from 40,000 values.
    for field, sigma in zip(noise, (1.0, 10.0, 25.0), strict=True):
        assert field.std().item() == pytest.approx(sigma, rel=0.02)
    assert (noise[1, 0] == noise[1, 1]).all()
    assert (noise[1, 0] == noise[1, 2]).all()
    assert abs(np.corrcoef(noise[2].flatten(1).numpy())[0, 1]) < 0.03


def test_poisson_noise_has_a_variance_in_proportion_to_the_mean() -> None:
    values = torch.arange(60, 190).float() / 255  # 130 levels: 256 photons at white
    images = values.expand(2, 3, 4000, 130)
    noise = add_poisson(images, [0.5, 1.0], [False, True], generator()) - images
    for scale, field in zip((0.5, 1.0), noise, strict=True):
        ratio = field[0].var(0) / (scale**2 * values / 256)
        # 9 %: 4 standard errors of a variance from 4,000 values; 1 %: of their mean over 130 levels.
        assert abs(ratio - 1).max() < 0.1
        assert abs(ratio.mean() - 1) < 0.01
        assert abs(field.mean()) < 1e-4
    assert (noise[1, 0] == noise[1, 2]).all()
    assert (noise[0, 0] != noise[0, 2]).any()


def test_poisson_noise_of_few_levels_has_few_photons() -> None:
    images = torch.tensor([100, 120, 140]).float().div(255).expand(1, 3, 10000, 3)
    noise = add_poisson(images, [0.1], [False], generator()) - images
    expected = 0.1**2 * images[0, 0, 0] / 4
    torch.testing.assert_close(noise[0].var(1).mean(0), expected, rtol=0.05, atol=0)


def test_correlated_noise_has_the_covariance_asked_for() -> None:
    wanted = torch.tensor([[90.0, 40, 10], [40, 60, 20], [10, 20, 30]], dtype=torch.float64)
    images = torch.full((1, 3, 300, 300), 0.5)
    noise = (add_correlated(images, wanted, generator()) - images) * 255
    np.testing.assert_allclose(np.cov(noise[0].flatten(1).numpy()), wanted, atol=1.5)


@pytest.mark.parametrize("quality", [30, 61, 95])
def test_jpeg_equals_opencv(quality: int) -> None:
    image = photo(83, 101)
    levels = (image[0].permute(1, 2, 0) * 255).round().byte().numpy()
    _, encoded = cv2.imencode(".jpg", levels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    theirs = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert theirs is not None
    both = compress(torch.cat([image, image]), [quality, 100])
    ours = (both[0].permute(1, 2, 0) * 255).numpy()
    # One level: libjpeg's builds may round its fast colour conversion differently.
    assert abs(ours - theirs[..., ::-1].astype(float)).max() <= 1.001
    assert (both[1] - image[0]).abs().mean() < (both[0] - image[0]).abs().mean()


@pytest.mark.parametrize(
    ("mode", "flag", "size"),
    [
        *(("bilinear", cv2.INTER_LINEAR, size) for size in ((20, 33), (77, 90), (11, 10))),
        *(("bicubic", cv2.INTER_CUBIC, size) for size in ((20, 33), (77, 90), (11, 10))),
        ("area", cv2.INTER_AREA, (20, 30)),
    ],
)
def test_resizing_equals_opencv_which_does_not_antialias(mode: str, flag: int, size: tuple[int, int]) -> None:
    image = photo(60, 90)
    theirs = cv2.resize(image[0].permute(1, 2, 0).contiguous().numpy(), size[::-1], interpolation=flag)
    np.testing.assert_allclose(resize(image, size, mode)[0].permute(1, 2, 0).numpy(), theirs, rtol=0, atol=1e-4)
    assert resize(image, (0, 3), mode).shape == (1, 3, 1, 3)


def test_draws_are_uniform_within_their_bounds() -> None:
    draws = Draws(3)
    wholes = [draws.whole(30, 32) for _ in range(3000)]
    assert {wholes.count(value) for value in (30, 31, 32)} <= set(range(890, 1110))
    assert set(wholes) == {30, 31, 32}
    numbers = np.array([draws.uniform(-1, 3) for _ in range(2000)])
    assert stats.kstest(numbers, stats.uniform(-1, 4).cdf).pvalue > 1e-4
    chosen = [draws.choice("abcd", (0.0, 2.0, 0.0, 6.0)) for _ in range(2000)]
    assert set(chosen) == {"b", "d"}
    assert abs(chosen.count("b") / 2000 - 0.25) < 0.04
    assert sorted(draws.order(9)) == list(range(9))
