"""Blurring, sharpening and resizing of pictures (N, C, H, W)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from aesop.degradation.draws import Draws
from aesop.degradation.kernels import gaussian_kernel

#: Unsharp masking (BasicSR, basicsr/utils/img_process_util.py, USMSharp): radius 50 made odd, OpenCV's deviation for
#: it, 0.3 * ((51 - 1) / 2 - 1) + 0.8, strength, and the difference in 8-bit levels above which a pixel is detail.
SIZE, SIGMA, WEIGHT, THRESHOLD = 51, 8.0, 0.5, 10.0

#: Without antialiasing, torch's default, which Real-ESRGAN's and BSRGAN's (OpenCV's) resizing have in common: `area`
#: averages, the other two take 2 x 2 or 4 x 4 pixels however much smaller the picture becomes.
MODES = ("area", "bilinear", "bicubic")


def blur(images: Tensor, kernels: Tensor) -> Tensor:
    """Convolve every channel of images with one kernel (k, k), or each image with its own of (N, k, k); k is odd.

    Borders are reflected without repeating the outermost pixels, as often as small images need it.
    By FFT: for kernels of 21 x 21 pixels a seventh of the time of a direct convolution on a CPU.
    """
    height, width = images.shape[-2:]
    margin = kernels.shape[-1] // 2
    rows, columns = (_reflected(side, margin).to(images.device) for side in (height, width))
    padded = images.index_select(-2, rows).index_select(-1, columns)
    size = padded.shape[-2:]
    kernels = kernels.to(images).reshape(-1, 1, *kernels.shape[-2:])
    product = torch.fft.rfft2(padded) * torch.fft.rfft2(kernels, s=size)
    return torch.fft.irfft2(product, s=size)[..., 2 * margin :, 2 * margin :]


def _reflected(size: int, margin: int) -> Tensor:
    """The indices of the pixels at -margin, ..., size - 1 + margin along an axis of `size` pixels."""
    period = max(1, 2 * size - 2)
    indices = torch.arange(-margin, size + margin) % period
    return torch.minimum(indices, period - indices)


def sharpen(images: Tensor) -> Tensor:
    """Sharpen images in [0, 1] where they differ from their blurred selves, as Real-ESRGAN does; flat areas stay."""
    kernel = gaussian_kernel(SIZE, (SIGMA, SIGMA))
    detail = images - blur(images, kernel)
    mask = blur((detail.abs() * 255 > THRESHOLD).to(images.dtype), kernel)
    sharp = (images + WEIGHT * detail).clamp(0, 1)
    return images + mask * (sharp - images)


def resize(images: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Resize images to `size` (height, width), at least one pixel, by one of `MODES`. Bicubic may overshoot."""
    if images.device.type == "mps" and mode == "area":  # whose pooling takes whole factors only
        return resize(images.cpu(), size, mode).to(images.device)
    return F.interpolate(images, size=(max(1, size[0]), max(1, size[1])), mode=mode)


def resize_randomly(images: Tensor, size: tuple[int, int], draws: Draws) -> Tensor:
    """Resize images to `size` by a mode drawn from `MODES`."""
    return resize(images, size, draws.choice(MODES))
