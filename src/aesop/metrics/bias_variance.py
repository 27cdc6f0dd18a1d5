"""The two parts of the expected pixel loss (paper, eq. 1-2), estimated through the auto-encoder; and the pixel loss.

    SE  the systematic effect: the distance of the fidelity biases, |AE(SR) - AE(HR)|_1 (eq. 7)
    VE  the variance effect: what the auto-encoder removes, |SR - AE(SR)|_1, beside HR's own |HR - AE(HR)|_1

SE is error to be driven down. VE is texture: less than HR's is blur, more is invention. All are means over the values
of RGB, no border cropped, in 8-bit levels.
"""

from __future__ import annotations

from torch import Tensor

from aesop.metrics.luma import require_same_size, rounded
from aesop.metrics.metric import Measure, Metric, Sample, Settings


def pixel_distance(first: Tensor, second: Tensor) -> float:
    """|first - second|_1 of two batches of images in [0, 1], a mean over all values, in 8-bit levels.

    Raises DataError where sizes differ.
    """
    require_same_size(first, second)
    return 255 * (first - second).abs().double().mean().item()


class SE(Metric):
    """|AE(SR) - AE(HR)|_1."""

    name, title = "se", "SE"
    higher_is_better = False
    unit, digits, range = "levels", 3, (0.0, 255.0)
    needs_autoencoder, by_default = True, False
    protocol = "|AE(SR) - AE(HR)|, the fidelity bias; compare numbers of one auto-encoder only"

    def prepare(self, settings: Settings) -> Measure:
        """SE in 8-bit levels."""
        encode = settings.auto_encode
        return lambda sample: pixel_distance(encode(sample.sr), encode(sample.hr))


class VE(SE):
    """|SR - AE(SR)|_1."""

    name, title = "ve", "VE"
    higher_is_better = None
    needs_hr = False
    protocol = "|SR - AE(SR)|, the texture; less than HR's (`ve-hr`) is blur, more is invention"

    def prepare(self, settings: Settings) -> Measure:
        """VE in 8-bit levels."""
        encode = settings.auto_encode
        return lambda sample: pixel_distance(rounded(sample.sr), encode(sample.sr))


class HRVE(SE):
    """|HR - AE(HR)|_1: what VE would be of perfect texture, the same for every model."""

    name, title = "ve-hr", "VE(HR)"
    higher_is_better = None
    protocol = "|HR - AE(HR)|, the texture that HR has"

    def prepare(self, settings: Settings) -> Measure:
        """VE of HR in 8-bit levels."""
        encode = settings.auto_encode
        return lambda sample: pixel_distance(sample.hr, encode(sample.hr))


class L1(Metric):
    """|SR - HR|_1, which SE and VE are parts of."""

    name, title = "l1", "L1"
    higher_is_better = False
    unit, digits, range = "levels", 3, (0.0, 255.0)
    by_default = False
    protocol = "|SR - HR| on RGB, no border cropped"

    def measure(self, sample: Sample) -> float:
        """L1 in 8-bit levels."""
        return pixel_distance(rounded(sample.sr), sample.hr)
