"""The perceptual loss L_percep: L1 between frozen ImageNet features (Johnson 2016; ESRGAN: before the ReLU)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.losses.term import LossContext, LossSection
from aesop.networks.features import EfficientNetConfig, FrozenFeatures, VGG19Config


class PerceptualLoss(nn.Module):
    """sum_l w_l | phi_l(sr) - phi_l(hr) |_1: `features` maps images to one tensor a layer, each with its weight."""

    def __init__(self, features: FrozenFeatures, weights: Sequence[float]) -> None:
        super().__init__()
        self.features = features
        self.weights = tuple(weights)

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """L_percep of images (N, 3, H, W) in [0, 1], a scalar; no gradient flows through `hr`."""
        # Rounded features' differences have a gradient of another direction (docs/training.md): no autocast here.
        with torch.autocast(sr.device.type, enabled=False):
            with torch.no_grad():
                targets = self.features(hr)
            terms = [
                weight * F.l1_loss(found, target)
                for weight, found, target in zip(self.weights, self.features(sr), targets, strict=True)
            ]
            return torch.stack(terms).sum()


class PerceptualLossConfig(LossSection):
    """L_percep of frozen features."""

    type: Literal["features"] = "features"
    features: Annotated[VGG19Config | EfficientNetConfig, Field(discriminator="type")]

    def check(self, crop: int) -> None:
        """Refuse crops that are too small for the features."""
        self.features.check(crop)

    def build(self, context: LossContext) -> PerceptualLoss:  # noqa: ARG002
        """Build the loss with its frozen network."""
        return PerceptualLoss(*self.features.build())
