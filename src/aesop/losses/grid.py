"""The grid loss: the pattern of the scale's period that SR has and HR has not. Not in the paper.

Short trainings, and generators that end in a pixel shuffle, print one pattern at every LR pixel; features with strides
and a discriminator hardly tell it from texture (docs/evaluation.md, metric `grid`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.nn import functional as F

from aesop.losses.term import LossContext, LossSection


def grid_loss(sr: Tensor, hr: Tensor, scale: int) -> Tensor:
    """Mean |p - mean(p)| where p, (N, 3, scale^2), is the mean of sr - hr over all pixels of each phase; a scalar.

    The phase of a pixel is its place within its LR pixel. Of SR and HR images (N, 3, H, W), H and W multiples of
    `scale`. HR has no such pattern, so that texture costs nothing.
    """
    phases = F.pixel_unshuffle(sr - hr, scale).mean(dim=(2, 3)).unflatten(1, (-1, scale**2))
    return (phases - phases.mean(dim=2, keepdim=True)).abs().mean()


class GridLossConfig(LossSection):
    """The grid loss."""

    def build(self, context: LossContext) -> Callable[..., Tensor]:
        """Return the loss of the scale."""
        return partial(grid_loss, scale=context.scale)
