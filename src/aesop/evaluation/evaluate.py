"""Models on benchmarks by the paper's protocol (docs/evaluation.md): what `aesop evaluate` does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from aesop.data.benchmarks import Benchmark, notes_on, open_sets
from aesop.data.layouts import Folders
from aesop.device import choose_device
from aesop.errors import AesopError, ModelError, RunError
from aesop.evaluation.cache import Cache, cache_file
from aesop.evaluation.combined import combine, is_of_use, to_measure
from aesop.evaluation.measure import Measurer, Setup, run_jobs
from aesop.evaluation.model_names import same_model, split_title, titled_models
from aesop.evaluation.network import find_autoencoder, find_model
from aesop.evaluation.pictures import sr_path
from aesop.evaluation.results import Evaluation, ModelFile, Note
from aesop.evaluation.sr_folders import SRFolder, find_sr_folder, is_sr_folder
from aesop.evaluation.values import BenchmarkValues
from aesop.files import os_errors_explained, printable, require_writable
from aesop.metrics import METRICS, metric_named
from aesop.progress import progress
from aesop.versions import versions
from aesop.words import first_few

__all__ = ["Evaluation", "evaluate"]

DEFAULT_SCALE = 4


@os_errors_explained()
def evaluate(
    models: Sequence[str | Path] | Mapping[str, str | Path],
    benchmarks: Sequence[Path | str | Folders | Benchmark],
    *,
    scale: int | None = None,
    metrics: Sequence[str] | None = None,
    autoencoder: Path | str | None = None,
    device: str = "auto",
    processes: int | None = 1,
    cache: bool = True,
    benchmarks_folder: Path | str | None = None,
    against: str | Path | None = None,
    imports: Sequence[str] = (),
    sr_folder: Path | str | None = None,
) -> Evaluation:
    """Measure every model on every benchmark; what an earlier call has measured is not measured again.

    SR pictures are rounded to 8 bit before they are measured; LR pictures of more than a quarter of a megapixel are
    upscaled in tiles. A picture that cannot be read, upscaled or measured is marked, as is a metric that is not
    available here, and the rest continues.

    Args:
        models: `bicubic`, run folders, model files or folders of SR pictures that another program made, also as
            `TITLE=MODEL`, or by title; all of one scale.
        benchmarks: folders; a folder of known benchmarks stands for all of them, the name of a known one for the folder
            of this name in `benchmarks_folder`, `aesop.data.layouts.named_folders` for one of any other layout. Or
            pictures, as a `Benchmark`.
        scale: None for the networks', or 4 without one.
        metrics: names of `aesop.metrics.METRICS` or `module:Class`; None for all (those of an auto-encoder only with
            one).
        autoencoder: a file or a run folder, for AE-PSNR, SE and VE.
        device: where networks run; `auto` for CUDA, else MPS, else the CPU.
        processes: how many work, each with one thread of torch; None for one a core, fewer for few pictures. One on an
            accelerator.
        cache: whether to take values from, and keep them in, the file `aesop.evaluation.cache.cache_file()`.
        benchmarks_folder: where benchmarks are that are given by name.
        against: the model that others are compared with; None for the first.
        imports: modules that the models' files refer to, to be imported in every process.
        sr_folder: where SR pictures go, as `BENCHMARK/MODEL/PICTURE.png`; `aesop.report` shows them.

    Raises:
        AesopError: before anything is measured, for models that cannot be loaded or are of different scales, unknown
            metrics, missing benchmarks and folders in which no picture is a benchmark's.
        RunError: where the disk is full or a process was killed; finished pictures are kept.

    """
    folders = autoencoder, benchmarks_folder, sr_folder
    autoencoder, benchmarks_folder, sr_folder = (None if given is None else Path(given) for given in folders)
    names = _metric_names(metrics, autoencoder is not None)
    if not (models and benchmarks and names):
        raise AesopError("Nothing to evaluate: name a model, a benchmark folder and a metric.")
    if processes is not None and processes < 1:
        raise AesopError("`--processes` must be at least 1.")
    chosen = choose_device(device)
    labels = {t: str(m) for t, m in models.items()} if isinstance(models, Mapping) else titled_models(models)
    compared = _label_of(against, labels)
    kept = Cache(cache_file() if cache else None)
    networks = {label: find_model(model) for label, model in labels.items() if not is_sr_folder(model)}
    scales = {labels[label]: network.scale(kept) for label, network in networks.items()}
    scale = _one_scale({model: own for model, own in scales.items() if own is not None}, scale)
    encoder = None if autoencoder is None else find_autoencoder(autoencoder)
    if encoder is not None and (own := encoder.scale(kept)) != scale:
        raise ModelError(f"{autoencoder}: is an auto-encoder for scale {own}; one for scale {scale} is expected here.")
    sets = open_sets(benchmarks, scale, benchmarks_folder)
    given = {label: find_sr_folder(Path(model), sets) for label, model in labels.items() if label not in networks}
    if sr_folder is not None:
        _require_sr_folder(sr_folder, sets, list(networks), given.values())

    measurer = Measurer(Setup({m: (networks | given)[m] for m in labels}, encoder, scale, str(chosen), imports))
    values = {one.name: BenchmarkValues(one, to_measure(names, one), measurer.setup, kept) for one in sets}
    is_wanted = partial(is_of_use, names=names, prepare=measurer.prepare)
    jobs = [job for found in values.values() for job in found.jobs(is_wanted, sr_folder)]
    everything = sum(len(benchmark.pictures) for benchmark in sets) * len(labels)
    to_do = sum(len(job.metrics) for job in jobs)
    with progress("evaluate", everything, completed=everything - to_do, unit="pictures") as advance:
        for job in run_jobs(jobs, measurer, processes):
            values[job.benchmark].add(job)
            advance(len(job.metrics), f"{job.benchmark}/{job.picture.name}")
    for found in values.values():
        found.finish(measurer)

    return Evaluation(
        models=list(labels),
        benchmarks=list(values),
        metrics=names,
        results=[
            one for found in values.values() for one in combine(found.results, names, list(labels), found.benchmark)
        ],
        failures=[one for found in values.values() for name in found.names for one in found.failures.get(name, ())],
        versions=versions(),
        notes=[
            Note(benchmark.name, *found)
            for benchmark in sets
            for found in (*notes_on(benchmark), *((None, text) for text in _extras(given, benchmark.name)))
        ],
        against=compared,
        files={
            label: ModelFile(printable(labels[label]), model.sha256)
            for label, model in measurer.setup.models.items()
            if isinstance(model, SRFolder) or model.file is not None
        },
        autoencoder=encoder and ModelFile(printable(str(autoencoder)), encoder.sha256),
        sets=sets,
        given=given,
        sr_folder=sr_folder,
    )


def _extras(given: Mapping[str, SRFolder], benchmark: str) -> Iterator[str]:
    """Yield a note on pictures that are not measured."""
    for label, folder in given.items():
        if names := folder.extras.get(benchmark):
            yield f"{label}: {first_few(names)} left out: {benchmark} has no such pictures"


def _require_sr_folder(
    folder: Path, sets: Sequence[Benchmark], models: Sequence[str], given: Iterable[SRFolder]
) -> None:
    """Raise RunError where SR pictures could not be written, or would replace those of a folder that is measured."""
    originals = {path.resolve() for one in given for path in one.pictures.values()}
    for benchmark in sets:
        names = [picture.name for picture in benchmark.pictures]
        longest = max(names, key=lambda name: len(os.fsencode(name)))
        for model in models:
            require_writable(sr_path(folder, benchmark.name, model, longest))
            for path in (sr_path(folder, benchmark.name, model, name) for name in names):
                if path.resolve() in originals:
                    raise RunError(
                        f"{path}: is measured itself; name another folder with --sr, or give {model} a title."
                    )


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
            raise ModelError(f"{name}: is for scale {own}, not {scale}{first}; evaluate each scale by itself.")
    return scale


def _label_of(against: str | Path | None, labels: Mapping[str, str]) -> str | None:
    """Return the title of the model that `against` names by title or path."""
    if against is None or str(against) in labels:
        return None if against is None else str(against)
    title, path = split_title(str(against))
    found = next((label for label, model in labels.items() if label == title or same_model(model, path)), None)
    if found is None:
        raise AesopError(f"--against {against}: is not one of the models; choose from {', '.join(labels)}.")
    return found
