"""What an evaluation finds: values of every picture, their means with intervals, differences of models, JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aesop.evaluation.intervals import Interval, mean_interval
from aesop.files import write_atomically

if TYPE_CHECKING:
    from aesop.evaluation.benchmarks import Benchmark

#: Why a metric has no column for a benchmark of LR pictures alone.
NO_GROUND_TRUTH = "compares with HR pictures, which this benchmark has not"


@dataclass
class Result:
    """One metric of one model on one benchmark; None for pictures that could not be measured.

    A metric of whole sets (FID) has no value for a picture: its `pictures` are all None, `set_value` is its value over
    `set_pictures`.
    """

    model: str
    benchmark: str
    scale: int
    metric: str
    pictures: dict[str, float | None] = field(default_factory=dict)
    unavailable: str | None = None
    set_value: float | None = None
    set_pictures: tuple[str, ...] = ()

    @property
    def finite(self) -> dict[str, float]:
        """The pictures' values that a mean can be of: the PSNR of equal pictures is infinite."""
        return {name: value for name, value in self.pictures.items() if value is not None and math.isfinite(value)}

    @property
    def infinite(self) -> list[str]:
        """The pictures that are left out of the mean since they equal what they are compared with."""
        return [name for name, value in self.pictures.items() if value is not None and not math.isfinite(value)]

    @property
    def of_pictures(self) -> tuple[str, ...]:
        """The pictures that the mean, or the set's value, is of."""
        return tuple(self.finite or self.infinite) if self.set_value is None else self.set_pictures

    @property
    def no_ground_truth(self) -> bool:
        """Whether the metric compares with HR and the benchmark has none."""
        return self.unavailable == NO_GROUND_TRUTH

    @property
    def count(self) -> int:
        """How many pictures the mean, or the set's value, is of."""
        return len(self.of_pictures)

    @property
    def mean(self) -> float | None:
        """Mean over the finite values, or the set's value; None if there is none, infinite if all are."""
        if self.set_value is not None:
            return self.set_value
        values = self.finite.values()
        return math.fsum(values) / len(values) if values else math.inf if self.infinite else None

    @property
    def interval(self) -> Interval | None:
        """The mean's 95 % bootstrap interval over pictures; None for fewer than five, and for metrics of sets."""
        return mean_interval(list(self.finite.values()))


@dataclass(frozen=True)
class Failure:
    """A picture that could not be read (model and metric None), upscaled (metric None) or measured, and why."""

    benchmark: str
    picture: str
    model: str | None
    metric: str | None
    reason: str


@dataclass(frozen=True)
class Note:
    """What a reader must know of a benchmark, or of one picture of it, though it was measured."""

    benchmark: str
    picture: str | None
    text: str


@dataclass(frozen=True)
class PairedDifference:
    """By how much a model's mean exceeds another's, over the pictures that have a finite value of both."""

    model: str
    against: str
    benchmark: str
    metric: str
    difference: float
    interval: Interval | None
    count: int

    @property
    def significant(self) -> bool:
        """Whether the 95 % interval of the difference excludes 0; False where there is no interval."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True)
class ModelFile:
    """Which network was measured: its path as it was named, and what its file (a run's generator) holds."""

    path: str
    sha256: str


@dataclass
class Evaluation:
    """Everything that was measured: a result for every model, benchmark and metric, in this order."""

    models: list[str]
    benchmarks: list[str]
    metrics: list[str]
    results: list[Result] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    #: The model that all others are compared with; None for the first one.
    against: str | None = None
    #: The files of the models that have one, and AE-PSNR's auto-encoder.
    files: dict[str, ModelFile] = field(default_factory=dict)
    autoencoder: ModelFile | None = None
    #: The benchmarks' pictures, and the folder of their SR pictures: not in JSON.
    sets: list[Benchmark] = field(default_factory=list, repr=False, compare=False)
    sr_folder: Path | None = field(default=None, compare=False)

    def result(self, model: str, benchmark: str, metric: str) -> Result:
        """Return the one result of these three names; KeyError if there is none."""
        wanted = (model, benchmark, metric)
        for result in self.results:
            if (result.model, result.benchmark, result.metric) == wanted:
                return result
        raise KeyError(wanted)

    def differences(self) -> list[PairedDifference]:
        """Compare every other model with `against`, picture by picture; metrics of sets have no interval."""
        found = []
        against = self.against or self.models[0]
        for result in self.results:
            if result.model == against:
                continue
            other = self.result(against, result.benchmark, result.metric)
            where = (result.model, against, result.benchmark, result.metric)
            if result.set_value is not None and other.set_value is not None:
                if set(result.set_pictures) == set(other.set_pictures):
                    found.append(PairedDifference(*where, result.set_value - other.set_value, None, result.count))
                continue
            theirs = other.finite
            gaps = [value - theirs[name] for name, value in result.finite.items() if name in theirs]
            if gaps:
                found.append(PairedDifference(*where, math.fsum(gaps) / len(gaps), mean_interval(gaps), len(gaps)))
        return found

    def to_json(self, path: Path | None = None) -> str:
        """Return the evaluation as JSON and write it to `path`, atomically, if there is one.

        {"models": [name], "benchmarks": [name], "metrics": [name],
         "results": [{"model", "benchmark", "scale", "metric", "mean", "interval": [low, high] or null, "count",
                      "pictures": {name: value}, "unavailable": reason or null, "set_value", "set_pictures"}],
         "differences": [{"model", "against", "benchmark", "metric", "difference", "interval", "count", "significant"}],
         "failures": [{"benchmark", "picture", "model" or null, "metric" or null, "reason"}],
         "notes": [{"benchmark", "picture" or null, "text"}],
         "versions": {package: version}, "against": name,
         "files": {name: {"path", "sha256"}}, "autoencoder": {"path", "sha256"} or null}

        A value is a number, null (not measured) or the string "inf" (the PSNR of equal pictures); `mean` is that of
        the `count` numbers.
        """
        document = asdict(replace(self, sets=[]))
        del document["sets"], document["sr_folder"]
        for entry, result in zip(document["results"], self.results, strict=True):
            entry["mean"] = _json_value(result.mean)
            entry["interval"] = result.interval
            entry["count"] = result.count
            entry["pictures"] = {name: _json_value(value) for name, value in result.pictures.items()}
        document["against"] = self.against or next(iter(self.models), None)
        document["differences"] = [asdict(found) | {"significant": found.significant} for found in self.differences()]
        text = json.dumps(document, indent=1, allow_nan=False) + "\n"
        if path is not None:
            write_atomically(path, text)
        return text


def _json_value(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else "inf"
