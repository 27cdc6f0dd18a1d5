"""Structural similarity on luma (Wang et al. 2004)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from aesop.errors import DataError
from aesop.metrics.metric import Metric, Sample
from aesop.metrics.protocol import cropped_luma, require_same_size

WINDOW = 11
SIGMA = 1.5
#: (K1 L)^2 and (K2 L)^2 with K1 = 0.01, K2 = 0.03 and the dynamic range L = 255.
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(sr: Tensor, hr: Tensor, scale: int) -> Tensor:
    """Mean SSIM on unrounded Y of 8-bit-rounded images without their border, which is as wide as `scale`.

    Gaussian window of 11x11 with sigma 1.5, only where it lies inside the image, population covariances, float64.
    `sr` and `hr` are (N, 3, H, W) in [0, 1]; returns (N,) in [-1, 1], 1 for equal images. Raises DataError where
    sizes differ or the cropped images are smaller than the window.
    """
    require_same_size(sr, hr)
    x, y = cropped_luma(sr, scale), cropped_luma(hr, scale)
    height, width = x.shape[-2:]
    if min(height, width) < WINDOW:
        raise DataError(f"SSIM needs {WINDOW} pixels a side after cropping {scale}; this picture has {width}x{height}")
    means = (smoothed(images, WINDOW, SIGMA) for images in (x, y, x * x, y * y, x * y))
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = means
    covariance = mean_xy - mean_x * mean_y
    variances = mean_xx - mean_x.square() + mean_yy - mean_y.square()
    luminance = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
    contrast_and_structure = (2 * covariance + C2) / (variances + C2)
    return (luminance * contrast_and_structure).mean(dim=(1, 2, 3))


def smoothed(images: Tensor, window: int, sigma: float) -> Tensor:
    """(N, 1, H, W) under a Gaussian of `window` taps, normalised to sum 1, valid region only."""
    offsets = torch.arange(window, dtype=images.dtype, device=images.device) - window // 2
    weights = torch.exp(-offsets.square() / (2 * sigma**2))
    weights = weights / weights.sum()
    return F.conv2d(F.conv2d(images, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))


class SSIM(Metric):
    """`ssim` of a picture."""

    name, title = "ssim", "SSIM"
    higher_is_better = True
    protocol = "on Y, 11 x 11 Gaussian window, as many border pixels cropped as the scale"

    def measure(self, sample: Sample) -> float:
        return ssim(sample.sr, sample.hr, sample.scale).item()
