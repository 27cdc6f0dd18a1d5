"""The base of all metrics: a class described by its attributes, so that tables and "best" need no switch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from aesop.errors import AesopError, MissingExtraError, ModelError
from aesop.metrics.protocol import require_same_size, require_sides, rounded


class MetricUnavailable(AesopError):  # noqa: N818 - a state that a table shows, not a failure
    """A metric that cannot be computed here; the message says why and what would mend it."""


@dataclass(frozen=True)
class Sample:
    """One picture of 8-bit values in [0, 1]: `sr` and HR (1, 3, H, W), `lr` (1, 3, H / scale, W / scale)."""

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
    """What metrics need beside the pictures: the device of networks, and the auto-encoder of AE-PSNR, SE and VE."""

    device: torch.device
    autoencoder: nn.Module | None = None

    @cached_property
    def auto_encode(self) -> Callable[[Tensor], Tensor]:
        """AE of (N, 3, H, W) in [0, 1], rounded to 8 bit before: float32, on the CPU.

        Raises MetricUnavailable without an auto-encoder.
        """
        if self.autoencoder is None:
            raise MetricUnavailable("needs an auto-encoder; name one with --autoencoder FILE")
        autoencoder = self.autoencoder
        # AE(HR) is the same for every model, and several metrics ask for AE(SR).
        return lru_cache(maxsize=2)(lambda images: auto_encoded(autoencoder, rounded(images)))


@torch.inference_mode()
def auto_encoded(autoencoder: nn.Module, images: Tensor) -> Tensor:
    """AE of images (N, 3, H, W) in [0, 1], an estimate of their fidelity bias, on AE's device: float32, on the CPU."""
    weight = next(autoencoder.parameters(), torch.empty(0))
    return autoencoder(images.to(weight)).float().cpu()


Measure = Callable[[Sample], float]


@dataclass(frozen=True)
class SetMeasure:
    """The functions that a metric of a whole set is computed with.

    `features` are those of an image (1, 3, H, W) in [0, 1]: (n, d) float64, n is 1 or the number of its patches.
    `distance` is that of two sets of features, (n, d) and (m, d).
    """

    features: Callable[[Tensor], np.ndarray]
    distance: Callable[[np.ndarray, np.ndarray], float]


class Metric:
    """A metric of a picture. Derive from it, set the attributes and write `measure`, or `prepare` where one loads.

    Cached values of another `version` of it, or of its packages, are not used.
    """

    name: str = ""  #: on the command line and in JSON
    title: str = ""  #: in tables
    higher_is_better: ClassVar[bool | None]  #: None where neither is better
    unit: ClassVar[str] = ""
    digits: ClassVar[int] = 4  #: decimals that are worth printing
    needs_hr: ClassVar[bool] = True  #: those that do not also measure pictures without ground truth
    needs_autoencoder: ClassVar[bool] = False  #: computed only where one is named
    by_default: ClassVar[bool] = True  #: measured where no metrics are named
    protocol: ClassVar[str] = ""  #: what a reader must know to read its column, in a line
    caution: ClassVar[str] = ""  #: stands below every table that has a value of it
    unlike_paper: ClassVar[str] = ""  #: how the numbers that the paper prints are made otherwise
    version: ClassVar[int] = 1  #: raise it with every change of its values
    packages: ClassVar[tuple[str, ...]] = ()  #: that it is computed by, beside torch

    @property
    def arrow(self) -> str:
        """`↑` where higher is better, `↓` where lower is, else nothing."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]

    def text(self, value: float) -> str:
        """A value with its decimals and unit."""
        return f"{value:.{self.digits}f} {self.unit}".rstrip()

    def best(self, values: Iterable[float]) -> float | None:
        """The best of some values; None where there are none or neither is better."""
        if self.higher_is_better is None:
            return None
        return (max if self.higher_is_better else min)(values, default=None)

    def prepare(self, settings: Settings) -> Measure | SetMeasure:
        """Load what is needed, once, or raise MetricUnavailable; return the function that measures a picture."""
        del settings
        return self.measure

    def measure(self, sample: Sample) -> float:
        """Measure one picture."""
        raise NotImplementedError

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Raise MetricUnavailable, which says why, where packages of the extra `metrics` or weights are missing."""
        try:
            yield
        except ImportError as error:
            raise MetricUnavailable(str(MissingExtraError(self.title, "metrics"))) from error
        except (MissingExtraError, ModelError) as error:
            raise MetricUnavailable(str(error)) from error


class NetworkMetric(Metric):
    """A metric of a picture that a network computes."""

    least_side: ClassVar[int] = 1  #: of a picture that the network can take

    def load(self, device: torch.device) -> Callable[..., Tensor]:
        """Load the network: a function of SR, and of HR if it `needs_hr`, whose value is a tensor of one number.

        They are (1, 3, H, W) in [0, 1], rounded to 8 bit, neither cropped nor resized, on the device. ImportError and
        ModelError say what is missing.
        """
        raise NotImplementedError

    def prepare(self, settings: Settings) -> Measure:
        with self.loading():
            network = self.load(settings.device)

        @torch.inference_mode()
        def measure(sample: Sample) -> float:
            images = [sample.sr, sample.hr] if self.needs_hr else [sample.sr]
            require_same_size(images[0], images[-1])
            require_sides(sample.sr, self.least_side, self.title)
            return network(*(rounded(image).to(settings.device) for image in images)).item()

        return measure


class CombinedMetric(Metric):
    """A metric that is made of the values that others, its `parts`, have for the same picture."""

    parts: ClassVar[tuple[str, ...]]  #: names of METRICS; none is of sets

    def combine(self, *values: float) -> float:
        """The value of a picture, from those of its parts in their order."""
        raise NotImplementedError


class SetMetric(Metric):
    """A metric of a set of pictures, such as FID: it has no value for one picture."""

    def prepare(self, settings: Settings) -> SetMeasure:
        """Load what is needed, once; raises MetricUnavailable where it is not available."""
        raise NotImplementedError
