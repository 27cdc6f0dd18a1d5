"""Patch-FID (paper, appendix C): FID of 299x299 patches, so that no picture is resized."""

from __future__ import annotations

from functools import partial

from torch import Tensor
from torch.nn import functional as F

from aesop.metrics.fid import FID, SIZE, FeatureDistance, inception
from aesop.metrics.metric import SetMeasure, Settings


def patches(images: Tensor, size: int) -> Tensor:
    """Cut (N, C, H, W) into squares that neither overlap nor are resized, row by row: (N * rows * columns, C, s, s).

    A side shorter than `size` is padded with zeros at its end. What a longer side has left over is dropped: the paper
    pads only "if an image is smaller", and squares that are mostly padding would look alike in any two sets (its BSD100
    of 481x321 pixels scores worse by patch-FID than by FID, which padding the rest would not give).
    """
    channels, height, width = images.shape[1:]
    images = F.pad(images, (0, max(0, size - width), 0, max(0, size - height)))
    squares = images.unfold(2, size, size).unfold(3, size, size)
    return squares.permute(0, 2, 3, 1, 4, 5).reshape(-1, channels, size, size)


class PatchFID(FID):
    """FID's formula on every one of the `patches` of every 8-bit-rounded RGB picture, nothing cropped."""

    name, title = "patch-fid", "patch-FID"
    protocol = "FID of 299 x 299 patches, never resized; a set has one value"

    def prepare(self, settings: Settings) -> SetMeasure:
        return FeatureDistance(inception(settings.device), partial(patches, size=SIZE))
