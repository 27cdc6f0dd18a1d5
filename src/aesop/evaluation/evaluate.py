"""Models on benchmarks by the paper's protocol (docs/evaluation.md): what `aesop evaluate` does.

What an earlier call has computed is taken from the store; what is missing is computed picture by picture, in several
processes if asked for; then everything is read back from the store.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from aesop.data.pictures import to_picture, write_picture
from aesop.data.sources import Source
from aesop.device import choose_device
from aesop.errors import AesopError, ModelError, RunError
from aesop.evaluation.benchmarks import Picture, look_at, open_sets
from aesop.evaluation.keys import Code, find_autoencoder, find_model, load_autoencoder, scale_of
from aesop.evaluation.model_names import same_model, split_title, titled_models
from aesop.evaluation.pictures import sr_path
from aesop.evaluation.plan import MetricsAtHand, Plan
from aesop.evaluation.results import Evaluation, Failure, ModelFile, Note, PairedDifference, Result
from aesop.evaluation.store import Store, default_folder
from aesop.evaluation.worker import Job, Setup, Worker, run_jobs
from aesop.files import printable
from aesop.metrics import METRICS, metric_named
from aesop.networks.loading import load_generator
from aesop.progress import progress
from aesop.versions import versions

__all__ = ["Evaluation", "Failure", "Note", "PairedDifference", "Result", "evaluate"]

DEFAULT_SCALE = 4
#: Fewer pictures than this are computed sooner than a process has started (3 s).
WORTH_A_PROCESS = 4


def evaluate(
    models: Sequence[str | Path] | Mapping[str, str | Path],
    benchmarks: Sequence[Path | str],
    *,
    scale: int | None = None,
    metrics: Sequence[str] | None = None,
    autoencoder: Path | None = None,
    device: str = "auto",
    processes: int | None = 1,
    cache: bool = True,
    benchmarks_folder: Path | None = None,
    against: str | Path | None = None,
    imports: Sequence[str] = (),
    sr_folder: Path | None = None,
) -> Evaluation:
    """Measure every model on every benchmark; what an earlier call has measured is not measured again.

    A model is `bicubic`, a run folder or a model file. All are of one scale: `scale`, else the files', else 4.
    `metrics` are names of `aesop.metrics.METRICS`, None for all (AE-PSNR only with an `autoencoder`). SR pictures are
    rounded to 8 bit before they are measured; LR pictures of more than a quarter of a megapixel are upscaled in tiles.

    A picture that cannot be read, upscaled or measured is marked and the rest goes on, as does a metric that is not to
    be had here.

    Args:
        models: what is measured, perhaps as `TITLE=MODEL`, or by title.
        benchmarks: folders; a folder of known benchmarks stands for all of them, and the name of a known one for the
            folder of this name in `benchmarks_folder`.
        scale: needed for bicubic alone, where it is not 4.
        metrics: see above.
        autoencoder: AE-PSNR's: a file or a run.
        device: where networks run; `auto` for CUDA, else MPS, else the CPU.
        processes: how many to work with, each with one thread of torch; None for one a core, fewer for few pictures.
            With more than one, a script that calls this needs Python's `if __name__ == "__main__"`. On an accelerator
            always one.
        cache: whether to take and keep values in the folder `aesop.evaluation.store.default_folder()`.
        benchmarks_folder: where benchmarks lie that are given by name.
        against: the model that others are compared with; None for the first.
        imports: modules that the models' files refer to, to be imported in every process.
        sr_folder: where SR pictures go, as `BENCHMARK/MODEL/PICTURE.png`, for `aesop.evaluation.pictures.pictures`.

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
    labels = {t: str(m) for t, m in models.items()} if isinstance(models, Mapping) else titled_models(models)
    compared = _label_of(against, labels)
    with _store(cache) as store:
        code = Code(chosen)
        networks = {label: find_model(model, code) for label, model in labels.items()}
        scales = {
            labels[label]: own
            for label, network in networks.items()
            if (own := scale_of(network, load_generator, store)) is not None
        }
        scale = _one_scale(scales, scale)
        encoder = None if autoencoder is None else find_autoencoder(autoencoder, code)
        if encoder is not None and (own := scale_of(encoder, load_autoencoder, store)) != scale:
            raise ModelError(f"{autoencoder}: is an auto-encoder for scale {own}, not {scale}; name one of {scale}.")
        sets = open_sets(benchmarks, scale, benchmarks_folder)

        metric_keys = {
            name: code.of_metric(name, *([encoder.key] if encoder and METRICS[name].needs_autoencoder else []))
            for name in names
        }
        plans = [Plan(benchmark, networks, metric_keys, code.sr, store) for benchmark in sets]
        jobs = [job for plan in plans for job in plan.jobs()]
        metrics_at_hand = MetricsAtHand(scale, chosen, encoder)
        wanted = {metric for job in jobs for work in job.work.values() for metric in work}
        metrics_at_hand.prepare([name for name in names if name in wanted])
        jobs = [feasible for job in jobs if (feasible := _feasible(job, metrics_at_hand.unavailable))]
        setup = Setup(
            networks,
            scale,
            str(chosen),
            encoder,
            {name: metric_keys[name] for name in metrics_at_hand.measures},
            store.folder,
            imports,
        )
        failures = _run(jobs, setup, processes, metrics_at_hand, sum(len(b.pictures) for b in sets) * len(labels))

        evaluation = Evaluation(
            list(labels),
            [b.name for b in sets],
            names,
            failures=failures,
            versions=versions(),
            against=compared,
            sets=sets,
            sr_folder=sr_folder,
            files={
                label: ModelFile(printable(labels[label]), network.content)
                for label, network in networks.items()
                if network.file is not None
            },
            autoencoder=encoder and ModelFile(printable(str(autoencoder)), encoder.content),
        )
        for plan in plans:
            evaluation.notes += look_at(plan.benchmark)
            evaluation.results += plan.results(metrics_at_hand)
        evaluation.failures += _lost(evaluation)
        evaluation.failures.sort(key=_order(evaluation, plans))
        if sr_folder is not None:
            _write_sr(plans, setup, sr_folder)
        store.tidy()
    return evaluation


