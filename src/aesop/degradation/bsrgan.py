"""BSRGAN's degradation (Zhang et al. 2021): blur, resizing, noise and JPEG in random order, another JPEG at the end.

Released as `degradation_bsrgan` in KAIR, utils/utils_blindsr.py; every parameter is drawn for each image. There, as
here, the paper's seventh step (a camera's raw pipeline) does nothing: its model was never released. OpenCV's resizing
modes are torch's here; the two `area` differ where factors are not whole. Noise levels are not rounded.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from aesop.data import bicubic
from aesop.degradation.draws import Draws
from aesop.degradation.filtering import blur, resize_randomly
from aesop.degradation.jpeg import compress_randomly
from aesop.degradation.kernels import gaussian_kernel, shifted_gaussian
from aesop.degradation.noise import add_correlated, add_gaussian
from aesop.degradation.section import Chance, Degradation, DegradationSection, QualityRange, Range

STEPS = ("blur", "blur", "downscale", "fit", "noise", "jpeg")

#: `add_blur`: sides of the kernels.
SIZES = tuple(range(7, 26, 2))
#: `degradation_bsrgan`, downsample2: side and standard deviations (the larger times the scale) of the blur.
SKIP_SIZE, SKIP_WIDTHS = 25, (0.1, 0.6)
#: `add_Gaussian_noise`: how often noise is coloured, grey, or of channels that belong together.
NOISE_KINDS = ("coloured", "grey", "correlated")
NOISE_WEIGHTS = (0.4, 0.4, 0.2)


class BSRGANDegradation(Degradation):
    """Shuffled degradation, image by image."""

    one_by_one = True
    config: BSRGANDegradationConfig

    def _degrade(self, images: Tensor, draws: Draws) -> Tensor:
        config, scale = self.config, self.scale
        small = (images.shape[-2] // scale, images.shape[-1] // scale)
        if scale == 4 and draws.chance(config.halve):
            images, scale = self._halved(images, draws), 2
        for step in _shuffled(draws):
            if step == "blur":
                images = blur(images, _draw_kernel(draws, scale))
            elif step == "downscale":
                images = self._downscaled(images, scale, draws)
            elif step == "fit":
                images = resize_randomly(images, small, draws).clamp(0, 1)
            elif step == "noise":
                images = self._noisy(images, draws)
            elif draws.chance(config.jpeg):
                images = compress_randomly(images, config.quality, draws)
        return compress_randomly(images, config.quality, draws)

    def _halved(self, images: Tensor, draws: Draws) -> Tensor:
        height, width = (side // 2 for side in images.shape[-2:])
        if draws.chance(0.5):
            return resize_randomly(images, (height, width), draws).clamp(0, 1)
        return bicubic.resize(images, 1 / 2).clamp(0, 1)

    def _downscaled(self, images: Tensor, scale: int, draws: Draws) -> Tensor:
        if draws.chance(self.config.skip):
            kernel = shifted_gaussian(SKIP_SIZE, draws.uniform(SKIP_WIDTHS[0], SKIP_WIDTHS[1] * scale), (scale - 1) / 2)
            return blur(images, kernel)[..., ::scale, ::scale].clamp(0, 1)
        factor = 1 / draws.uniform(1, 2 * scale)
        height, width = (int(side * factor) for side in images.shape[-2:])
        return resize_randomly(images, (height, width), draws).clamp(0, 1)

    def _noisy(self, images: Tensor, draws: Draws) -> Tensor:
        low, high = self.config.noise
        kind = draws.choice(NOISE_KINDS, NOISE_WEIGHTS)
        if kind == "correlated":
            return add_correlated(images, _draw_covariance(draws, high), draws.fork())
        sigmas = [draws.uniform(low, high) for _ in images]
        return add_gaussian(images, sigmas, [kind == "grey"] * len(images), draws.fork())


def _shuffled(draws: Draws) -> list[str]:
    """The steps in random order, but `fit` after `downscale`."""
    order = [STEPS[number] for number in draws.order(len(STEPS))]
    down, fit = order.index("downscale"), order.index("fit")
    if fit < down:
        order[down], order[fit] = order[fit], order[down]
    return order


def _draw_kernel(draws: Draws, scale: int) -> Tensor:
    size = draws.choice(SIZES)
    if draws.chance(0.5):
        first, second = (math.sqrt(draws.uniform(0, 4 + scale)) for _ in range(2))
        return gaussian_kernel(size, (first, second), draws.uniform(0, math.pi))
    width = draws.uniform(0, 2 + 0.2 * scale)
    return gaussian_kernel(size, (width, width))


def _draw_covariance(draws: Draws, level: float) -> Tensor:
    """Draw |U^T D U| level^2, (3, 3): D uniform in [0, 1], U an orthonormal basis of a matrix of such numbers."""
    numbers = torch.tensor([draws.uniform(0, 1) for _ in range(12)], dtype=torch.float64)
    basis = torch.linalg.svd(numbers[3:].view(3, 3))[0]
    return (basis.T @ numbers[:3].diag() @ basis).abs() * level**2


class BSRGANDegradationConfig(DegradationSection):
    """BSRGAN's degradation; the defaults are those of KAIR's `degradation_bsrgan`."""

    type: Literal["bsrgan"]
    halve: Chance = Field(0.25, description="probability, at scale 4, of halving a picture and going on at scale 2")
    skip: Chance = Field(0.25, description="probability of downscaling by skipping pixels instead of by resizing")
    noise: Range = Field((2.0, 25.0), description="standard deviation of Gaussian noise, 8-bit levels")
    jpeg: Chance = Field(0.9, description="probability of a JPEG compression before the last one")
    quality: QualityRange = Field((30, 95), description="JPEG qualities")

    def build(self, scale: int, crop: int) -> BSRGANDegradation:
        """Build the degradation."""
        return BSRGANDegradation(scale, crop, self)
