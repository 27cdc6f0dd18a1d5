"""The low-pass filtered pixel loss: the other way to spare textures, which AESOP is compared with (table 5b)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.losses.term import LossContext, LossSection


class LowPassLoss(nn.Module):
    """|g * sr - g * hr|_1 with g a Gaussian of standard deviation `sigma` pixels, cut off at 3 sigma, rounded."""

    taps: Tensor

    def __init__(self, sigma: float) -> None:
        super().__init__()
        radius = _radius(sigma)
        offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
        taps = torch.exp(-(offsets**2) / (2 * sigma**2))
        self.register_buffer("taps", (taps / taps.sum()).float(), persistent=False)

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Loss of images (N, 3, H, W), a scalar; borders are reflected, so that no dark frame is compared."""
        # Filtering is linear: one image to filter instead of two.
        return self.blur(sr - hr).abs().mean()

    def blur(self, images: Tensor) -> Tensor:
        """Filter images (N, C, H, W), their borders reflected."""
        channels, radius = images.shape[1], len(self.taps) // 2
        taps = self.taps.to(images).expand(channels, 1, -1)
        padded = F.pad(images, [radius] * 4, mode="reflect")
        rows = F.conv2d(padded, taps.unsqueeze(2), groups=channels)
        return F.conv2d(rows, taps.unsqueeze(3), groups=channels)


def _radius(sigma: float) -> int:
    return max(1, round(3 * sigma))


class LowPassLossConfig(LossSection):
    """Low-pass filtered pixel loss as the fidelity loss."""

    type: Literal["low-pass"]
    weight: float = Field(default=0.01, ge=0)
    sigma: float = Field(default=1.5, gt=0, le=16, description="standard deviation of the Gaussian, HR pixels")

    def check(self, crop: int) -> None:
        """Refuse a filter that reaches beyond the reflected border."""
        if crop <= _radius(self.sigma):
            raise ValueError(
                f"sigma {self.sigma} reaches {_radius(self.sigma)} pixels; take a smaller one or larger crops"
            )

    def build(self, context: LossContext) -> LowPassLoss:  # noqa: ARG002
        """Build the loss."""
        return LowPassLoss(self.sigma)
