"""The base of all degradations: HR pictures in, aligned training pairs out, each a function of a seed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from aesop.config import Config
from aesop.degradation.draws import Draws
from aesop.degradation.filtering import sharpen
from aesop.degradation.pool import PairPool


def _rising(bounds: tuple[Any, Any]) -> tuple[Any, Any]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"the range begins with {bounds[0]}, above its end {bounds[1]}; write the smaller one first")
    return bounds


Chance = Annotated[float, Field(ge=0, le=1)]
_Amount = Annotated[float, Field(ge=0)]
_Quality = Annotated[int, Field(ge=1, le=100)]
Range = Annotated[tuple[_Amount, _Amount], AfterValidator(_rising)]
QualityRange = Annotated[tuple[_Quality, _Quality], AfterValidator(_rising)]


class DegradationSection(Config):
    """A degradation: it makes LR crops of HR crops while training."""

    type: Any
    source_crop: int = Field(
        400, ge=8, description="side of the HR crops that are degraded, before a crop for training is cut out of them"
    )
    pool: int = Field(0, ge=0, description="earlier pairs that a batch is mixed with; 0: none")
    sharpen: bool = Field(False, description="sharpen HR pictures before degrading, and as targets of the losses")

    def check(self, scale: int, crop: int) -> None:
        """Raise ValueError, with the mend, if HR crops of `crop` pixels cannot be cut out of degraded ones."""
        source = self.source_crop
        if crop % scale:
            raise ValueError(f"a crop of {crop} pixels is not a multiple of the scale {scale}; take one that is")
        if source % scale:
            mend = f"take {source // scale * scale}"
            raise ValueError(f"degradation.source_crop: {source} is not a multiple of the scale {scale}; {mend}")
        if source < crop:
            raise ValueError(
                f"degradation.source_crop: {source} pixels hold no crop of {crop} at scale {scale}; "
                "take a larger source_crop or smaller crops"
            )

    def build(self, scale: int, crop: int) -> Degradation:
        """Build the degradation of HR crops to LR crops of `crop` / `scale` pixels."""
        raise NotImplementedError


class Degradation(ABC):
    """Make LR images, and pairs of HR crops of `crop` pixels and their LR, from HR images.

    No gradients; all that is random comes from the seed, drawn on the CPU.
    """

    #: Whether every image has parameters of its own; else some are drawn once for a batch.
    one_by_one: ClassVar[bool]
    config: Any

    def __init__(self, scale: int, crop: int, config: DegradationSection) -> None:
        config.check(scale, crop)
        self.scale, self.crop, self.config = scale, crop, config
        self.pool = PairPool(config.pool)

    @torch.no_grad()
    def __call__(self, hr: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Degrade HR images (N, 3, H, W) in [0, 1] and cut pairs out, H and W at least `crop`.

        Returns LR images (N, 3, crop / scale, crop / scale) of levels k / 255 and their HR crops (N, 3, crop, crop),
        not sharpened; with a pool, pairs of earlier calls.
        """
        draws = Draws(seed)
        hr = self._whole_pixels(hr)
        pairs = [self._pair(images, draws) for images in (hr.split(1) if self.one_by_one else [hr])]
        lr, hr = (torch.cat(side) for side in zip(*pairs, strict=True))
        return self.pool.exchange(lr, hr, draws)

    @torch.no_grad()
    def degrade_whole(self, picture: Tensor, seed: int) -> Tensor:
        """Degrade a picture (1, 3, H, W) in [0, 1]: LR (1, 3, H // scale, W // scale) of levels k / 255.

        Rows and columns at the bottom and right that make no whole LR pixel are left out. The pool takes no part.
        """
        return self._degrade(self.sharpen(self._whole_pixels(picture)), Draws(seed))

    @torch.no_grad()
    def sharpen(self, hr: Tensor) -> Tensor:
        """HR images (N, 3, H, W) as the losses' targets: sharpened, if the recipe says so."""
        return sharpen(hr) if self.config.sharpen else hr

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state that the next call depends on besides its seed."""
        return self.pool.state_dict()

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Continue from what `state_dict` returned."""
        self.pool.load_state_dict(state_dict)

    @abstractmethod
    def _degrade(self, images: Tensor, draws: Draws) -> Tensor:
        """Map images (N, 3, H, W), sides multiples of the scale, to LR of levels k / 255; N is 1 if `one_by_one`."""

    def _pair(self, hr: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Degrade images and cut the same place out of all of them."""
        lr = self._degrade(self.sharpen(hr), draws)
        small = self.crop // self.scale
        top, left = (draws.whole(0, side - small) for side in lr.shape[-2:])
        y, x = top * self.scale, left * self.scale
        return lr[..., top : top + small, left : left + small], hr[..., y : y + self.crop, x : x + self.crop]

    def _whole_pixels(self, hr: Tensor) -> Tensor:
        height, width = (side // self.scale * self.scale for side in hr.shape[-2:])
        return hr[..., :height, :width]
