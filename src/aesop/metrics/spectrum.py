"""Distance of radial spectra: how much more or less energy SR has than HR at each frequency beyond LR's band."""

from __future__ import annotations

import torch
from torch import Tensor

from aesop.errors import DataError
from aesop.metrics.grid import grey_levels
from aesop.metrics.metric import Metric, Sample
from aesop.metrics.protocol import require_same_size

#: Rings a cycle per pixel.
RINGS = 64
#: Variance of the rounding to 8 bit, in squared levels: no ring has less.
ROUNDING = 1 / 12


def hann_window(images: Tensor) -> Tensor:
    """The Hann window, (H, W), along either axis of images (..., H, W); of mean square 1: noise keeps its energy."""
    rows, columns = (torch.hann_window(size, dtype=images.dtype, device=images.device) for size in images.shape[-2:])
    window = rows[:, None] * columns
    return window / window.square().mean().sqrt()


def radial_spectrum(images: Tensor) -> Tensor:
    """Mean energy of grey images (N, 3, H, W) in [0, 1], rounded to 8 bit, by frequency: (N, 32) float64.

    Ring k has the frequencies from k/64 to (k + 1)/64 cycles a pixel, in any direction, under a Hann window.
    """
    grey = grey_levels(images)
    levels = grey - grey.mean(dim=(1, 2), keepdim=True)
    energy = torch.fft.fft2(levels * hann_window(grey), norm="ortho").abs().square()
    y, x = (torch.fft.fftfreq(size, dtype=grey.dtype, device=grey.device) for size in grey.shape[-2:])
    ring = ((y[:, None] ** 2 + x**2).sqrt() * RINGS).long().clamp(max=RINGS).flatten()
    sums = energy.new_zeros(len(energy), RINGS + 1).index_add_(1, ring, energy.flatten(1))
    counts = ring.bincount(minlength=RINGS + 1).clamp(min=1)
    return ((sums / counts) + ROUNDING)[:, : RINGS // 2]


def spectrum_distance(sr: Tensor, hr: Tensor, scale: int) -> Tensor:
    """Mean |10 log10(SR / HR)| of the energy of the rings from 1/(2 scale) on, of images (N, 3, H, W): (N,) in dB.

    Raises DataError where sizes differ or a side is too short for a frequency in every ring.
    """
    require_same_size(sr, hr)
    if min(sr.shape[-2:]) < 2 * RINGS:
        raise DataError(f"spectra need {2 * RINGS} pixels per side; this picture has {sr.shape[-1]}x{sr.shape[-2]}")
    ratio = radial_spectrum(sr) / radial_spectrum(hr)
    return (10 * ratio.log10()).abs()[:, RINGS // (2 * scale) :].mean(dim=1)


class Spectrum(Metric):
    """`spectrum_distance` of SR and HR."""

    name, title = "spectrum", "Spectrum"
    higher_is_better = False
    unit, digits = "dB", 2
    by_default = False
    protocol = "mean |dB| between the radial spectra of SR and HR beyond LR's band, on rounded grey"

    def measure(self, sample: Sample) -> float:
        return spectrum_distance(sample.sr, sample.hr, sample.scale).item()
