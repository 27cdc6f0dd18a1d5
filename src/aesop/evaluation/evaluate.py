"""Models on benchmarks by the paper's protocol (docs/evaluation.md): what `aesop evaluate` does.

What an earlier call has computed is taken from the store; what is missing is computed picture by picture, in several
processes if asked for; then everything is read back from the store.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from aesop.data.sources import Source
from aesop.errors import AesopError, ModelError, RunError
from aesop.evaluation.benchmarks import Benchmark, Picture, look_at, open_benchmarks
from aesop.evaluation.results import NO_GROUND_TRUTH, Evaluation, Failure, Note, PairedDifference, Result
from aesop.evaluation.store import Store, code_key, default_folder, digest, digest_of
from aesop.evaluation.worker import BICUBIC, Job, Setup, Worker, load_autoencoder, prepare_metrics, run_jobs
from aesop.files import printable
from aesop.metrics import METRICS, Settings
from aesop.metrics.metric import Measure, SetMeasure, SetMetric
from aesop.networks.loading import load_generator
from aesop.networks.run_files import autoencoder_file, generator_file
from aesop.progress import progress
from aesop.upscaling.device import choose_device
from aesop.versions import versions

__all__ = ["BICUBIC", "Evaluation", "Failure", "Note", "PairedDifference", "Result", "evaluate"]

DEFAULT_SCALE = 4
#: Fewer pictures than this are computed sooner than a process has started (3 s).
WORTH_A_PROCESS = 4
#: The metric that is computed only where there is an auto-encoder.
AE_PSNR = "ae-psnr"


def evaluate(
    models: Sequence[str | Path],
    benchmarks: Sequence[Path | str],
    *,
    scale: int | None = None,
    metrics: Sequence[str] | None = None,
    autoencoder: Path | None = None,
    device: str = "cpu",
    processes: int | None = 1,
    cache: bool = True,
    benchmarks_folder: Path | None = None,
    against: str | Path | None = None,
    imports: Sequence[str] = (),
    show: Callable[[Iterator[Upscaled], int], None] | None = None,
) -> Evaluation:
    """Measure every model on every benchmark; what an earlier call has measured is not measured again.

    A model is `bicubic`, a run folder or a model file. All are of one scale: `scale`, else the files', else 4.
    `metrics` are names of `aesop.metrics.METRICS`, None for all (AE-PSNR only with an `autoencoder`). SR pictures are
    rounded to 8 bit before they are measured; LR pictures of more than a quarter of a megapixel are upscaled in tiles.

    A picture that cannot be read, upscaled or measured is marked and the rest goes on, as does a metric that is not to
    be had here.

    Args:
        models: what is measured.
        benchmarks: folders; a folder of known benchmarks stands for all of them, and the name of a known one for the
            folder of this name in `benchmarks_folder`.
        scale: needed for bicubic alone, where it is not 4.
        metrics: see above.
        autoencoder: AE-PSNR's: a file or a run.
        device: where networks run.
        processes: how many to work with, each with one thread of torch; None for one a core, fewer for few pictures.
            With more than one, a script that calls this needs Python's `if __name__ == "__main__"`. On an accelerator
            always one.
        cache: whether to take and keep values in the folder `aesop.evaluation.store.default_folder()`.
        benchmarks_folder: where benchmarks lie that are given by name.
        against: the model that others are compared with; None for the first.
        imports: modules that the models' files refer to, to be imported in every process.
        show: called at the end with all pictures that can be read, one at a time, and at most how many they are.

    Raises AesopError, before anything is measured, for models that cannot be loaded or are of different scales,
    unknown metrics and missing benchmarks; RunError where the disk is full or a process was killed (what is finished is
    kept).
    """
    names = _metric_names(metrics, autoencoder is not None)
    if not (models and benchmarks and names):
        raise AesopError("Nothing to evaluate: name a model, a benchmark folder and a metric.")
    if processes is not None and processes < 1:
        raise AesopError(f"--processes {processes}: name at least 1.")
    chosen = choose_device(device)
    labels = {label: model for model, label in _labels(models).items()}
    compared = _label_of(against, labels)
    with _store(cache) as store:
        code = _Code(chosen, imports)
        model_keys = {label: _model_key(model) for label, model in labels.items()}
        scales = {
            model: _model_scale(model, model_keys[label], code, store)
            for label, model in labels.items()
            if model != BICUBIC
        }
        scale = _one_scale(scales, scale)
        autoencoder_key = _autoencoder_key(autoencoder, scale, code, store)
        sets = [opened for given in benchmarks for opened in open_benchmarks(given, scale, benchmarks_folder)]
        _require_different([benchmark.name for benchmark in sets])

        metric_keys = {name: code.metric_key(name, autoencoder_key) for name in names}
        plans = [_Plan(benchmark, model_keys, metric_keys, code, store) for benchmark in sets]
        jobs = [job for plan in plans for job in plan.jobs()]
        metrics_at_hand = _Metrics(scale, chosen, autoencoder)
        wanted = {metric for job in jobs for work in job.work.values() for metric in work}
        metrics_at_hand.prepare([name for name in names if name in wanted])
        jobs = [feasible for job in jobs if (feasible := _feasible(job, metrics_at_hand.unavailable))]
        setup = Setup(
            labels,
            scale,
            str(chosen),
            autoencoder,
            {name: metric_keys[name] for name in metrics_at_hand.measures},
            store.folder,
            imports,
        )
        failures = _run(jobs, setup, processes, metrics_at_hand, sum(len(b.pictures) for b in sets))

        evaluation = Evaluation(
            list(labels), [b.name for b in sets], names, versions=versions(), against=compared, failures=failures
        )
        for plan in plans:
            evaluation.notes += look_at(plan.benchmark)
            evaluation.results += plan.results(metrics_at_hand)
        evaluation.failures.sort(key=_order(evaluation, plans))
        if show is not None:
            show(_upscaled(plans, setup), sum(len(b.pictures) for b in sets))
        store.tidy()
    return evaluation


@dataclass(frozen=True)
class Upscaled:
    """A picture and what the models make of it: uint8, (3, H, W); `sr` lacks the models that failed on it."""

    benchmark: str
    name: str
    scale: int
    hr: Tensor | None
    lr: Tensor
    sr: Mapping[str, Tensor]


class _Code:
    """Keys of the code that makes SR pictures and values, and of the kind of device it runs on."""

    def __init__(self, device: torch.device, imports: Sequence[str]) -> None:
        self._device, self._imports = device.type, imports
        self.sr = self._key("aesop.networks.loading", "aesop.upscaling.tiles", "aesop.data.sources")
        self.autoencoder = self._key("aesop.autoencoder")

    def metric_key(self, name: str, autoencoder_key: str) -> str:
        prepare = METRICS[name].prepare
        prepare = getattr(prepare, "func", prepare)  # of functools.partial
        own = self._key(prepare.__module__, f"aesop.metrics.{name.replace('-', '_')}")
        used = (self.autoencoder, autoencoder_key) if name == AE_PSNR else ()
        return f"{name}-{digest(self.sr, own, *used)[:16]}"

    def _key(self, *modules: str) -> str:
        return digest(self._device, code_key([*modules, *self._imports]))


class _Metrics:
    """The metrics that were needed, loaded once, and why others cannot be had."""

    def __init__(self, scale: int, device: torch.device, autoencoder: Path | None) -> None:
        self.scale, self.device, self.autoencoder = scale, device, autoencoder
        self.measures: dict[str, Measure | SetMeasure] = {}
        self.unavailable: dict[str, str] = {}

    def prepare(self, names: Sequence[str]) -> None:
        network = load_autoencoder(self.autoencoder, self.device) if AE_PSNR in names else None
        measures, unavailable = prepare_metrics(names, Settings(self.scale, self.device, network))
        self.measures |= measures
        self.unavailable |= unavailable

    def of_sets(self, name: str) -> SetMeasure | None:
        if name not in self.measures and name not in self.unavailable:
            self.prepare([name])
        measure = self.measures.get(name)
        return None if measure is None or callable(measure) else measure


class _Plan:
    """One benchmark: what of it is known, what is to be computed, and its results."""

    def __init__(
        self,
        benchmark: Benchmark,
        model_keys: Mapping[str, str],
        metric_keys: Mapping[str, str],
        code: _Code,
        store: Store,
    ) -> None:
        self.benchmark, self.metric_keys, self.store = benchmark, metric_keys, store
        with ThreadPoolExecutor() as threads:
            self.keys = list(threads.map(_picture_key, benchmark.pictures, [benchmark.scale] * len(benchmark.pictures)))
        self.sr_keys = {
            model: [digest("sr", model_key, key, code.sr) for key in self.keys]
            for model, model_key in model_keys.items()
        }
        self.hr_keys = [digest("hr", key, code.sr) for key in self.keys]
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

    def results(self, metrics: _Metrics) -> list[Result]:
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

    def _add_set_value(self, result: Result, metrics: _Metrics) -> None:
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
                np.concatenate([self.store.features(keys[index], self.metric_keys[name]) for index in there])
                for keys in (self.sr_keys[model], self.hr_keys)
            ]
            try:
                known = {"value": float(measure.distance(sides[0], sides[1]))}
            except Exception as error:  # too few pictures, say; other metrics go on
                result.unavailable = str(error) or type(error).__name__
                return
            self.store.add(key, known)
        result.set_value, result.set_count = known["value"], len(there)

    @property
    def _all(self) -> list[int]:
        return list(range(len(self.keys)))

    def _set_key(self, model: str, name: str, pictures: Sequence[int]) -> str:
        return digest("set", self.metric_keys[name], *sorted(self.sr_keys[model][index] for index in pictures))

    def _has_features(self, model: str, name: str, index: int) -> bool:
        """Whether a metric of sets needs nothing more of a picture; False for other metrics."""
        keys, metric = (self.sr_keys[model][index], self.hr_keys[index]), self.metric_keys[name]
        return isinstance(METRICS[name], SetMetric) and all(self.store.has_features(key, metric) for key in keys)


@contextmanager
def _store(cache: bool) -> Iterator[Store]:
    if cache:
        store = Store(default_folder())
        store.require_writable()
        yield store
    else:
        with TemporaryDirectory(prefix="aesop-evaluation-") as folder:
            yield Store(Path(folder))


def _run(jobs: Sequence[Job], setup: Setup, processes: int | None, metrics: _Metrics, pictures: int) -> list[Failure]:
    """Do the jobs."""
    if not jobs:
        return []
    if torch.device(setup.device).type != "cpu":
        processes = 1
    elif processes is None:
        processes = min(_cores(), max(1, len(jobs) // WORTH_A_PROCESS))
    processes = min(processes, len(jobs))
    if processes > 1:  # the largest first, so that no process works alone for long at the end
        jobs = sorted(jobs, key=lambda job: _file_size(job.picture), reverse=True)
    failures: list[Failure] = []
    with progress("evaluate", pictures, completed=pictures - len(jobs), unit="pictures") as advance:
        for job, failed in run_jobs(jobs, setup, processes, metrics.measures):
            failures += failed
            advance(1, f"{job.benchmark}/{job.picture.name}")
    return failures


def _upscaled(plans: Sequence[_Plan], setup: Setup) -> Iterator[Upscaled]:
    """All pictures that can be read, as the store has them; what it lacks or has dropped is made again."""
    worker = Worker(setup, {})
    for plan in plans:
        for index, picture in enumerate(plan.benchmark.pictures):
            try:
                hr, lr = picture.read(setup.scale)
            except (AesopError, OSError, RuntimeError):  # the measurement has told why
                continue
            sr = {}
            for model, keys in plan.sr_keys.items():
                try:
                    sr[model] = worker.upscale(model, keys[index], lr)
                except RunError:
                    raise
                except Exception:  # likewise
                    continue
            yield Upscaled(plan.benchmark.name, picture.name, setup.scale, hr, lr, sr)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _file_size(picture: Picture) -> int:
    try:
        return (picture.hr if isinstance(picture, Source) else picture.lr).stat().st_size
    except OSError:
        return 0


def _feasible(job: Job, unavailable: Mapping[str, str]) -> Job | None:
    """`job` without metrics that cannot be had; None if nothing is left."""
    work = {model: [name for name in names if name not in unavailable] for model, names in job.work.items()}
    work = {model: names for model, names in work.items() if names}
    return Job(job.benchmark, job.picture, job.key, job.sr_keys, work) if work else None


def _order(evaluation: Evaluation, plans: Sequence[_Plan]) -> Callable[[Failure], tuple[int, ...]]:
    """Order failures as benchmarks, pictures, models and metrics are."""
    pictures = {
        (plan.benchmark.name, picture.name): index
        for plan in plans
        for index, picture in enumerate(plan.benchmark.pictures)
    }

    def key(failure: Failure) -> tuple[int, ...]:
        return (
            evaluation.benchmarks.index(failure.benchmark),
            pictures[failure.benchmark, failure.picture],
            -1 if failure.model is None else evaluation.models.index(failure.model),
            -1 if failure.metric is None else evaluation.metrics.index(failure.metric),
        )

    return key


def _picture_key(picture: Picture, scale: int) -> str:
    hr, lr = (picture.hr, picture.lr) if isinstance(picture, Source) else (None, picture.lr)
    return digest("picture", digest_of(hr) if hr else "", digest_of(lr) if lr else "", scale)


def _model_key(model: str) -> str:
    if model == BICUBIC:
        return BICUBIC
    path = Path(model)
    if path.is_dir():
        path = generator_file(path)
    elif not path.is_file():
        load_generator(path)  # says what is wrong
    return digest_of(path)


def _model_scale(model: str, key: str, code: _Code, store: Store) -> int:
    """A model's scale, from the store, so that a repeated call need not load it."""
    key = digest("model", key, code.sr)
    if not (known := store.values(key)):
        known = {"scale": load_generator(Path(model)).scale}
        store.add(key, known)
    return int(known["scale"])


