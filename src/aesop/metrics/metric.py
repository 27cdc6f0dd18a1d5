"""What every metric is: a pure function, described by attributes, so that tables and "best" need no switch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aesop.errors import AesopError


class MetricUnavailable(AesopError):  # noqa: N818 - a state that a table shows, not a failure
    """A metric that cannot be computed here; the message says why and what would mend it."""


@dataclass(frozen=True)
class Sample:
    """One picture to measure, on the CPU, in [0, 1].

    `sr` and `hr` have shape (1, 3, H, W), `lr` has (1, 3, H / scale, W / scale). `hr` and `lr` hold 8-bit values.
    """

    sr: Tensor
    hr: Tensor
    lr: Tensor
    scale: int


@dataclass(frozen=True)
class Settings:
    """What a metric may need beside the pictures: where its networks run, and the auto-encoder of AE-PSNR."""

    scale: int
    device: torch.device
    autoencoder: nn.Module | None = None


Measure = Callable[[Sample], float]


@dataclass(frozen=True)
class Metric:
    """A metric's name, meaning and function.

    `name` is what the command line calls it, `title` what a table calls it; `range` holds its smallest and largest
    value; `digits` are worth printing. `prepare(settings)` loads what the metric needs, once, and returns the
    function that measures one picture; it raises MetricUnavailable where that cannot be had.
    """

    name: str
    title: str
    higher_is_better: bool
    range: tuple[float, float]
    unit: str
    digits: int
    prepare: Callable[[Settings], Measure]
