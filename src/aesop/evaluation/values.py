"""The results of one benchmark: the values that the cache has, and what is left to measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from aesop.data.benchmarks import Benchmark, Picture
from aesop.errors import AesopError
from aesop.evaluation.cache import Cache, digest, sha256_of
from aesop.evaluation.measure import Job, Measurer, Setup
from aesop.evaluation.pictures import has_sr, sr_path
from aesop.evaluation.results import NO_GROUND_TRUTH, Failure, Result
from aesop.evaluation.sr_folders import SRFolder
from aesop.metrics import METRICS, SetMeasure, SetMetric
from aesop.versions import version_of

#: Raise it with every change of the evaluation that changes values: cached values of another are not used.
PROTOCOL = 3

#: The packages behind every SR picture.
PACKAGES = ("aesop-sr", "numpy", "pillow", "pyvips", "spandrel", "torch")


class BenchmarkValues:
    """The results of one benchmark: cached values, the jobs that are left, and their outcomes.

    The key of an SR picture depends on the model's file (or the SR file itself), the picture's files, the scale, the
    kind of device and package versions; that of a value also on the metric's name, version and packages and on the
    auto-encoder's file.
    """

    def __init__(self, benchmark: Benchmark, metrics: Sequence[str], setup: Setup, cache: Cache) -> None:
        self.benchmark, self.setup, self.cache = benchmark, setup, cache
        self.names = [picture.name for picture in benchmark.pictures]
        self.failures: dict[str, list[Failure]] = {}
        #: Of metrics of sets: by model (None for HR), metric and picture.
        self.features: dict[tuple[str | None, str, str], np.ndarray] = {}
        with ThreadPoolExecutor() as threads:
            pictures = list(threads.map(_picture_key, benchmark.pictures))
        own = [setup.scale, setup.device.partition(":")[0], *map(version_of, PACKAGES), PROTOCOL]
        keys = dict(zip(self.names, pictures, strict=True))
        self._sr: dict[str | None, dict[str, str | None]] = {
            model: {name: digest(source.key_of(benchmark.name, name), key, *own) for name, key in keys.items()}
            for model, source in setup.models.items()
        }
        self._sr[None] = {name: digest("HR", key, *own) for name, key in keys.items()}
        self._metric = {name: self._metric_key(name) for name in metrics}
        self.results = [
            Result(model, benchmark.name, benchmark.scale, metric, dict.fromkeys(self.names))
            for model in setup.models
            for metric in metrics
        ]
        for result in self.results:
            self._look_up(result)

    def jobs(self, is_wanted: Callable[[str], bool], sr_folder: Path | None) -> Iterator[Job]:
        """Yield a job for every picture that lacks a metric which `is_wanted`, or its SR picture in `sr_folder`."""
        for picture in self.benchmark.pictures:
            metrics: dict[str, list[str]] = {model: [] for model in self.setup.models}
            for result in self.results:
                if self._lacks(result, picture.name) and is_wanted(result.metric):
                    metrics[result.model].append(result.metric)
            sr = {}
            if sr_folder is not None:
                for model, source in self.setup.models.items():
                    if not isinstance(source, SRFolder):
                        path = sr_path(sr_folder, self.benchmark.name, model, picture.name)
                        sr[model] = path, self._sr[model][picture.name]
            metrics = {m: names for m, names in metrics.items() if names or (m in sr and not has_sr(*sr[m]))}
            if metrics:
                yield Job(self.benchmark.name, picture, metrics, sr)

    def add(self, job: Job) -> None:
        """Take, and keep, what came of a job."""
        name = job.picture.name
        self.failures[name] = job.failures
        self.cache.put({self._key(model, metric, name): value for (model, metric), value in job.values.items()})
        self.features |= {(*of, name): value for of, value in job.values.items() if isinstance(value, np.ndarray)}
        for result in self.results:
            if isinstance(value := job.values.get((result.model, result.metric)), float):
                result.pictures[name] = value

    def finish(self, measurer: Measurer) -> None:
        """Compute the distances of sets from their features, and record why missing values are missing."""
        for result in self.results:
            if self._is_of_sets(result):
                if result.set_value is None:
                    self._measure_set(result, measurer)
            elif None in result.pictures.values():
                result.unavailable = result.unavailable or measurer.unavailable.get(result.metric)
        # Features are large: none are kept once their sets have values.
        if all(len(result.set_pictures) == len(self.names) for result in self.results if self._is_of_sets(result)):
            self.cache.forget(self._key(*where) for where in self.features)

    def _is_of_sets(self, result: Result) -> bool:
        return isinstance(METRICS[result.metric], SetMetric) and not result.no_ground_truth

    def _look_up(self, result: Result) -> None:
        """Fill in what the cache has."""
        model, metric = result.model, result.metric
        if METRICS[metric].needs_hr and not self.benchmark.pairs:
            result.unavailable = NO_GROUND_TRUTH
        elif not self._is_of_sets(result):
            values = {name: self.cache.get(self._key(model, metric, name)) for name in self.names}
            result.pictures |= {name: value for name, value in values.items() if isinstance(value, float)}
        elif isinstance(value := self.cache.get(self._set_key(model, metric)), float):
            result.set_value, result.set_pictures = value, tuple(self.names)
        else:
            wanted = [(side, metric, name) for side in (model, None) for name in self.names]
            found = {where: self.cache.get(self._key(*where)) for where in wanted if where not in self.features}
            self.features |= {where: value for where, value in found.items() if isinstance(value, np.ndarray)}

    def _lacks(self, result: Result, name: str) -> bool:
        if result.no_ground_truth or result.set_value is not None:
            return False
        if self._is_of_sets(result):
            return any((side, result.metric, name) not in self.features for side in (result.model, None))
        return result.pictures[name] is None

    def _measure_set(self, result: Result, measurer: Measurer) -> None:
        model, metric = result.model, result.metric
        there = [name for name in self.names if not self._lacks(result, name)]
        if len(there) < len(self.names):
            result.unavailable = measurer.unavailable.get(metric)
        measure = measurer.prepare(metric) if there else None
        if not isinstance(measure, SetMeasure):
            return
        sides = [np.concatenate([self.features[side, metric, name] for name in there]) for side in (model, None)]
        try:
            result.set_value, result.set_pictures = float(measure.distance(*sides)), tuple(there)
        except Exception as error:  # too few pictures, for instance; other metrics continue
            result.unavailable = str(error) or type(error).__name__
        else:
            if len(there) == len(self.names):
                self.cache.put({self._set_key(model, metric): result.set_value})

    def _key(self, model: str | None, metric: str, name: str) -> str | None:
        return digest(self._sr[model][name], self._metric[metric])

    def _set_key(self, model: str, metric: str) -> str | None:
        keys = self._sr[model].values()
        return None if None in keys else digest(self._metric[metric], *sorted(filter(None, keys)))

    def _metric_key(self, name: str) -> str | None:
        if ":" in name:  # the user's own code, which may change
            return None
        metric = METRICS[name]
        encoder = self.setup.autoencoder if metric.needs_autoencoder else None
        return digest(name, metric.version, encoder.key if encoder else "", *map(version_of, metric.packages))


def _picture_key(picture: Picture) -> str | None:
    """Digest a picture's files; None where one cannot be read, which the measurement reports."""
    try:
        return digest(type(picture).__name__, *map(sha256_of, picture.files))
    except (AesopError, OSError):
        return None