def _autoencoder_key(path: Path | None, scale: int, code: _Code, store: Store) -> str:
    """The key of an auto-encoder that is of this scale; ModelError if it is of another."""
    if path is None:
        return ""
    from aesop.autoencoder import AutoEncoder

    content = digest_of(autoencoder_file(path) if path.is_dir() else path)
    key = digest("autoencoder", content, code.autoencoder)
    if not (known := store.values(key)):
        known = {"scale": AutoEncoder.load(path).scale}
        store.add(key, known)
    if (own := int(known["scale"])) != scale:
        raise ModelError(f"{path}: is an auto-encoder for scale {own}, not {scale}; name one of {scale}.")
    return content


def _metric_names(asked: Sequence[str] | None, with_autoencoder: bool) -> list[str]:
    if asked is None:
        return [name for name in METRICS if name != AE_PSNR or with_autoencoder]
    for name in asked:
        if name not in METRICS:
            near = difflib.get_close_matches(name, METRICS, n=1)
            mend = f"did you mean {near[0]}?" if near else f"choose from {', '.join(METRICS)}."
            raise AesopError(f"--metrics: there is no metric {name!r}; {mend}")
    return list(dict.fromkeys(asked))


def _one_scale(scales: dict[str, int], asked: int | None) -> int:
    """Return the scale that all models share; ModelError if there is none."""
    scale = asked or next(iter(scales.values()), DEFAULT_SCALE)
    for name, own in scales.items():
        if own != scale:
            first = "--scale" if asked else next(iter(scales))
            raise ModelError(f"{name}: is for scale {own}, but {first} is {scale}; evaluate each scale by itself.")
    return scale


