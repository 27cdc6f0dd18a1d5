"""Real-ESRGAN's second-order degradation (Wang et al. 2021).

Twice blur, resizing, noise and JPEG, the second time with a sinc filter beside the JPEG compression, as released in
realesrgan/models/realesrgan_model.py (`feed_data`), realesrgan/data/realesrgan_dataset.py (kernels) and
options/train_realesrgan_x4plus.yml (the defaults below). A batch shares what decides its shape and sequence (the second
blur, factors and modes of resizing, kind of noise, order of the last two steps, position of the crop); each image has
its own kernels, noise levels, grey or coloured noise, and JPEG qualities.

Two things differ. Resizing goes to a size: by a factor, bilinear and bicubic pictures end up stretched against their
HR by up to one pixel of the smaller picture. JPEG is libjpeg's, of whole qualities.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from aesop.config import Config
from aesop.data.pictures import to_float, to_levels
from aesop.degradation.draws import Draws
from aesop.degradation.filtering import blur, resize_randomly
from aesop.degradation.jpeg import compress_randomly
from aesop.degradation.kernels import draw_blur, draw_final_sinc
from aesop.degradation.noise import add_gaussian, add_poisson
from aesop.degradation.section import Chance, Degradation, DegradationSection, QualityRange, Range

_Weight = Annotated[float, Field(ge=0)]


class FirstConfig(Config):
    """The first round."""

    blur: Chance = Field(1.0, description="probability that a batch is blurred")
    sigma: Range = Field((0.2, 3.0), description="standard deviation of the blur, pixels")
    sinc: Chance = Field(0.1, description="probability that an image's kernel is a sinc: ringing")
    resize: tuple[_Weight, _Weight, _Weight] = Field((0.2, 0.7, 0.1), description="how often up, down and not at all")
    factor: Range = Field((0.15, 1.5), description="factors of resizing: the smallest down, the largest up")
    gaussian: Chance = Field(0.5, description="probability that a batch's noise is Gaussian, else Poisson")
    noise: Range = Field((1.0, 30.0), description="standard deviation of Gaussian noise, 8-bit levels")
    poisson: Range = Field((0.05, 3.0), description="scale of Poisson noise")
    grey: Chance = Field(0.4, description="probability that an image's noise is grey")
    jpeg: QualityRange = Field((30, 95), description="JPEG qualities")

    @model_validator(mode="after")
    def _possible(self) -> FirstConfig:
        if not sum(self.resize):
            raise ValueError("resize: one of the weights must be positive; write weights such as [0.2, 0.7, 0.1]")
        if not 0 < self.factor[0] <= 1 <= self.factor[1]:
            raise ValueError(f"factor: {list(self.factor)} must begin above 0, at most at 1, and end at 1 or above")
        return self


class SecondConfig(FirstConfig):
    """The second round, milder; its factors are relative to the LR size."""

    blur: Chance = Field(0.8, description="probability that a batch is blurred")
    sigma: Range = Field((0.2, 1.5), description="standard deviation of the blur, pixels")
    resize: tuple[_Weight, _Weight, _Weight] = Field((0.3, 0.4, 0.3), description="how often up, down and not at all")
    factor: Range = Field((0.3, 1.2), description="factors of resizing: the smallest down, the largest up")
    noise: Range = Field((1.0, 25.0), description="standard deviation of Gaussian noise, 8-bit levels")
    poisson: Range = Field((0.05, 2.5), description="scale of Poisson noise")


class RealESRGANDegradation(Degradation):
    """Second-order degradation of a batch."""

    one_by_one = False
    config: RealESRGANDegradationConfig

    def _degrade(self, images: Tensor, draws: Draws) -> Tensor:
        height, width = images.shape[-2:]
        small = (height // self.scale, width // self.scale)
        first, second = self.config.first, self.config.second
        images = _degrade_once(images, first, (height, width), draws)
        images = compress_randomly(images, first.jpeg, draws)
        images = _degrade_once(images, second, small, draws)
        sincs = torch.stack([draw_final_sinc(draws, self.config.final_sinc) for _ in images])
        # Its authors found that any other order twists lines.
        if draws.chance(0.5):
            images = blur(resize_randomly(images, small, draws), sincs)
            images = compress_randomly(images, second.jpeg, draws)
        else:
            images = compress_randomly(images, second.jpeg, draws)
            images = blur(resize_randomly(images, small, draws), sincs)
        return to_float(to_levels(images))


def _degrade_once(images: Tensor, config: FirstConfig, size: tuple[int, int], draws: Draws) -> Tensor:
    """Blur images, resize them to `size` times a random factor, and add noise."""
    kernels = torch.stack([draw_blur(draws, config.sigma, config.sinc) for _ in images])
    if draws.chance(config.blur):
        images = blur(images, kernels)
    ranges = ((1.0, config.factor[1]), (config.factor[0], 1.0), (1.0, 1.0))
    factor = draws.uniform(*draws.choice(ranges, config.resize))
    images = resize_randomly(images, (int(size[0] * factor), int(size[1] * factor)), draws)
    gaussian = draws.chance(config.gaussian)
    strengths = [draws.uniform(*(config.noise if gaussian else config.poisson)) for _ in images]
    grey = [draws.chance(config.grey) for _ in images]
    return (add_gaussian if gaussian else add_poisson)(images, strengths, grey, draws.fork())


class RealESRGANDegradationConfig(DegradationSection):
    """Real-ESRGAN's degradation."""

    type: Literal["real-esrgan"]
    pool: int = Field(180, ge=0, description="earlier pairs that a batch is mixed with; 0: none")
    sharpen: bool = Field(True, description="sharpen HR pictures before degrading, and as targets of the losses")
    first: FirstConfig = Field(default_factory=lambda: FirstConfig.model_validate({}))
    second: SecondConfig = Field(default_factory=lambda: SecondConfig.model_validate({}))
    final_sinc: Chance = Field(0.8, description="probability that an image's last filter is a sinc")

    def build(self, scale: int, crop: int) -> RealESRGANDegradation:
        """Build the degradation."""
        return RealESRGANDegradation(scale, crop, self)
