"""The two parts of the expected pixel loss (paper, eq. 1-2), estimated through the auto-encoder; and the pixel loss.

SE, the systematic effect, is error to be driven down (eq. 7). VE, the variance effect, is texture: less than HR's is
blur, more is invention. All are means over the values of RGB in 8-bit levels, no border cropped.
"""

from __future__ import annotations

from torch import Tensor

from aesop.metrics.metric import Measure, Metric, Sample, Settings
from aesop.metrics.protocol import require_same_size, rounded


def pixel_distance(first: Tensor, second: Tensor) -> float:
    """Mean of |first - second| of images in [0, 1], in 8-bit levels; raises DataError where sizes differ."""
    require_same_size(first, second)
    return 255 * (first - second).abs().double().mean().item()


class L1(Metric):
    """|SR - HR|, which SE and VE are parts of."""

    name, title = "l1", "L1"
    higher_is_better = False
    unit, digits = "levels", 3
    by_default = False
    protocol = "|SR - HR| on RGB, no border cropped"

    def measure(self, sample: Sample) -> float:
        return pixel_distance(rounded(sample.sr), sample.hr)


class SE(L1):
    """|AE(SR) - AE(HR)|."""

    name, title = "se", "SE"
    needs_autoencoder = True
    protocol = "|AE(SR) - AE(HR)|, the fidelity bias; compare numbers of one auto-encoder only"

    def prepare(self, settings: Settings) -> Measure:
        encode = settings.auto_encode
        return lambda sample: pixel_distance(encode(sample.sr), encode(sample.hr))


class VE(SE):
    """|SR - AE(SR)|."""

    name, title = "ve", "VE"
    higher_is_better = None
    needs_hr = False
    protocol = "|SR - AE(SR)|, the texture; less than HR's (`ve-hr`) is blur, more is invention"

    def prepare(self, settings: Settings) -> Measure:
        encode = settings.auto_encode
        return lambda sample: pixel_distance(rounded(sample.sr), encode(sample.sr))


class HRVE(SE):
    """|HR - AE(HR)|: what VE would be of perfect texture, the same for every model."""

    name, title = "ve-hr", "VE(HR)"
    higher_is_better = None
    protocol = "|HR - AE(HR)|, the texture that HR has"

    def prepare(self, settings: Settings) -> Measure:
        encode = settings.auto_encode
        return lambda sample: pixel_distance(sample.hr, encode(sample.hr))
