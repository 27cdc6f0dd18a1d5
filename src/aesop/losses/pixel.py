"""The pixel loss of the baselines: |G(x) - y|_1 (eq. 3)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.losses.term import LossContext, LossSection


class PixelLoss(nn.Module):
    """Mean absolute difference of images (N, 3, H, W)."""

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """|sr - hr|_1, a scalar."""
        return F.l1_loss(sr, hr)


class PixelLossConfig(LossSection):
    """Pixel loss as the fidelity loss: eq. 3."""

    type: Literal["pixel"]
    weight: float = Field(default=0.01, ge=0)

    def build(self, context: LossContext) -> PixelLoss:  # noqa: ARG002
        """Build the loss."""
        return PixelLoss()
