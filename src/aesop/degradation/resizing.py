"""Resizing as cameras, websites and messengers do it: sometimes well, often with aliasing."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from aesop.degradation.draws import Draws

#: Without antialiasing, torch's default, which Real-ESRGAN's and BSRGAN's (OpenCV's) resizing have in common: `area`
#: averages, the other two take 2 x 2 or 4 x 4 pixels however much smaller the picture becomes.
MODES = ("area", "bilinear", "bicubic")


def resize(images: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Resize images (N, C, H, W) to `size` (height, width); at least one pixel is left. Bicubic may overshoot."""
    height, width = (max(1, side) for side in size)
    if images.device.type == "mps" and mode == "area":  # whose pooling takes whole factors only
        return resize(images.cpu(), size, mode).to(images.device)
    return F.interpolate(images, size=(height, width), mode=mode)


def resize_randomly(images: Tensor, size: tuple[int, int], draws: Draws) -> Tensor:
    """Resize images to `size` by a mode drawn from `MODES`."""
    return resize(images, size, draws.choice(MODES))
