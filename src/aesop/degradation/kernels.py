"""Blur kernels: Gaussian, generalised Gaussian, plateau and sinc, float64 on the CPU, each of sum 1.

Formulas and constants: Real-ESRGAN (Wang et al. 2021, section 3) as released in BasicSR, basicsr/data/degradations.py,
and Real-ESRGAN, realesrgan/data/realesrgan_dataset.py; BSRGAN's shifted Gaussian: KAIR, utils/utils_blindsr.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from aesop.degradation.draws import Draws

#: Sides that kernels are drawn from; zeros around smaller ones give a batch one size.
SIZES = tuple(range(7, 22, 2))
LARGEST = SIZES[-1]

#: Cut-off frequencies of sinc kernels in radians a pixel (realesrgan_dataset.py): small kernels can hold no lower one.
LOWEST_CUTOFF, LOWEST_CUTOFF_LARGE, LARGE = math.pi / 3, math.pi / 5, 13

#: A narrower Gaussian is a pulse in float64 anyway; a width of zero would divide by zero.
NARROWEST = 1e-3


def gaussian_kernel(size: int, widths: tuple[float, float], angle: float = 0.0, power: float = 1.0) -> Tensor:
    """Return exp(-q^power / 2) with q = r^T S^-1 r, (size, size): the Gaussian, or generalised where power is not 1.

    S has standard deviations `widths` (pixels) along axes turned by `angle` (radians, from x towards y).
    """
    return _normalised(torch.exp(-0.5 * _distance(size, widths, angle) ** power))


def plateau_kernel(size: int, widths: tuple[float, float], angle: float = 0.0, power: float = 1.0) -> Tensor:
    """Return 1 / (1 + q^power), (size, size), q as in `gaussian_kernel`: flat in the middle, with long tails."""
    return _normalised(1 / (1 + _distance(size, widths, angle) ** power))


def sinc_kernel(size: int, cutoff: float) -> Tensor:
    """Return the circular low-pass filter of `cutoff` (radians a pixel, at most pi), cut to (size, size).

    Its impulse response is cutoff J1(cutoff r) / (2 pi r).
    """
    axis = _axis(size)
    radius = torch.sqrt(axis * axis + (axis * axis)[:, None])
    centre = radius == 0
    radius[centre] = 1
    kernel = cutoff * torch.special.bessel_j1(cutoff * radius) / (2 * math.pi * radius)
    kernel[centre] = cutoff**2 / (4 * math.pi)  # the limit at zero
    return _normalised(kernel)


def shifted_gaussian(size: int, width: float, shift: float) -> Tensor:
    """Return a round Gaussian whose middle lies `shift` pixels up and left of the kernel's, linearly interpolated.

    Filtering with it and keeping every s-th pixel leaves a picture in place if `shift` is (s - 1) / 2.
    """
    taps = torch.exp(-0.5 * (_axis(size) / max(width, NARROWEST)) ** 2)
    positions = (torch.arange(size, dtype=torch.float64) + shift).clamp(max=size - 1)
    below = positions.floor().long()
    part = positions - below
    taps = taps[below] * (1 - part) + taps[(below + 1).clamp(max=size - 1)] * part
    return _normalised(torch.outer(taps, taps))


class _Shape(NamedTuple):
    kernel: Callable[[int, tuple[float, float], float, float], Tensor]
    round: bool
    powers: tuple[float, float]
    weight: float


#: options/train_realesrgan_x4plus.yml: kernel_list, kernel_prob, betag_range, betap_range.
SHAPES = (
    _Shape(gaussian_kernel, True, (1.0, 1.0), 0.45),
    _Shape(gaussian_kernel, False, (1.0, 1.0), 0.25),
    _Shape(gaussian_kernel, True, (0.5, 4.0), 0.12),
    _Shape(gaussian_kernel, False, (0.5, 4.0), 0.03),
    _Shape(plateau_kernel, True, (1.0, 2.0), 0.12),
    _Shape(plateau_kernel, False, (1.0, 2.0), 0.03),
)


def draw_blur(draws: Draws, sigma: tuple[float, float], sinc: float) -> Tensor:
    """Draw the kernel of one image, (21, 21): a sinc with probability `sinc`, else one of the `SHAPES`.

    `sigma` is the range of the standard deviations, in pixels. An exponent lies below 1 as often as above.
    """
    size = draws.choice(SIZES)
    if draws.chance(sinc):
        lowest = LOWEST_CUTOFF if size < LARGE else LOWEST_CUTOFF_LARGE
        return _widened(sinc_kernel(size, draws.uniform(lowest, math.pi)))
    shape = draws.choice(SHAPES, [shape.weight for shape in SHAPES])
    first, second, angle = draws.uniform(*sigma), draws.uniform(*sigma), draws.uniform(-math.pi, math.pi)
    power = draws.uniform(shape.powers[0], 1) if draws.chance(0.5) else draws.uniform(1, shape.powers[1])
    return _widened(shape.kernel(size, (first, first if shape.round else second), angle, power))


def draw_final_sinc(draws: Draws, probability: float) -> Tensor:
    """Draw the last filter of one image, (21, 21): a sinc with `probability`, else a pulse, which changes nothing."""
    size, cutoff = draws.choice(SIZES), draws.uniform(LOWEST_CUTOFF, math.pi)
    if draws.chance(probability):
        return _widened(sinc_kernel(size, cutoff))
    return _widened(torch.ones(1, 1, dtype=torch.float64))


def _axis(size: int) -> Tensor:
    return torch.arange(size, dtype=torch.float64) - (size - 1) / 2


def _distance(size: int, widths: tuple[float, float], angle: float) -> Tensor:
    x, y = _axis(size), _axis(size)[:, None]
    cosine, sine = math.cos(angle), math.sin(angle)
    along, across = cosine * x + sine * y, cosine * y - sine * x
    return (along / max(widths[0], NARROWEST)) ** 2 + (across / max(widths[1], NARROWEST)) ** 2


def _normalised(kernel: Tensor) -> Tensor:
    return kernel / kernel.sum()


def _widened(kernel: Tensor) -> Tensor:
    return F.pad(kernel, [(LARGEST - len(kernel)) // 2] * 4)
