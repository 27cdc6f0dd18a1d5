"""Gradient maps, which SPSR (Ma 2020) draws and compares."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def gradient_map(images: Tensor) -> Tensor:
    """M(I) of SPSR, of every channel: sqrt((right - left)^2 + (below - above)^2 + 1e-6).

    (N, C, H, W) in [0, 1] to the same shape in [0.001, 1.415]; its gradient is finite everywhere. Zeros lie around the
    images, so that bright borders count as edges (`Get_gradient_nopadding` of SPSR's code).
    """
    padded = F.pad(images, [1] * 4)
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    # The root's slope at zero is infinite (SPSR's code, code/models/SPSR_model.py).
    return (across**2 + down**2 + 1e-6).sqrt()
