"""The places of a picture that are worth looking at: where upscaling has to make up the most."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from aesop.data.bicubic import resize


@dataclass(frozen=True)
class Place:
    """A square of an HR picture, in pixels, its corner on the LR picture's grid."""

    top: int
    left: int
    side: int

    def cut(self, picture: Tensor) -> Tensor:
        """Cut the square out of (C, H, W)."""
        return picture[:, self.top : self.top + self.side, self.left : self.left + self.side]


def detailed_places(hr: Tensor, lr: Tensor, count: int, side: int) -> list[Place]:
    """Find at most `count` squares that do not overlap in which the most is lost by downscaling.

    The loss is the mean of |HR - bicubic(LR)|, soft-limited, so that one hard edge does not outweigh texture.

    Args:
        hr: uint8, (3, H, W), at least `side` pixels a side.
        lr: uint8, (3, H / scale, W / scale).
        count: how many.
        side: pixels a side, a multiple of the scale.

    """
    scale = hr.shape[-1] // lr.shape[-1]
    lost = (hr.float() - resize(lr, scale).float()).abs().mean(dim=0)
    lost = (lost / (lost + 10)).view(1, 1, *lost.shape)
    # One value for every possible corner on the LR grid.
    score = F.avg_pool2d(F.avg_pool2d(lost, scale), side // scale, stride=1)[0, 0]
    places: list[Place] = []
    reach = side // scale
    while len(places) < count and score.max() >= 0:
        row, column = divmod(int(score.argmax()), score.shape[1])
        places.append(Place(row * scale, column * scale, side))
        score[max(0, row - reach + 1) : row + reach, max(0, column - reach + 1) : column + reach] = -1
    return places


def enlarged(lr: Tensor, scale: int) -> Tensor:
    """Repeat every pixel of (C, h, w): what the LR picture is, at HR size."""
    return lr.repeat_interleave(scale, -1).repeat_interleave(scale, -2)


def thumbnail(picture: Tensor, side: int) -> Tensor:
    """Shrink a uint8 picture, (3, H, W), by a whole number until neither side exceeds `side` pixels."""
    factor = -(-max(picture.shape[-2:]) // side)
    height, width = (length // factor * factor for length in picture.shape[-2:])
    if factor == 1 or 0 in (height, width):
        return picture
    return resize(picture[:, :height, :width].contiguous(), 1 / factor)
