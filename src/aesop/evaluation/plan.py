"""What of a benchmark is known already, what is to be computed, and the results that come of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from aesop.errors import RunError
from aesop.evaluation.benchmarks import Benchmark
from aesop.evaluation.keys import Network, picture_key
from aesop.evaluation.results import NO_GROUND_TRUTH, Result
from aesop.evaluation.store import Store, digest
from aesop.evaluation.worker import Job, load_encoding, prepare_metrics
from aesop.metrics import METRICS, Settings
from aesop.metrics.metric import Measure, SetMeasure, SetMetric


class MetricsAtHand:
    """The metrics that were needed, loaded once, and why others cannot be had."""

    def __init__(self, scale: int, device: torch.device, autoencoder: Network | None) -> None:
        self.scale, self.device, self.autoencoder = scale, device, autoencoder
        self.measures: dict[str, Measure | SetMeasure] = {}
        self.unavailable: dict[str, str] = {}

    def prepare(self, names: Sequence[str]) -> None:
        """Load metrics, or note why they cannot be had."""
        encodes = any(METRICS[name].needs_autoencoder for name in names)
        network = load_encoding(self.autoencoder, self.device) if encodes else None
        measures, unavailable = prepare_metrics(names, Settings(self.scale, self.device, network))
        self.measures |= measures
        self.unavailable |= unavailable

    def of_sets(self, name: str) -> SetMeasure | None:
        """Return a metric of sets, loaded if need be; None where it is not to be had."""
        if name not in self.measures and name not in self.unavailable:
            self.prepare([name])
        measure = self.measures.get(name)
        return None if measure is None or callable(measure) else measure


class Plan:
    """One benchmark: what of it is known, what is to be computed, and its results."""

    def __init__(
        self,
        benchmark: Benchmark,
        models: Mapping[str, Network],
        metric_keys: Mapping[str, str],
        code: str,
        store: Store,
    ) -> None:
        self.benchmark, self.metric_keys, self.store = benchmark, metric_keys, store
        with ThreadPoolExecutor() as threads:
            self.keys = list(threads.map(picture_key, benchmark.pictures, [benchmark.scale] * len(benchmark.pictures)))
        self.sr_keys = {
            model: [digest("sr", network.key, key) for key in self.keys] for model, network in models.items()
        }
        self.hr_keys = [digest("hr", key, code) for key in self.keys]
        self.applicable = [name for name in metric_keys if benchmark.pairs or not METRICS[name].needs_hr]

    def jobs(self) -> Iterator[Job]:
        """A job for every picture that something is to be computed on."""
        known_sets = {
            (model, name)
            for model in self.sr_keys
            for name in self.applicable
            if isinstance(METRICS[name], SetMetric) and self.store.values(self._set_key(model, name, self._all))
        }
        for index, picture in enumerate(self.benchmark.pictures):
            work = {}
            for model, keys in self.sr_keys.items():
                known = self.store.values(keys[index])
                lacking = [
                    name
                    for name in self.applicable
                    if self.metric_keys[name] not in known
                    and (model, name) not in known_sets
                    and not self._has_features(model, name, index)
                ]
                if lacking:
                    work[model] = lacking
            if work:
                sr_keys = {model: self.sr_keys[model][index] for model in work}
                yield Job(self.benchmark.name, picture, self.hr_keys[index], sr_keys, work)

    def results(self, metrics: MetricsAtHand) -> list[Result]:
        """What the store knows of every model by every metric."""
        values = {model: [self.store.values(key) for key in keys] for model, keys in self.sr_keys.items()}
        found = []
        for model in self.sr_keys:
            for name in self.metric_keys:
                result = Result(model, self.benchmark.name, self.benchmark.scale, name)
                found.append(result)
                result.pictures = {picture.name: None for picture in self.benchmark.pictures}
                if name not in self.applicable:
                    result.unavailable = NO_GROUND_TRUTH
                elif isinstance(METRICS[name], SetMetric):
                    self._add_set_value(result, metrics)
                else:
                    known = [entry.get(self.metric_keys[name]) for entry in values[model]]
                    result.pictures = dict(zip(result.pictures, known, strict=True))
                    if None in known:
                        result.unavailable = metrics.unavailable.get(name)
        return found

    def _add_set_value(self, result: Result, metrics: MetricsAtHand) -> None:
        model, name = result.model, result.metric
        known = self.store.values(self._set_key(model, name, self._all))
        there = self._all if known else [index for index in self._all if self._has_features(model, name, index)]
        result.unavailable = metrics.unavailable.get(name) if len(there) < len(self._all) else None
        if not there:
            return
        key = self._set_key(model, name, there)
        if not (known := self.store.values(key)):
            measure = metrics.of_sets(name)
            if measure is None:
                result.unavailable = metrics.unavailable.get(name)
                return
            sides = [
                np.concatenate([self._features(keys[index], name) for index in there])
                for keys in (self.sr_keys[model], self.hr_keys)
            ]
            try:
                known = {"value": float(measure.distance(sides[0], sides[1]))}
            except Exception as error:  # too few pictures, say; other metrics go on
                result.unavailable = str(error) or type(error).__name__
                return
            self.store.add(key, known)
        result.set_value = known["value"]
        result.set_pictures = tuple(self.benchmark.pictures[index].name for index in there)

    def _features(self, key: str, name: str) -> np.ndarray:
        found = self.store.features(key, self.metric_keys[name])
        if found is None:
            raise RunError(f"{self.store.folder}: somebody removes its files while they are used; call again.")
        return found

    @property
    def _all(self) -> list[int]:
        return list(range(len(self.keys)))

    def _set_key(self, model: str, name: str, pictures: Sequence[int]) -> str:
        return digest("set", self.metric_keys[name], *sorted(self.sr_keys[model][index] for index in pictures))

    def _has_features(self, model: str, name: str, index: int) -> bool:
        """Whether a metric of sets needs nothing more of a picture; False for other metrics."""
        keys, metric = (self.sr_keys[model][index], self.hr_keys[index]), self.metric_keys[name]
        return isinstance(METRICS[name], SetMetric) and all(self.store.has_features(key, metric) for key in keys)
