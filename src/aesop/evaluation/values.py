"""The values of one benchmark: those that the cache has, what is left to measure, and the results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from aesop.data.benchmarks import Benchmark, Picture
from aesop.errors import AesopError
from aesop.evaluation.cache import Cache, Value, digest, sha256_of
from aesop.evaluation.measure import Job, Measured, Measurer, Setup
from aesop.evaluation.pictures import has_sr, sr_path
from aesop.evaluation.results import NO_GROUND_TRUTH, Failure, Result
from aesop.metrics import Metric, SetMeasure, SetMetric, metric_named

#: To be raised with every change of evaluation that changes values: cached ones of another are not used.
PROTOCOL = 3

#: The packages behind every SR picture.
PACKAGES = ("aesop-sr", "numpy", "pillow", "pyvips", "spandrel", "torch")


class BenchmarkValues:
    """Values by model (None for features of HR pictures), metric and picture, and those of whole sets.

    What a value's key is made of: SR pictures' are of the model's file, the picture's files, the scale, the kind of
    device and package versions; a metric adds its name and version, its packages and the auto-encoder's file.
    """

    def __init__(self, benchmark: Benchmark, metrics: Sequence[str], setup: Setup, cache: Cache) -> None:
        self.benchmark, self.metrics, self.setup, self.cache = benchmark, metrics, setup, cache
        self.described = {name: metric_named(name) for name in metrics}
        self.of_sets = [name for name, metric in self.described.items() if isinstance(metric, SetMetric)]
        self.applicable = [n for n, metric in self.described.items() if benchmark.pairs or not metric.needs_hr]
        with ThreadPoolExecutor() as threads:
            pictures = list(threads.map(_picture_key, benchmark.pictures))
        own = [setup.scale, setup.device.partition(":")[0], *map(_version, PACKAGES), PROTOCOL]
        models = {title: network.key for title, network in setup.models.items()} | {None: "HR"}
        self._sr = {model: [digest(key, picture, *own) for picture in pictures] for model, key in models.items()}
        self._metric = {name: self._metric_key(name, metric) for name, metric in self.described.items()}
        self.values: dict[tuple[str | None, str, int], Value] = {}
        self.set_values = {
            (model, name): value
            for model in setup.models
            for name in self.of_sets
            if isinstance(value := cache.get(self._set_key(model, name)), float)
        }
        self._failures: list[tuple[int, Failure]] = []

    def jobs(self, number: int, measurer: Measurer, sr_folder: Path | None) -> Iterator[Job]:
        """Look up what the cache has; yield a job, with `number`, for every picture of which something is missing."""
        for index, picture in enumerate(self.benchmark.pictures):
            metrics, sr = {}, {}
            for model in self.setup.models:
                missing = [name for name in self.applicable if not self._is_known(model, name, index)]
                missing = [name for name in missing if measurer.prepare(name) is not None]
                if sr_folder is not None:
                    path = sr_path(sr_folder, self.benchmark.name, model, picture.name)
                    sr[model] = path, self._sr[model][index]
                if missing or (model in sr and not has_sr(*sr[model])):
                    metrics[model] = missing
            if metrics:
                yield Job(number, picture, index, metrics, sr)

    def add(self, job: Job, measured: Measured) -> None:
        """Take, and keep, what came of a job."""
        found = {(model, name, job.index): value for (model, name), value in measured.values.items()}
        self.cache.put({self._key(*where): value for where, value in found.items()})
        self.values |= found
        self._failures += [
            (job.index, Failure(self.benchmark.name, job.picture.name, *failure)) for failure in measured.failures
        ]

    def failures(self) -> list[Failure]:
        """What went wrong, in the order of the pictures."""
        return [failure for _, failure in sorted(self._failures, key=lambda failed: failed[0])]

    def results(self, measurer: Measurer) -> list[Result]:
        """Arrange all values; features of sets become distances."""
        names = [picture.name for picture in self.benchmark.pictures]
        found = []
        for model in self.setup.models:
            for metric in self.metrics:
                result = Result(model, self.benchmark.name, self.benchmark.scale, metric, dict.fromkeys(names))
                found.append(result)
                if metric not in self.applicable:
                    result.unavailable = NO_GROUND_TRUTH
                elif metric in self.of_sets:
                    self._add_set_value(result, names, measurer)
                else:
                    for index, name in enumerate(names):
                        if isinstance(value := self.values.get((model, metric, index)), float):
                            result.pictures[name] = value
                    if None in result.pictures.values():
                        result.unavailable = measurer.unavailable.get(metric)
        if all((model, name) in self.set_values for model in self.setup.models for name in self.of_sets):
            of_sets = (where for where in self.values if where[1] in self.of_sets)
            self.cache.forget(self._key(*where) for where in of_sets)
        return found

    def _add_set_value(self, result: Result, names: Sequence[str], measurer: Measurer) -> None:
        model, metric = result.model, result.metric
        value, there = self.set_values.get((model, metric)), range(len(names))
        if value is None:
            there = [index for index in there if (model, metric, index) in self.values]
            if len(there) < len(names):
                result.unavailable = measurer.unavailable.get(metric)
            measure = measurer.prepare(metric) if there else None
            if not isinstance(measure, SetMeasure):
                return
            sides = [np.concatenate([self.values[side, metric, index] for index in there]) for side in (model, None)]
            try:
                value = float(measure.distance(*sides))
            except Exception as error:  # too few pictures, say; other metrics go on
                result.unavailable = str(error) or type(error).__name__
                return
            if len(there) == len(names):
                self.set_values[model, metric] = value
                self.cache.put({self._set_key(model, metric): value})
        result.set_value, result.set_pictures = value, tuple(names[index] for index in there)

    def _is_known(self, model: str, name: str, index: int) -> bool:
        if (model, name) in self.set_values:
            return True
        # Of sets, the features of both sides.
        for side in (model, None) if name in self.of_sets else (model,):
            if (side, name, index) not in self.values:
                if (value := self.cache.get(self._key(side, name, index))) is None:
                    return False
                self.values[side, name, index] = value
        return True

    def _key(self, model: str | None, metric: str, index: int) -> str | None:
        return digest(self._sr[model][index], self._metric[metric])

    def _set_key(self, model: str, metric: str) -> str | None:
        keys = self._sr[model]
        return None if None in keys else digest(self._metric[metric], *sorted(filter(None, keys)))

    def _metric_key(self, name: str, metric: Metric) -> str | None:
        if ":" in name:  # of the user's own code, which may change
            return None
        encoder = self.setup.autoencoder if metric.needs_autoencoder else None
        return digest(name, metric.version, encoder.key if encoder else "", *map(_version, metric.packages))


def _picture_key(picture: Picture) -> str | None:
    """Digest a picture's files; None where one cannot be read, which the measurement will tell."""
    try:
        return digest(type(picture).__name__, *map(sha256_of, picture.files))
    except (AesopError, OSError):
        return None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
