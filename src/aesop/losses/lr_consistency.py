"""LR consistency, the control of AESOP: what an auto-encoder that had learned nothing beyond LR would come down to."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.data.bicubic import resize
from aesop.losses.term import LossContext, LossSection


class LRConsistencyLoss(nn.Module):
    """|downscale(sr) - downscale(hr)|_1, bicubic: the LR image is the downscaled HR, but for rounding to 8 bit."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Loss of images (N, 3, H, W), a scalar."""
        return F.l1_loss(resize(sr, 1 / self.scale), resize(hr, 1 / self.scale))


class LRConsistencyLossConfig(LossSection):
    """LR consistency as the fidelity loss."""

    type: Literal["lr-consistency"]
    weight: float = Field(default=1.0, ge=0)

    def build(self, context: LossContext) -> LRConsistencyLoss:
        """Build the loss."""
        return LRConsistencyLoss(context.scale)
