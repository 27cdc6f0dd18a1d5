"""The distance of radial spectra: closed forms, and a loop over frequencies in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from aesop.errors import DataError
from aesop.metrics.spectrum import radial_spectrum, spectrum_distance


def noise(size: tuple[int, int], deviation: float, seed: int = 0) -> Tensor:
    values = torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(seed))
    return (0.5 + deviation * values).clamp(0, 1).expand(-1, 3, -1, -1)


def test_white_noise_has_its_variance_at_every_frequency() -> None:
    spectrum = radial_spectrum(noise((256, 384), 20 / 255))
    assert spectrum.shape == (1, 32)
    assert spectrum[0, 4:].numpy() == pytest.approx(400, rel=0.2)


def test_contrast_is_told_in_decibel() -> None:
    hr = noise((256, 256), 0.1)
    sr = 0.5 + (hr - 0.5) / 2
    assert spectrum_distance(sr, hr, 4).item() == pytest.approx(20 * np.log10(2), abs=0.05)
    assert spectrum_distance(hr, sr, 4).item() == pytest.approx(20 * np.log10(2), abs=0.05)
    assert spectrum_distance(hr, hr, 4).item() == 0


def test_rings_are_those_of_a_loop() -> None:
    images = noise((130, 144), 0.1, seed=3)
    grey = np.floor(images[0, 0].double().numpy() * 255 + 0.5)
    rows, columns = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size) for size in grey.shape)
    window = np.outer(rows, columns)
    window /= np.sqrt((window**2).mean())
    energy = np.abs(np.fft.fft2((grey - grey.mean()) * window, norm="ortho")) ** 2
    radius = np.hypot(np.fft.fftfreq(130)[:, None], np.fft.fftfreq(144))
    expected = [energy[(radius >= k / 64) & (radius < (k + 1) / 64)].mean() + 1 / 12 for k in range(32)]
    assert radial_spectrum(images)[0].numpy() == pytest.approx(np.array(expected))


def test_only_what_lies_beyond_the_lr_band_counts() -> None:
    hr = noise((128, 128), 0.05)
    wave = 0.1 * torch.cos(2 * torch.pi * torch.arange(128) / 16)  # 1/16 cycle a pixel; LR at x4 ends at 1/8
    assert spectrum_distance(hr + wave, hr, 4).item() < 0.3
    assert spectrum_distance(hr + wave, hr, 8).item() > 0.5


def test_small_pictures_and_other_sizes_are_named() -> None:
    with pytest.raises(DataError, match="128 pixels per side; this picture has 120x200"):
        spectrum_distance(torch.zeros(1, 3, 200, 120), torch.zeros(1, 3, 200, 120), 4)
    with pytest.raises(DataError, match="cannot be compared"):
        spectrum_distance(torch.zeros(1, 3, 200, 128), torch.zeros(1, 3, 200, 132), 4)
