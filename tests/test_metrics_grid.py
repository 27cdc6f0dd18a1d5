"""The grid metric against loops in numpy, on patterns of known energy, and on patterns that it must ignore."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from aesop.errors import DataError
from aesop.metrics import METRICS, Sample
from aesop.metrics.grid import grid
from helpers import synthetic_picture


def noise(side: int, deviation: float, seed: int = 0) -> Tensor:
    """Grey noise about 0.5, (1, 3, side, side)."""
    values = torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(seed))
    return (0.5 + deviation * values).expand(-1, 3, -1, -1).clamp(0, 1)


def grid_by_loops(pixels: np.ndarray, scale: int) -> float:
    """The metric of (H, W) grey levels, frequency by frequency."""
    side = 32 * scale
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(side) / side)
    ratios = []
    for top in range(0, pixels.shape[0] - side + 1, side):
        for left in range(0, pixels.shape[1] - side + 1, side):
            square = pixels[top : top + side, left : left + side]
            energy = np.abs(np.fft.fft2((square - square.mean()) * np.outer(window, window))) ** 2
            on, beside = 0.0, 0.0
            for row in range(0, side, 32):
                for column in range(0, side, 32):
                    if row or column:
                        on += energy[row, column]
                        around = [(row + y, column + x) for y in (-3, 0, 3) for x in (-3, 0, 3) if y or x]
                        beside += sum(energy[y % side, x % side] for y, x in around) / 8
            ratios.append(on / beside)
    return 10 * np.log10(np.median(ratios))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_it_is_the_median_over_squares_of_the_energy_ratio(scale: int) -> None:
    images = noise(64 * scale + 5, 0.1)
    levels = np.floor(images[0, 0].double().numpy() * 255 + 0.5)
    assert grid(images, scale).item() == pytest.approx(grid_by_loops(levels, scale), abs=1e-9)


def test_a_pattern_of_the_scale_s_period_adds_its_energy() -> None:
    """At ±1/4 a wave of amplitude a has energy (a / 2)^2 (N mean(w)^2)^2; noise of deviation d has d^2 mean(w^2)^2."""
    side, amplitude, deviation = 512, 10 / 255, 10 / 255
    wave = amplitude * torch.cos(torch.arange(side) * torch.pi / 2)
    window = torch.hann_window(128, dtype=torch.float64)
    energy = 2 * (amplitude / 2) ** 2 * (window.mean() ** 2 * 128) ** 2
    plain = deviation**2 * (window.square().mean()) ** 2
    expected = 10 * torch.log10(1 + energy / (15 * plain)).item()
    assert grid(noise(side, deviation), 4).item() == pytest.approx(0, abs=1)
    assert grid(noise(side, deviation) + wave, 4).item() == pytest.approx(expected, abs=1)
    assert grid(noise(side, deviation) + torch.cos(torch.arange(side) * torch.pi / 3) * amplitude, 4).item() < 1


def test_one_square_with_a_pattern_does_not_decide() -> None:
    images = noise(384, 0.05)
    images[..., :128, :128] += 0.2 * torch.cos(torch.arange(128) * torch.pi / 2)
    assert grid(images[..., :128, :128], 4).item() > 15
    assert grid(images, 4).item() == pytest.approx(grid(noise(384, 0.05), 4).item(), abs=2)


def test_flat_squares_are_left_out() -> None:
    images = noise(256, 0.05)
    images[..., :128] = 0.25
    assert grid(images, 4).item() == pytest.approx(grid(images[..., 128:], 4).item(), abs=1e-9)
    with pytest.raises(DataError, match="not flat"):
        grid(images[..., :128], 4)


def test_a_picture_smaller_than_a_square_is_named() -> None:
    with pytest.raises(DataError, match="needs 128 pixels per side; this picture has 120x200"):
        grid(torch.zeros(1, 3, 200, 120), 4)


def test_sr_and_hr_are_measured_by_the_same_rule() -> None:
    sr, hr = noise(128, 0.1), torch.from_numpy(synthetic_picture(128, 128, seed=1)).permute(2, 0, 1)[None] / 255.0
    sample = Sample(sr, hr, sr[..., ::4, ::4], 4)
    measured = {name: METRICS[name].measure(sample) for name in ("grid", "grid-hr")}
    assert measured == {"grid": grid(sr, 4).item(), "grid-hr": grid(hr, 4).item()}
