"""One picture at a time: upscaled by every model and measured. This runs in each process of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor
from torch import Tensor

from aesop.config import import_here
from aesop.data.benchmarks import Picture
from aesop.data.bicubic import resize
from aesop.data.pictures import to_float
from aesop.errors import AesopError, RunError
from aesop.evaluation.cache import Value
from aesop.evaluation.network import Network
from aesop.evaluation.pictures import has_sr, read_sr, write_sr
from aesop.evaluation.results import Failure
from aesop.evaluation.sr_folders import SRFolder
from aesop.metrics import MetricUnavailable, Sample, SetMeasure, Settings, metric_named
from aesop.metrics.metric import Measure
from aesop.upscaling.tiles import Upscaler
from aesop.words import first_line

#: Fewer pictures than this are measured sooner than a process has started (3 s).
WORTH_A_PROCESS = 4


@dataclass(frozen=True)
class Setup:
    """What every process needs: models by title, the auto-encoder of AE-PSNR, and the user's modules."""

    models: Mapping[str, Network | SRFolder]
    autoencoder: Network | None
    scale: int
    device: str
    imports: Sequence[str] = ()


@dataclass(frozen=True)
class Job:
    """A picture, the metrics to compute of every model, where SR pictures go, with their keys; and what comes of it.

    `values` are by model (None for features of the HR picture) and metric.
    """

    benchmark: str
    picture: Picture
    metrics: Mapping[str, Sequence[str]]
    sr: Mapping[str, tuple[Path, str | None]]
    values: dict[tuple[str | None, str], Value] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def fail(self, model: str | None, metric: str | None, error: Exception) -> None:
        """Add a failure."""
        self.failures.append(Failure(self.benchmark, self.picture.name, model, metric, first_line(error)))

    def size(self) -> int:
        """Bytes of the picture's files; 0 where one is missing."""
        try:
            return sum(path.stat().st_size for path in self.picture.files)
        except (AesopError, OSError):
            return 0


class Measurer:
    """Does jobs; models and metrics are loaded on first use."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.device = torch.device(setup.device)
        self.unavailable: dict[str, str] = {}
        self._upscalers: dict[str, Upscaler] = {}
        self._measures: dict[str, Measure | SetMeasure] = {}

    def prepare(self, metric: str) -> Measure | SetMeasure | None:
        """Load a metric; None, with the reason in `unavailable`, where it is not available."""
        if metric not in self._measures and metric not in self.unavailable:
            try:
                self._measures[metric] = metric_named(metric).prepare(self._settings)
            except MetricUnavailable as error:
                self.unavailable[metric] = str(error)
        return self._measures.get(metric)

    @cached_property
    def _settings(self) -> Settings:
        encoder = self.setup.autoencoder
        network = None if encoder is None else encoder.loaded.eval().to(self.device)
        return Settings(self.device, network)

    def __call__(self, job: Job) -> Job:
        """Upscale and measure a picture; if one model or metric fails, the others continue.

        Raises RunError where nothing can continue, such as for a full disk.
        """
        try:
            hr, lr = job.picture.read(self.setup.scale)
        except (AesopError, OSError, RuntimeError) as error:
            job.fail(None, None, error)
            return job
        low = to_float(lr.unsqueeze(0))
        high = None if hr is None else to_float(hr.unsqueeze(0))
        for model, metrics in job.metrics.items():
            try:
                sr = self._sr(model, lr, job)
                sample = Sample(to_float(sr.unsqueeze(0)), high, low, self.setup.scale)
            except RunError:
                raise
            except Exception as error:
                job.fail(model, None, error)
                continue
            for metric in metrics:
                try:
                    self._measure(metric, sample, model, job.values)
                except RunError:
                    raise
                except Exception as error:
                    job.fail(model, metric, error)
        return job

    def _measure(self, metric: str, sample: Sample, model: str, values: dict[tuple[str | None, str], Value]) -> None:
        measure = self.prepare(metric)
        if measure is None:
            raise MetricUnavailable(self.unavailable[metric])
        if isinstance(measure, SetMeasure):
            if (None, metric) not in values:
                values[None, metric] = measure.features(sample.hr)
            values[model, metric] = measure.features(sample.sr)
            return
        value = float(measure(sample))
        if math.isnan(value):
            raise AesopError(f"{metric} is not a number for this picture")
        values[model, metric] = value

    def _sr(self, model: str, lr: Tensor, job: Job) -> Tensor:
        """Upscale LR, uint8 (3, h, w), by a model, or read what another program made of it: uint8 (3, H, W)."""
        network = self.setup.models[model]
        if isinstance(network, SRFolder):
            return network.read(job.benchmark, job.picture.name, lr, self.setup.scale)
        return self._upscale(model, network, lr, job.sr.get(model))

    def _upscale(self, model: str, network: Network, lr: Tensor, kept: tuple[Path, str | None] | None) -> Tensor:
        """Upscale a picture, unless its file is there."""
        if kept is not None:
            if has_sr(*kept) and (there := read_sr(kept[0])) is not None:
                return there
            kept[0].unlink(missing_ok=True)  # another model's
        scale = self.setup.scale
        if network.file is not None and model not in self._upscalers:
            self._upscalers[model] = Upscaler(network.loaded.model.to(self.device), scale)
        sr = self._upscalers[model](lr) if model in self._upscalers else resize(lr, scale)
        if kept is not None:
            write_sr(kept[0], sr, kept[1])
        return sr


def run_jobs(jobs: Sequence[Job], measurer: Measurer, processes: int | None) -> Iterator[Job]:
    """Do all jobs, in this process by `measurer` or in several; yield each as it ends.

    Raises RunError where a process is killed, for lack of memory for instance.
    """
    if measurer.device.type != "cpu":
        processes = 1
    elif processes is None:
        processes = min(cpu_count(), sum(len(job.metrics) for job in jobs) // WORTH_A_PROCESS)
    if min(processes, len(jobs)) <= 1:
        yield from map(measurer, jobs)
        return
    jobs = sorted(jobs, key=Job.size, reverse=True)  # so that none works alone at the end
    try:
        with parallel_config(backend="loky", inner_max_num_threads=1):
            work: Any = Parallel(processes, return_as="generator_unordered")
            yield from work(delayed(_do)(job, measurer.setup) for job in jobs)
    except BrokenProcessPool as error:
        raise RunError(
            "A process of this evaluation was killed, perhaps for lack of memory; try again with fewer --processes. "
            "Finished pictures are kept."
        ) from error
    finally:
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


_measurer: Measurer | None = None


def _do(job: Job, setup: Setup) -> Job:
    """Do a job in a process of joblib's; the first job there loads what all need."""
    global _measurer
    try:
        if _measurer is None:
            torch.set_num_threads(1)
            for module in setup.imports:
                with suppress(ValueError):  # the command has imported it, or said why it cannot be
                    import_here(module)
            _measurer = Measurer(setup)
    except (Exception, SystemExit) as error:
        raise RunError(f"A process of this evaluation could not start: {error or type(error).__name__}") from error
    return _measurer(job)
