"""Gradient maps, which SPSR (Ma 2020) draws and compares."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

#: Added under the root, whose slope at zero is infinite (SPSR's code, code/models/SPSR_model.py).
_LEAST_SQUARE = 1e-6


def gradient_map(images: Tensor) -> Tensor:
    """M(I) of SPSR, of every channel: sqrt((right - left)^2 + (below - above)^2 + 1e-6).

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
