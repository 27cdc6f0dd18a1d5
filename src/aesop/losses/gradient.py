"""SPSR's gradient losses (Ma 2020): the edges of SR should be where HR's are, and as strong."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from aesop.losses.term import LossContext, LossSection
from aesop.networks.spsr import gradient_map


def gradient_loss(sr: Tensor, hr: Tensor) -> Tensor:
    """|M(sr) - M(hr)|_1 of images (N, 3, H, W), a scalar: the paper's form (SPSR's code squares the differences)."""
    return F.l1_loss(gradient_map(sr), gradient_map(hr))


class GradientLossConfig(LossSection):
    """The gradient losses of SPSR; the weights are those of its code/options/train/train_spsr.json."""

    weight: float = Field(default=0.01, ge=0, description="of the pixel loss between gradient maps of SR and HR")
    branch_weight: float = Field(default=0.5, ge=0, description="of the pixel loss of the map that G's branch draws")
    adversarial_weight: float = Field(
        default=0.005, ge=0, description="of the adversarial loss of a second discriminator, which sees gradient maps"
    )
    fusion_iterations: int = Field(
        default=5000, ge=0, description="first iterations, in which nothing of G is trained but SPSR's fusion"
    )

    def build(self, context: LossContext) -> Callable[..., Tensor]:  # noqa: ARG002
        """Return the loss between gradient maps of SR and HR."""
        return gradient_loss
