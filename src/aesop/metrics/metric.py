"""What every metric is: a pure function, described by attributes, so that tables and "best" need no switch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from aesop.errors import AesopError


class MetricUnavailable(AesopError):  # noqa: N818 - a state that a table shows, not a failure
    """A metric that cannot be computed here; the message says why and what would mend it."""


@dataclass(frozen=True)
class Sample:
    """One picture to measure, on the CPU, in [0, 1].

    `sr` and `hr` have shape (1, 3, H, W), `lr` has (1, 3, H / scale, W / scale). `hr` and `lr` hold 8-bit values;
    `ground_truth` is `hr`, or None for pictures that have none.
    """

    sr: Tensor
    ground_truth: Tensor | None
    lr: Tensor
    scale: int

    @property
    def hr(self) -> Tensor:
        """The HR picture; AesopError where there is none."""
        if self.ground_truth is None:
            raise AesopError("there is no HR picture to compare with")
        return self.ground_truth


@dataclass(frozen=True)
class Settings:
    """What a metric may need beside the pictures: where its networks run, and the auto-encoder of AE-PSNR."""

    scale: int
    device: torch.device
    autoencoder: nn.Module | None = None


Measure = Callable[[Sample], float]


@dataclass(frozen=True)
class _Described:
    """A metric's name and meaning.

    `name` is what the command line calls it, `title` what a table calls it; `range` holds its smallest and largest
    value; `digits` are worth printing.
    """

    name: str
    title: str
    higher_is_better: bool
    range: tuple[float, float]
    unit: str
    digits: int


@dataclass(frozen=True)
class Metric(_Described):
    """A metric of a picture.

    `prepare(settings)` loads what it needs, once, and returns the function that measures one picture; it raises
    MetricUnavailable where that cannot be had.
    """

    prepare: Callable[[Settings], Measure]
    #: Whether it compares with HR; those that do not also measure pictures without ground truth.
    needs_hr: bool = True
    #: Whether it is of an auto-encoder, and computed only where one is named.
    needs_autoencoder: bool = False
    #: What a reader must know to read its column, in a line.
    protocol: str = ""
    #: What stands below every table that has a value of it.
    caution: str = ""
    #: Why the numbers that the paper prints are not made as ours are, if they are not.
    unlike_paper: str = ""


class SetMeasure(Protocol):
    """What a metric of a whole set is computed from: features of every picture, and a distance between two sets."""

    def features(self, images: Tensor) -> np.ndarray:
        """Features, (n, d) float64, of an image (1, 3, H, W) in [0, 1]; n is 1, or the number of its patches."""
        ...

    def distance(self, sr: np.ndarray, hr: np.ndarray) -> float:
        """Distance of two sets of features, (n, d) and (m, d)."""
        ...


@dataclass(frozen=True)
class SetMetric(_Described):
    """A metric of a set of pictures, such as FID: it has no value for one picture. `prepare` as of `Metric`."""

    prepare: Callable[[Settings], SetMeasure]
    needs_hr: bool = True
    needs_autoencoder: bool = False
    protocol: str = ""
    caution: str = ""
    unlike_paper: str = ""
