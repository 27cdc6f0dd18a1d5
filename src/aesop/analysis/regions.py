"""The squares of a picture that are worth looking at: where networks differ, and where downscaling loses most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from aesop.data.bicubic import resize

#: Grey levels at which a difference counts half, so that one hard edge does not outweigh texture.
_HALF = 10


@dataclass(frozen=True)
class Region:
    """A square of an HR picture, in pixels, its corner on the LR picture's grid."""

    top: int
    left: int
    side: int

    def __str__(self) -> str:
        return f"{self.top},{self.left},{self.side}"

    def cut(self, picture: Tensor) -> Tensor:
        """Cut the square out of (C, H, W)."""
        return picture[:, self.top : self.top + self.side, self.left : self.left + self.side]


def detailed_regions(hr: Tensor, lr: Tensor, count: int, side: int) -> list[Region]:
    """Find at most `count` squares, none over another, of the largest mean of |HR - bicubic(LR)|, soft-limited.

    `hr` is uint8 (3, H, W), at least `side` pixels a side, which is a multiple of the scale; `lr` is its uint8 LR.
    """
    scale = hr.shape[-1] // lr.shape[-1]
    return _largest((hr.float() - resize(lr, scale).float()).abs(), scale, count, side)


def differing_region(pictures: Sequence[Tensor], scale: int, side: int) -> Region | None:
    """Find the square in which pictures differ most: the mean of their range, soft-limited; None if all are equal.

    They are uint8 (3, H, W), two or more, at least `side` pixels a side, which is a multiple of the scale.
    """
    spread = reduce(torch.maximum, pictures) - reduce(torch.minimum, pictures)
    return _largest(spread.float(), scale, 1, side)[0] if spread.any() else None


def _largest(differences: Tensor, scale: int, count: int, side: int) -> list[Region]:
    """At most `count` squares of (3, H, W) differences, none over another, the largest first."""
    weights = differences.mean(dim=0)
    weights = (weights / (weights + _HALF)).view(1, 1, *weights.shape)
    regions, reach = [], side // scale
    # One value for every possible corner on the LR grid.
    score = F.avg_pool2d(F.avg_pool2d(weights, scale), reach, stride=1)[0, 0]
    while len(regions) < count and score.max() >= 0:
        row, column = divmod(int(score.argmax()), score.shape[1])
        regions.append(Region(row * scale, column * scale, side))
        score[max(0, row - reach + 1) : row + reach, max(0, column - reach + 1) : column + reach] = -1
    return regions


def thumbnail(picture: Tensor, side: int) -> Tensor:
    """Shrink a uint8 picture, (3, H, W), by a whole number until neither side exceeds `side` pixels."""
    factor = -(-max(picture.shape[-2:]) // side)
    height, width = (length // factor * factor for length in picture.shape[-2:])
    if factor == 1 or 0 in (height, width):
        return picture
    return resize(picture[:, :height, :width].contiguous(), 1 / factor)
