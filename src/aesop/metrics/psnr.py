"""Peak signal-to-noise ratios on luma: of SR, of SR downscaled, of what the auto-encoder keeps (docs/evaluation.md)."""

from __future__ import annotations

from torch import Tensor

from aesop.data.bicubic import resize
from aesop.metrics.metric import Measure, Metric, Sample, Settings
from aesop.metrics.protocol import cropped_luma, eight_bit, luma, require_same_size


def psnr(sr: Tensor, hr: Tensor, scale: int) -> Tensor:
    """PSNR on unrounded Y of 8-bit-rounded images without their border, which is as wide as `scale`.

    `sr` and `hr` are (N, 3, H, W) in [0, 1], values outside are clamped; returns (N,) float64 in dB, infinite for
    equal images. Raises DataError where sizes differ or nothing is left of the images.
    """
    require_same_size(sr, hr)
    return _peak_ratio(cropped_luma(sr, scale), cropped_luma(hr, scale))


def lr_psnr(sr: Tensor, lr: Tensor, scale: int) -> Tensor:
    """PSNR between the downscaled SR image and the 8-bit LR image the model was given; (N,) float64 in dB.

    The paper (section 4.3, table 4) says no more than that. `sr` (N, 3, H, W) in [0, 1] is rounded to 8 bit, downscaled
    by the bicubic that makes LR images, clamped and *not* rounded again: near 46 dB, where the paper's values lie, a
    second rounding error is no longer negligible. Both are compared without cropping: LR's border is made as ours is.

    SR = HR reaches about 63.7 dB, the error of rounding LR; less where an older MATLAB made LR (rounded between the
    passes, other borders): 60.7 dB on Set5, 59.3 dB on Set14. Raises DataError where sizes do not fit.
    """
    downscaled = resize(eight_bit(sr), 1 / scale).clamp(0, 255)
    require_same_size(downscaled, lr)
    return _peak_ratio(luma(downscaled), luma(eight_bit(lr)))


def _peak_ratio(first: Tensor, second: Tensor) -> Tensor:
    """10 log10(255^2 / mean squared error) of (N, C, H, W) in 0..255, as (N,) in dB; infinite where they are equal."""
    error = (first - second).square().mean(dim=(1, 2, 3))
    return 10 * (255**2 / error).log10()


class PSNR(Metric):
    """`psnr` of a picture."""

    name, title = "psnr", "PSNR"
    higher_is_better = True
    unit, digits = "dB", 3
    protocol = "on Y, as many border pixels cropped as the scale"

    def measure(self, sample: Sample) -> float:
        return psnr(sample.sr, sample.hr, sample.scale).item()


class LRPSNR(PSNR):
    """`lr_psnr` of a picture: does SR still say what LR said?"""

    name, title = "lr-psnr", "LR-PSNR"
    needs_hr = False
    protocol = "PSNR on Y of the bicubic-downscaled SR picture against LR"

    def measure(self, sample: Sample) -> float:
        return lr_psnr(sample.sr, sample.lr, sample.scale).item()


class AEPSNR(PSNR):
    """`psnr` of AE(SR) and AE(HR), rounded to 8 bit before and after AE: the reference stores them as PNG.

    How far SR and HR agree in what the auto-encoder keeps, the fidelity bias (paper, section 4.3).
    """

    name, title = "ae-psnr", "AE-PSNR"
    needs_autoencoder = True
    unlike_paper = "the paper's is of its own auto-encoder"
    protocol = "PSNR of AE(SR) against AE(HR); compare numbers of one auto-encoder only"

    def prepare(self, settings: Settings) -> Measure:
        encode = settings.auto_encode
        return lambda sample: psnr(encode(sample.sr), encode(sample.hr), sample.scale).item()
