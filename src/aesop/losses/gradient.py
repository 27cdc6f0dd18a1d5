"""Gradient maps and what SPSR (Ma 2020) asks of them: that the edges of SR be those of HR, in place and strength."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from aesop.config import Config

#: Added under the root, whose slope at zero is infinite (SPSR's code, code/models/SPSR_model.py).
_LEAST_SQUARE = 1e-6


def gradient_map(images: Tensor) -> Tensor:
    """M(I) of SPSR, for every channel by itself: sqrt((right - left)^2 + (below - above)^2 + 1e-6).

    Args:
        images: (N, C, H, W); zeros are taken to lie around them, so that bright borders count as edges
            (`Get_gradient_nopadding` of SPSR's code).

    Returns:
        (N, C, H, W), between 0.001 and 1.415 for images in [0, 1]; its gradient is finite everywhere.

    """
    padded = F.pad(images, [1] * 4)
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    return (across**2 + down**2 + _LEAST_SQUARE).sqrt()


def gradient_loss(sr: Tensor, hr: Tensor) -> Tensor:
    """|M(sr) - M(hr)|_1 of images (N, 3, H, W), a scalar: the paper's form (SPSR's code squares the differences)."""
    return F.l1_loss(gradient_map(sr), gradient_map(hr))


class GradientLossConfig(Config):
    """The gradient losses of SPSR; the weights are those of its code/options/train/train_spsr.json."""

    weight: float = Field(0.01, ge=0, description="weight of the pixel loss between the gradient maps of SR and HR")
    branch_weight: float = Field(
        0.5, ge=0, description="weight of the mean absolute error of the gradient map that the generator's branch draws"
    )
    adversarial_weight: float = Field(
        0.005, ge=0, description="weight of the adversarial loss of a second discriminator, which sees gradient maps"
    )
    fusion_iterations: int = Field(
        5000, ge=0, description="first iterations, in which nothing of the generator is trained but SPSR's fusion"
    )