@contextmanager
def _store(cache: bool) -> Iterator[Store]:
    if cache:
        store = Store(default_folder())
        store.require_writable()
        yield store
    else:
        with TemporaryDirectory(prefix="aesop-evaluation-") as folder:
            yield Store(Path(folder))


def _run(
    jobs: Sequence[Job], setup: Setup, processes: int | None, metrics: MetricsAtHand, everything: int
) -> list[Failure]:
    """Do the jobs; progress counts every model's picture, of which all that there are is `everything`."""
    if not jobs:
        return []
    to_do = sum(len(job.work) for job in jobs)
    if torch.device(setup.device).type != "cpu":
        processes = 1
    elif processes is None:
        processes = min(_cores(), max(1, to_do // WORTH_A_PROCESS))
    processes = min(processes, len(jobs))
    if processes > 1:  # the largest first, so that no process works alone for long at the end
        jobs = sorted(jobs, key=lambda job: _file_size(job.picture), reverse=True)
    failures: list[Failure] = []
    with progress("evaluate", everything, completed=everything - to_do, unit="pictures") as advance:
        for job, failed in run_jobs(jobs, setup, processes, metrics.measures):
            failures += failed
            advance(len(job.work), f"{job.benchmark}/{job.picture.name}")
    return failures


def _write_sr(plans: Sequence[Plan], setup: Setup, folder: Path) -> None:
    """Write all SR pictures; what the store has dropped is made again."""
    worker = Worker(setup, {})
    for plan in plans:
        for index, picture in enumerate(plan.benchmark.pictures):
            for model, keys in plan.sr_keys.items():
                path = sr_path(folder, plan.benchmark.name, model, picture.name)
                path.unlink(missing_ok=True)
                try:
                    write_picture(path, to_picture(worker.upscale(model, keys[index], picture.read(setup.scale)[1])))
                except RunError:
                    raise
                except Exception:  # the measurement has told why
                    continue


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


def _order(evaluation: Evaluation, plans: Sequence[Plan]) -> Callable[[Failure], tuple[int, ...]]:
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


def _metric_names(asked: Sequence[str] | None, with_autoencoder: bool) -> list[str]:
    if asked is None:
        usual = [name for name, metric in METRICS.items() if metric.by_default]
        return [name for name in usual if with_autoencoder or not METRICS[name].needs_autoencoder]
    return list(dict.fromkeys(metric_named(name).name for name in asked))


def _one_scale(scales: dict[str, int], asked: int | None) -> int:
    """Return the scale that all models share; ModelError if there is none."""
    scale = asked or next(iter(scales.values()), DEFAULT_SCALE)
    for name, own in scales.items():
        if own != scale:
            first = "" if asked else f" as {next(iter(scales))}"
            raise ModelError(f"{name}: is for scale {own}, not for {scale}{first}; evaluate each scale by itself.")
    return scale


def _label_of(against: str | Path | None, labels: Mapping[str, str]) -> str | None:
    """The title of the model that was named by it or by its path."""
    if against is None or str(against) in labels:
        return None if against is None else str(against)
    title, path = split_title(str(against))
    found = next((label for label, model in labels.items() if label == title or same_model(model, path)), None)
    if found is None:
        raise AesopError(f"--against {against}: is none of the models; choose from {', '.join(labels)}.")
    return found


def _lost(evaluation: Evaluation) -> list[Failure]:
    """What has no value though nothing failed: somebody has removed files of the store meanwhile."""
    failed = {(f.benchmark, f.picture, f.model, f.metric) for f in evaluation.failures}
    lost = []
    for result in evaluation.results:
        if result.unavailable:
            continue
        there = {*result.of_pictures, *result.infinite}
        for picture in result.pictures:
            tried = ((None, None), (result.model, None), (result.model, result.metric))
            if picture not in there and not any((result.benchmark, picture, *who) in failed for who in tried):
                reason = "what was computed has vanished from the cache; call again"
                lost.append(Failure(result.benchmark, picture, result.model, result.metric, reason))
    return lost
