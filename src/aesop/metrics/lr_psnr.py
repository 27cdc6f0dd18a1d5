"""LR-PSNR: does the SR image still say what the LR image said? (paper, section 4.3 and table 4)."""

from __future__ import annotations

from torch import Tensor

from aesop.data.bicubic import resize
from aesop.metrics.luma import eight_bit, luma, require_same_size
from aesop.metrics.metric import Metric, Sample
from aesop.metrics.psnr import peak_ratio


def lr_psnr(sr: Tensor, lr: Tensor, scale: int) -> Tensor:
    """PSNR between the downscaled SR image and the 8-bit LR image the model was given; (N,) float64 in dB.

    The paper says no more than that. `sr` (N, 3, H, W) in [0, 1] is rounded to 8 bit, downscaled by the bicubic that
    makes LR images, clamped and *not* rounded again: near 46 dB, where the paper's values lie, a second rounding error
    is no longer negligible. Both are compared on Y without cropping, since LR's border is made as ours is.

    SR = HR reaches about 63.7 dB, the error of rounding LR; less where an older MATLAB made LR (rounded between the
    passes, other borders): 60.7 dB on Set5, 59.3 dB on Set14. Raises DataError where sizes do not fit.
    """
    downscaled = resize(eight_bit(sr), 1 / scale).clamp(0, 255)
    require_same_size(downscaled, lr)
    return peak_ratio(luma(downscaled), luma(eight_bit(lr)))


class LRPSNR(Metric):
    """`lr_psnr` of a picture."""

    name, title = "lr-psnr", "LR-PSNR"
    higher_is_better = True
    unit, digits = "dB", 3
    needs_hr = False
    protocol = "PSNR on Y of the bicubic-downscaled SR picture against LR"

    def measure(self, sample: Sample) -> float:
        return lr_psnr(sample.sr, sample.lr, sample.scale).item()
