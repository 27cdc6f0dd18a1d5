"""The pixel loss of the baselines: |G(x) - y|_1 (eq. 3)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class PixelLoss(nn.Module):
    """Mean absolute difference of images (N, 3, H, W)."""

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """|sr - hr|_1, a scalar."""
        return F.l1_loss(sr, hr)
