"""Peak signal-to-noise ratio on luma (docs/evaluation.md)."""

from __future__ import annotations

from torch import Tensor

from aesop.metrics.luma import comparable_luma, require_same_size
from aesop.metrics.metric import Metric, Sample


def peak_ratio(first: Tensor, second: Tensor) -> Tensor:
    """10 log10(255^2 / mean squared error) of (N, C, H, W) in 0..255, as (N,) in dB; infinite where they are equal."""
    error = (first - second).square().mean(dim=(1, 2, 3))
    return 10 * (255**2 / error).log10()


def psnr(sr: Tensor, hr: Tensor, *, border: int) -> Tensor:
    """PSNR on unrounded Y of 8-bit-rounded images, `border` pixels cropped (the paper: border = scale).

    `sr` and `hr` are (N, 3, H, W) in [0, 1], values outside are clamped; returns (N,) float64 in dB, infinite for
    equal images. Raises DataError where sizes differ or nothing is left of the images.
    """
    require_same_size(sr, hr)
    return peak_ratio(comparable_luma(sr, border), comparable_luma(hr, border))


class PSNR(Metric):
    """`psnr` of a picture."""

    name, title = "psnr", "PSNR"
    higher_is_better = True
    unit, digits = "dB", 3
    protocol = "on Y, as many border pixels cropped as the scale"

    def measure(self, sample: Sample) -> float:
        return psnr(sample.sr, sample.hr, border=sample.scale).item()