def _labels(models: Sequence[str | Path]) -> dict[str, str]:
    """Short names for `models`: the last part of the path, or as much of it as tells them apart.

    A run's files are called by their stage: all are generators.
    """
    given = list(dict.fromkeys(str(model) for model in models))
    parts = {model: (BICUBIC,) if model == BICUBIC else Path(model).resolve().with_suffix("").parts for model in given}
    parts = {model: part[:-1] if part[-1] == "generator" and len(part) > 2 else part for model, part in parts.items()}
    for count in range(1, max(map(len, parts.values()), default=0) + 1):
        labels = {model: printable("/".join(part[-count:])) for model, part in parts.items()}
        if len(set(labels.values())) == len(labels):
            return labels
    return {model: model for model in given}


def _label_of(against: str | Path | None, labels: Mapping[str, str]) -> str | None:
    """The short name of the model that was named by it or by its path."""
    if against is None or str(against) in labels:
        return None if against is None else str(against)
    found = next((label for label, model in labels.items() if model == str(against)), None)
    if found is None:
        raise AesopError(f"--against {against}: is none of the models; choose from {', '.join(labels)}.")
    return found


def _require_different(benchmarks: list[str]) -> None:
    twice = next((name for name in benchmarks if benchmarks.count(name) > 1), None)
    if twice is not None:
        raise AesopError(f"--benchmark: two folders are called {twice}; rename one or evaluate them one by one.")
