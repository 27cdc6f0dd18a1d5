"""Unsharp masking: Real-ESRGAN sharpens its HR pictures before it degrades them, and the targets of its losses."""

from __future__ import annotations

from torch import Tensor

from aesop.degradation.filtering import blur
from aesop.degradation.kernels import gaussian_kernel

#: BasicSR, basicsr/utils/img_process_util.py, USMSharp: radius 50 made odd, and OpenCV's standard deviation for it,
#: 0.3 * ((51 - 1) / 2 - 1) + 0.8.
SIZE, SIGMA = 51, 8.0
#: The same file: strength, and the difference in 8-bit levels above which a pixel counts as detail, not as noise.
WEIGHT, THRESHOLD = 0.5, 10.0


def sharpen(images: Tensor) -> Tensor:
    """Sharpen images (N, 3, H, W) in [0, 1] where they differ from their blurred selves; flat areas stay."""
    kernel = gaussian_kernel(SIZE, (SIGMA, SIGMA))
    detail = images - blur(images, kernel)
    mask = blur((detail.abs() * 255 > THRESHOLD).to(images.dtype), kernel)
    sharp = (images + WEIGHT * detail).clamp(0, 1)
    return images + mask * (sharp - images)
