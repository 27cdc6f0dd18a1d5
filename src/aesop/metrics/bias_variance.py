"""The two parts of the expected pixel loss (paper, eq. 1-2), estimated through the auto-encoder; and the pixel loss.

    SE  the systematic effect: the distance of the fidelity biases, |AE(SR) - AE(HR)|_1 (eq. 7)
    VE  the variance effect: what the auto-encoder removes, |SR - AE(SR)|_1, beside HR's own |HR - AE(HR)|_1

SE is error to be driven down. VE is texture: less than HR's is blur, more is invention. All are means over the values
of RGB, no border cropped, in 8-bit levels.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from aesop.metrics.luma import require_same_size, rounded
from aesop.metrics.metric import Measure, Metric, Sample, Settings


def pixel_distance(first: Tensor, second: Tensor) -> float:
    """|first - second|_1 of two batches of images in [0, 1], a mean over all values, in 8-bit levels.

    Raises DataError where sizes differ.
    """
    require_same_size(first, second)
    return 255 * (first - second).abs().double().mean().item()


class _OfAutoEncoder(Metric):
    unit, digits, range = "levels", 3, (0.0, 255.0)
    needs_autoencoder = True
    by_default = False

    def prepare(self, settings: Settings) -> Measure:
        """See `distance`."""
        encode = settings.auto_encode
        return lambda sample: self.distance(sample, encode)

    def distance(self, sample: Sample, encode: Callable[[Tensor], Tensor]) -> float:
        """The distance that the metric is, with `encode` for AE."""
        raise NotImplementedError


class SE(_OfAutoEncoder):
    """|AE(SR) - AE(HR)|_1."""

    name, title = "se", "SE"
    higher_is_better = False
    protocol = "|AE(SR) - AE(HR)|, the fidelity bias; compare numbers of one auto-encoder only"

    def distance(self, sample: Sample, encode: Callable[[Tensor], Tensor]) -> float:
        """SE."""
        return pixel_distance(encode(sample.sr), encode(sample.hr))


class VE(_OfAutoEncoder):
    """|SR - AE(SR)|_1."""

    name, title = "ve", "VE"
    higher_is_better = None
    needs_hr = False
    protocol = "|SR - AE(SR)|, the texture; less than HR's (`ve-hr`) is blur, more is invention"

    def distance(self, sample: Sample, encode: Callable[[Tensor], Tensor]) -> float:
        """VE."""
        return pixel_distance(rounded(sample.sr), encode(sample.sr))


class HRVE(_OfAutoEncoder):
    """|HR - AE(HR)|_1: what VE would be of perfect texture, the same for every model."""

    name, title = "ve-hr", "VE(HR)"
    higher_is_better = None
    protocol = "|HR - AE(HR)|, the texture that HR has"

    def distance(self, sample: Sample, encode: Callable[[Tensor], Tensor]) -> float:
        """VE of HR."""
        return pixel_distance(sample.hr, encode(sample.hr))


class L1(Metric):
    """|SR - HR|_1, which SE and VE are parts of."""

    name, title = "l1", "L1"
    higher_is_better = False
    unit, digits, range = "levels", 3, (0.0, 255.0)
    by_default = False
    protocol = "|SR - HR| on RGB, no border cropped"

    def measure(self, sample: Sample) -> float:
        """L1."""
        return pixel_distance(rounded(sample.sr), sample.hr)
