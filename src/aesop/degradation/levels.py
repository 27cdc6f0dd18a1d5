"""8-bit levels: what picture files hold."""

from __future__ import annotations

import torch
from torch import Tensor


def to_levels(images: Tensor) -> Tensor:
    """Turn images in [0, 1] into uint8, rounded and clamped; `aesop.data.pictures.to_float` is the way back."""
    return (images * 255).round_().clamp_(0, 255).to(torch.uint8)
