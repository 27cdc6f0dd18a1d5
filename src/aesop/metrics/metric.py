"""What every metric is: a class described by its attributes, so that tables and "best" need no switch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from aesop.errors import AesopError, MissingExtraError, ModelError
from aesop.metrics.luma import rounded
from aesop.networks.downloads import fetch


class MetricUnavailable(AesopError):  # noqa: N818 - a state that a table shows, not a failure
    """A metric that cannot be computed here; the message says why and what would mend it."""


@dataclass(frozen=True)
class Sample:
    """One picture to measure, on the CPU, in [0, 1].

    `sr` and `hr` have shape (1, 3, H, W), `lr` has (1, 3, H / scale, W / scale). All hold 8-bit values; `ground_truth`
    is `hr`, or None for pictures that have none.
    """

    sr: Tensor
    ground_truth: Tensor | None
    lr: Tensor
    scale: int

    def to(self, device: torch.device) -> Sample:
        """The sample on a device."""
        hr = None if self.ground_truth is None else self.ground_truth.to(device)
        return Sample(self.sr.to(device), hr, self.lr.to(device), self.scale)

    @property
    def hr(self) -> Tensor:
        """The HR picture; AesopError where there is none."""
        if self.ground_truth is None:
            raise AesopError("there is no HR picture to compare with")
        return self.ground_truth


@dataclass(frozen=True)
class Settings:
    """What metrics need beside the pictures: where networks run, and the auto-encoder of AE-PSNR, SE and VE."""

    scale: int
    device: torch.device
    autoencoder: nn.Module | None = None

    @cached_property
    def auto_encode(self) -> Callable[[Tensor], Tensor]:
        """AE of (N, 3, H, W) in [0, 1], rounded to 8 bit before: float32, on the CPU.

        Keeps its last two results: AE(HR) is the same for every model, and several metrics ask for AE(SR). Raises
        MetricUnavailable without an auto-encoder.
        """
        if self.autoencoder is None:
            raise MetricUnavailable("needs an auto-encoder; name one with --autoencoder FILE")
        autoencoder = self.autoencoder
        weight = next(autoencoder.parameters(), torch.empty(0))

        @lru_cache(maxsize=2)
        @torch.inference_mode()
        def encode(images: Tensor) -> Tensor:
            return autoencoder(rounded(images).to(weight)).float().cpu()

        return encode


Measure = Callable[[Sample], float]


class SetMeasure(Protocol):
    """What a metric of a whole set is computed from: features of every picture, and a distance between two sets."""

    def features(self, images: Tensor) -> np.ndarray:
        """Features, (n, d) float64, of an image (1, 3, H, W) in [0, 1]; n is 1, or the number of its patches."""
        ...

    def distance(self, sr: np.ndarray, hr: np.ndarray) -> float:
        """Distance of two sets of features, (n, d) and (m, d)."""
        ...


class Described:
    """The attributes of a metric."""

    #: On the command line and in JSON.
    name: str = ""
    #: In tables.
    title: str = ""
    #: None where neither is better.
    higher_is_better: ClassVar[bool | None]
    #: The smallest and the largest value.
    range: ClassVar[tuple[float, float]] = (0.0, float("inf"))
    unit: ClassVar[str] = ""
    #: How many decimals are worth printing.
    digits: ClassVar[int] = 4
    #: Whether it compares with HR; those that do not also measure pictures without ground truth.
    needs_hr: ClassVar[bool] = True
    #: Whether it is of an auto-encoder, and computed only where one is named.
    needs_autoencoder: ClassVar[bool] = False
    #: Whether it is measured where no metrics are named.
    by_default: ClassVar[bool] = True
    #: What a reader must know to read its column, in a line.
    protocol: ClassVar[str] = ""
    #: What stands below every table that has a value of it.
    caution: ClassVar[str] = ""
    #: How the numbers that the paper prints are made otherwise.
    unlike_paper: ClassVar[str] = ""
    #: To be raised with every change of its values: cached ones of another version are not used.
    version: ClassVar[int] = 1
    #: The packages that it is computed by, beside torch: cached values of other versions of them are not used.
    packages: ClassVar[tuple[str, ...]] = ()

    @property
    def arrow(self) -> str:
        """`↑` where higher is better, `↓` where lower is, else nothing."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]

    def best(self, values: Iterable[float]) -> float | None:
        """The best of some values; None where there are none or neither is better."""
        if self.higher_is_better is None:
            return None
        return (max if self.higher_is_better else min)(values, default=None)


class Metric(Described):
    """A metric of a picture. Derive from it, set the attributes and write `measure`, or `prepare` where one loads."""

    def prepare(self, settings: Settings) -> Measure:
        """Load what is needed, once; return the function that measures a picture.

        Raises MetricUnavailable where it is not available.
        """
        del settings
        return self.measure

    def measure(self, sample: Sample) -> float:
        """Measure one picture."""
        raise NotImplementedError


class NetworkMetric(Metric):
    """A metric of a picture that a network tells. `extra` names the optional dependencies that bring it."""

    extra: ClassVar[str] = "metrics"

    def load(self, device: torch.device) -> Any:
        """Load the network onto the device.

        Raises MetricUnavailable where it is not available, ImportError for packages that `extra` brings.
        """
        raise NotImplementedError

    def value(self, network: Any, sample: Sample) -> Tensor:
        """Measure one picture, on the network's device: a tensor of one number."""
        raise NotImplementedError

    def prepare(self, settings: Settings) -> Measure:
        """Load the network, once."""
        try:
            network = self.load(settings.device)
        except MissingExtraError as error:
            raise MetricUnavailable(str(error)) from error
        except ImportError as error:
            raise MetricUnavailable(str(MissingExtraError(self.title, self.extra))) from error

        return torch.inference_mode()(lambda sample: self.value(network, sample.to(settings.device)).item())


class SetMetric(Described):
    """A metric of a set of pictures, such as FID: it has no value for one picture."""

    def prepare(self, settings: Settings) -> SetMeasure:
        """Load what is needed, once; raises MetricUnavailable where that is not available."""
        raise NotImplementedError


def require_file(url: str, folder: Path | None = None) -> Path:
    """Fetch the weights of `url` into `folder` (torch's cache if None) unless they are there.

    Raises MetricUnavailable where they are not available.
    """
    try:
        return fetch(url, folder)
    except ModelError as error:
        raise MetricUnavailable(str(error)) from error
