"""One picture at a time: upscaled by the models that have not been measured on it, measured, and kept.

Several processes do this at once, each with one thread of torch: that is faster than one process with several threads
(docs/evaluation.md). Results go to the store, so a process returns only what went wrong.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from aesop.config import import_here
from aesop.data.bicubic import resize
from aesop.data.pictures import to_float
from aesop.errors import AesopError, RunError
from aesop.evaluation.benchmarks import Picture
from aesop.evaluation.keys import Network, load_autoencoder
from aesop.evaluation.results import Failure
from aesop.evaluation.store import Store
from aesop.metrics import MetricUnavailable, Sample, Settings, metric_named
from aesop.metrics.metric import Measure, SetMeasure
from aesop.networks.loading import load_generator
from aesop.upscaling.tiles import Upscaler


@dataclass(frozen=True)
class Setup:
    """What every process needs: models by name, the keys of metrics in the store, and where."""

    models: Mapping[str, Network]
    scale: int
    device: str
    autoencoder: Network | None
    metrics: Mapping[str, str]
    store: Path
    imports: Sequence[str] = ()


@dataclass(frozen=True)
class Job:
    """A picture of a benchmark, its key, and for every model the key of its SR picture and the metrics to compute."""

    benchmark: str
    picture: Picture
    key: str
    sr_keys: Mapping[str, str]
    work: Mapping[str, Sequence[str]]


def prepare_metrics(names: Sequence[str], settings: Settings) -> tuple[dict[str, Measure | SetMeasure], dict[str, str]]:
    """Load what metrics need; beside them, why others cannot be had here."""
    measures: dict[str, Measure | SetMeasure] = {}
    unavailable: dict[str, str] = {}
    for name in names:
        try:
            measures[name] = metric_named(name).prepare(settings)
        except MetricUnavailable as error:
            unavailable[name] = str(error)
    return measures, unavailable


def load_encoding(autoencoder: Network | None, device: torch.device) -> nn.Module | None:
    """Load AE-PSNR's auto-encoder onto the device; None if there is none, ModelError if it has changed."""
    if autoencoder is None or autoencoder.file is None:
        return None
    loaded = load_autoencoder(autoencoder.file).eval().to(device)
    autoencoder.require_unchanged()
    return loaded


class Worker:
    """Does jobs; models are loaded when the first picture needs them."""

    def __init__(self, setup: Setup, measures: Mapping[str, Measure | SetMeasure] | None = None) -> None:
        self.setup = setup
        self.store = Store(setup.store)
        self.device = torch.device(setup.device)
        if measures is None:
            settings = Settings(setup.scale, self.device, load_encoding(setup.autoencoder, self.device))
            measures, _ = prepare_metrics(list(setup.metrics), settings)
        self.measures = measures
        self._upscalers: dict[str, Callable[[Tensor], Tensor]] = {}

    def __call__(self, job: Job) -> list[Failure]:
        """Do a job, keep its values; return what went wrong."""
        failures: list[Failure] = []

        def fail(model: str | None, metric: str | None, error: Exception) -> None:
            reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
            failures.append(Failure(job.benchmark, job.picture.name, model, metric, reason))

        try:
            hr, lr = job.picture.read(self.setup.scale)
        except (AesopError, OSError, RuntimeError) as error:
            fail(None, None, error)
            return failures
        lr_values = to_float(lr.unsqueeze(0))
        hr_values = None if hr is None else to_float(hr.unsqueeze(0))
        for model, metrics in job.work.items():
            try:
                sr = self.upscale(model, job.sr_keys[model], lr)
            except RunError:  # the disk is full, or the like: nothing can go on
                raise
            except Exception as error:  # whatever one network does with one picture, the others go on
                fail(model, None, error)
                continue
            sample = Sample(to_float(sr.unsqueeze(0)), hr_values, lr_values, self.setup.scale)
            values: dict[str, float] = {}
            for metric in metrics:
                try:
                    self._measure(metric, sample, job, model, values)
                except RunError:
                    raise
                except Exception as error:  # likewise
                    fail(model, metric, error)
            self.store.add(job.sr_keys[model], values)
        return failures

    def _measure(self, metric: str, sample: Sample, job: Job, model: str, values: dict[str, float]) -> None:
        measure, name = self.measures[metric], self.setup.metrics[metric]
        if not callable(measure):  # of sets
            if not self.store.has_features(job.key, name):
                self.store.add_features(job.key, name, measure.features(sample.hr))
            self.store.add_features(job.sr_keys[model], name, measure.features(sample.sr))
            return
        value = measure(sample)
        if math.isnan(value):
            raise AesopError(f"{metric} is not a number for this picture")
        values[name] = value

    def upscale(self, model: str, key: str, lr: Tensor) -> Tensor:
        """The SR picture of `key`, uint8, as a picture file would hold it; made and kept if the store lacks it."""
        network = self.setup.models[model]
        if network.file is None:
            return resize(lr, self.setup.scale)
        if (kept := self.store.picture(key)) is not None:
            return kept
        if model not in self._upscalers:
            loaded = load_generator(network.file)
            network.require_unchanged()
            self._upscalers[model] = Upscaler(loaded.model.to(self.device), self.setup.scale)
        sr = self._upscalers[model](lr)
        self.store.add_picture(key, sr)
        return sr


def run_jobs(
    jobs: Sequence[Job], setup: Setup, processes: int, measures: Mapping[str, Measure | SetMeasure]
) -> Iterator[tuple[Job, list[Failure]]]:
    """Do all jobs and yield each with its failures as it ends; `measures` are for jobs done in this process.

    Raises RunError where a process is killed, for want of memory for instance; what was finished is kept.
    """
    if processes == 1:
        worker = Worker(setup, measures)
        for job in jobs:
            yield job, worker(job)
        return
    before = set(multiprocessing.active_children())
    # Spawned, not forked: torch's and libvips' threads do not survive a fork.
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _start, (setup,))
    try:
        with _ctrl_c_is_ours():
            pending: dict[Future[list[Failure]], Job] = {pool.submit(_work, job): job for job in jobs}
        while pending:
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield pending.pop(future), future.result()
    except BrokenProcessPool as error:
        raise RunError(
            "a process of this evaluation was killed, perhaps for want of memory; call again with fewer --processes: "
            "finished pictures are kept. (In a script of your own: it needs `if __name__ == '__main__':`.)"
        ) from error
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _ctrl_c_is_ours() -> Iterator[None]:
    """Let processes that are started meanwhile take no notice of Ctrl-C, from their first moment on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_worker: Worker | RunError = RunError("this process has not begun")


def _start(setup: Setup) -> None:
    """Make this process a worker: one thread, no word on Ctrl-C, gone when its parent is."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    torch.set_num_threads(1)
    try:
        for module in setup.imports:
            with suppress(ValueError):  # the parent has imported it, or told why not
                import_here(module)
        _worker = Worker(setup)
    except (Exception, SystemExit) as error:  # here it would look like a process that was killed
        _worker = RunError(f"a process of this evaluation could not begin: {error or type(error).__name__}")


def _work(job: Job) -> list[Failure]:
    if isinstance(_worker, RunError):
        raise _worker
    return _worker(job)
