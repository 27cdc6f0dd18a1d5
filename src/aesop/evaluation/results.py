"""The results of an evaluation: values of every picture, means with intervals, differences between models, JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aesop.evaluation.intervals import Interval, mean_interval
from aesop.files import short_path, without_folders, write_atomically

if TYPE_CHECKING:
    from aesop.data.benchmarks import Benchmark
    from aesop.evaluation.sr_folders import SRFolder

#: Why a metric has no column for a benchmark of LR pictures alone.
NO_GROUND_TRUTH = "compares with HR pictures, and this benchmark has none"


@dataclass
class Result:
    """One metric of one model on one benchmark; None for pictures that could not be measured.

    A metric of whole sets, such as FID, has `set_value` over `set_pictures` instead.
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
        """The values that the mean is of."""
        return {name: value for name, value in self.pictures.items() if value is not None and math.isfinite(value)}

    @property
    def infinite(self) -> list[str]:
        """The pictures that equal what they are compared with (PSNR), which are left out of the mean."""
        return [name for name, value in self.pictures.items() if value is not None and not math.isfinite(value)]

    @property
    def of_pictures(self) -> tuple[str, ...]:
        """The pictures that the mean or the set's value is of."""
        return tuple(self.finite or self.infinite) if self.set_value is None else self.set_pictures

    @property
    def no_ground_truth(self) -> bool:
        """Whether the metric compares with HR and the benchmark has none."""
        return self.unavailable == NO_GROUND_TRUTH

    @property
    def count(self) -> int:
        """How many pictures those are."""
        return len(self.of_pictures)

    @property
    def mean(self) -> float | None:
        """The set's value or the mean of the finite ones; None if there is none, infinite if all are."""
        if self.set_value is not None:
            return self.set_value
        values = self.finite.values()
        return math.fsum(values) / len(values) if values else math.inf if self.infinite else None

    @property
    def interval(self) -> Interval | None:
        """The mean's 95 % bootstrap interval; None for fewer than five pictures, and for metrics of sets."""
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
    """A caution for the reader about a benchmark, or one of its pictures, that was measured."""

    benchmark: str
    picture: str | None
    text: str


@dataclass(frozen=True)
class PairedDifference:
    """A model's mean less another's, over the pictures that have a finite value of both."""

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
    """A network's path as the user named it, and the SHA-256 of its file; of a folder of SR pictures, of them all."""

    path: str
    sha256: str


@dataclass
class Evaluation:
    """All that was measured: a result for every benchmark, model and metric, in this order."""

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
    #: The benchmarks' pictures, the models that are folders of SR pictures, and the folder of the others': not in JSON.
    sets: list[Benchmark] = field(default_factory=list, repr=False, compare=False)
    given: dict[str, SRFolder] = field(default_factory=dict, repr=False, compare=False)
    sr_folder: Path | None = field(default=None, compare=False)

    def result(self, model: str, benchmark: str, metric: str) -> Result:
        """Return the result of these three names; KeyError if there is none."""
        wanted = (model, benchmark, metric)
        found = (result for result in self.results if (result.model, result.benchmark, result.metric) == wanted)
        if (result := next(found, None)) is None:
            raise KeyError(wanted)
        return result

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
        """Return the evaluation as JSON (docs/evaluation.md), and write it to `path`, atomically, if there is one."""
        document = asdict(replace(self, sets=[], given={}))
        del document["sets"], document["given"], document["sr_folder"]
        for entry, result in zip(document["results"], self.results, strict=True):
            entry["mean"] = _json_value(result.mean)
            entry["interval"] = result.interval
            entry["count"] = result.count
            entry["pictures"] = {name: _json_value(value) for name, value in result.pictures.items()}
        for file in filter(None, (*document["files"].values(), document["autoencoder"])):
            file["path"] = short_path(file["path"])
        for entry in document["failures"]:
            entry["reason"] = without_folders(entry["reason"])
        document["against"] = self.against or next(iter(self.models), None)
        document["differences"] = [asdict(found) | {"significant": found.significant} for found in self.differences()]
        text = json.dumps(document, indent=1, allow_nan=False) + "\n"
        if path is not None:
            write_atomically(path, text)
        return text


def _json_value(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else "inf"
