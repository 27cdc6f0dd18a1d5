"""Patch-FID (paper, appendix C): FID of 299x299 patches, so that no picture is resized."""

from __future__ import annotations

from functools import partial

from torch import Tensor
from torch.nn import functional as F

from aesop.metrics.fid import FID, FeatureDistance
from aesop.metrics.inception import SIZE, inception
from aesop.metrics.metric import SetMeasure, Settings


def patches(images: Tensor, size: int) -> Tensor:
    """Cut images into squares that neither overlap nor are resized, row by row from the top left.

    (N, C, H, W) becomes (N * rows * columns, C, size, size), all of an image before the next one's. A side that is
    shorter than `size` is padded with zeros at its end. What a longer side has left over is dropped: the paper pads
    only "if an image is smaller", and squares that are mostly padding would look alike in any two sets (its BSD100,
    pictures of 481x321, scores worse by patch-FID than by FID, which four squares a picture, three of them mostly
    black, would not give).
    """
    channels, height, width = images.shape[1:]
    images = F.pad(images, (0, max(0, size - width), 0, max(0, size - height)))
    squares = images.unfold(2, size, size).unfold(3, size, size)
    return squares.permute(0, 2, 3, 1, 4, 5).reshape(-1, channels, size, size)


class PatchFID(FID):
    """FID's formula on every patch of every picture, cut as `patches` says; of 8-bit-rounded RGB, nothing cropped."""

    name, title = "patch-fid", "patch-FID"
    protocol = "FID of 299 x 299 patches, never resized; a set has one value"

    def prepare(self, settings: Settings) -> SetMeasure:
        """FID of patches."""
        return FeatureDistance(inception(settings.device), partial(patches, size=SIZE))
