"""What all degradations share: HR pictures in, aligned training pairs out, each a function of a seed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from aesop.degradation import usm
from aesop.degradation.draws import Draws
from aesop.degradation.pool import PairPool


class Degradation(ABC):
    """Make LR crops of HR crops. No gradients; all that is random comes from the seed, drawn on the CPU.

    Args:
        scale: HR pixels a side of an LR pixel.
        crop: side of the HR crops that are returned, a multiple of `scale`.
        pool: pairs of earlier batches to mix with, 0 for none.
        sharpen: whether pictures are sharpened before they are degraded, and by `sharpen`.

    """

    #: Whether every image has parameters of its own; else some are drawn once for a batch.
    one_by_one: ClassVar[bool]

    def __init__(self, scale: int, crop: int, *, pool: int, sharpen: bool) -> None:
        self.scale, self.crop, self.sharpens = scale, crop, sharpen
        self.pool = PairPool(pool)

    @torch.no_grad()
    def __call__(self, hr: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Degrade HR images (N, 3, H, W) in [0, 1] and cut pairs out, H and W at least `crop`.

        Returns:
            LR images (N, 3, crop / scale, crop / scale) of levels k / 255 and their HR crops (N, 3, crop, crop), not
            sharpened; with a pool, pairs of earlier calls.

        """
        draws = Draws(seed)
        hr = self._whole_pixels(hr)
        pairs = [self._pair(images, draws) for images in (hr.split(1) if self.one_by_one else [hr])]
        lr, hr = (torch.cat(side) for side in zip(*pairs, strict=True))
        return self.pool.exchange(lr, hr, draws)

    @torch.no_grad()
    def degrade_whole(self, picture: Tensor, seed: int) -> Tensor:
        """Degrade a picture (1, 3, H, W) in [0, 1] whole: LR (1, 3, H // scale, W // scale) of levels k / 255.

        Rows and columns at the bottom and right that make no whole LR pixel are left out. The pool takes no part.
        """
        return self._degrade(self.sharpen(self._whole_pixels(picture)), Draws(seed))

    @torch.no_grad()
    def sharpen(self, hr: Tensor) -> Tensor:
        """Return HR images (N, 3, H, W) as the losses' targets: sharpened, or as they are."""
        return usm.sharpen(hr) if self.sharpens else hr

    def state_dict(self) -> dict[str, Tensor]:
        """Return what the next call depends on besides its seed."""
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
