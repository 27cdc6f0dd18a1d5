"""The metrics' view of a picture: 8-bit RGB, its BT.601 luma, without the border, of equal sizes."""

from __future__ import annotations

import torch
from torch import Tensor

from aesop.errors import DataError


def eight_bit(images: Tensor) -> Tensor:
    """Clamp (N, 3, H, W) in [0, 1] and round to the 256 levels of a PNG: float64 in 0..255, on the CPU for MPS."""
    if images.device.type == "mps":  # which has no float64
        images = images.cpu()
    return images.double().clamp(0, 1).mul(255).add(0.5).floor()


def rounded(images: Tensor) -> Tensor:
    """Round (N, 3, H, W) in [0, 1] to 8 bit, as a picture file holds them: float32 in [0, 1] on the images' device."""
    return (eight_bit(images) / 255).float().to(images.device)


def luma(images: Tensor) -> Tensor:
    """Y of BT.601 as MATLAB's `rgb2ycbcr` has it, unrounded: RGB (N, 3, H, W) in 0..255 to (N, 1, H, W) in 16..235."""
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=images.dtype, device=images.device) / 255
    return torch.einsum("nchw,c->nhw", images, weights).unsqueeze(1) + 16


def cropped_luma(images: Tensor, scale: int) -> Tensor:
    """Y, 16..235, of `images` (N, 3, H, W) in [0, 1] after rounding to 8 bit, without their border.

    That is as many pixels on every side as the scale (the paper's protocol).
    """
    height, width = images.shape[-2:]
    if min(height, width) <= 2 * scale:
        raise DataError(f"a picture of {width}x{height} pixels is all border ({scale} pixels are cropped)")
    return luma(eight_bit(images))[..., scale : height - scale, scale : width - scale]


def require_sides(images: Tensor, least: int, title: str) -> None:
    """Raise DataError unless the images, (N, C, H, W), have `least` pixels each way, which the metric `title` needs."""
    height, width = images.shape[-2:]
    if min(height, width) < least:
        raise DataError(f"{title} needs {least} pixels per side; this picture has {width}x{height}")


def require_same_size(first: Tensor, second: Tensor) -> None:
    """Raise DataError unless both batches of images have one shape."""
    if first.shape != second.shape:
        sizes = " and ".join(f"{images.shape[-1]}x{images.shape[-2]}" for images in (first, second))
        raise DataError(f"pictures of {sizes} pixels cannot be compared; the model's scale or the pair is wrong")
