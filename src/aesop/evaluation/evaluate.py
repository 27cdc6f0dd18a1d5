"""Models on benchmarks by the paper's protocol (docs/evaluation.md): what `aesop evaluate` does."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from aesop.data.bicubic import resize
from aesop.data.pictures import to_float
from aesop.data.sources import Source
from aesop.errors import AesopError, ModelError
from aesop.evaluation.benchmarks import Benchmark, open_benchmark
from aesop.files import printable, write_atomically
from aesop.metrics import METRICS, MetricUnavailable, Sample, Settings
from aesop.metrics.metric import Measure
from aesop.networks.loading import load_generator
from aesop.progress import progress
from aesop.upscaling.device import choose_device
from aesop.upscaling.tiles import Upscaler
from aesop.versions import versions

#: The model that needs no file: bicubic interpolation.
BICUBIC = "bicubic"
DEFAULT_SCALE = 4


@dataclass
class Result:
    """One metric of one model on one benchmark; None for pictures that could not be measured."""

    model: str
    benchmark: str
    scale: int
    metric: str
    pictures: dict[str, float | None] = field(default_factory=dict)
    unavailable: str | None = None

    @property
    def measured(self) -> list[float]:
        """The values there are."""
        return [value for value in self.pictures.values() if value is not None]

    @property
    def mean(self) -> float | None:
        """Mean over the pictures that could be measured; None if there are none."""
        return math.fsum(self.measured) / len(self.measured) if self.measured else None


@dataclass(frozen=True)
class Failure:
    """A picture that could not be read (model and metric None), upscaled (metric None) or measured, and why."""

    benchmark: str
    picture: str
    model: str | None
    metric: str | None
    reason: str


@dataclass
class Evaluation:
    """Everything that was measured: a result for every model, benchmark and metric, in this order."""

    models: list[str]
    benchmarks: list[str]
    metrics: list[str]
    results: list[Result] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def result(self, model: str, benchmark: str, metric: str) -> Result:
        """Return the one result of these three names; KeyError if there is none."""
        wanted = (model, benchmark, metric)
        for result in self.results:
            if (result.model, result.benchmark, result.metric) == wanted:
                return result
        raise KeyError(wanted)

    def to_json(self, path: Path | None = None) -> str:
        """Return the evaluation as JSON and write it to `path`, atomically, if there is one.

        {"models": [name], "benchmarks": [name], "metrics": [name],
         "results": [{"model", "benchmark", "scale", "metric", "mean", "count", "pictures": {name: value},
                      "unavailable": reason or null}],
         "failures": [{"benchmark", "picture", "model" or null, "metric" or null, "reason"}],
         "versions": {package: version}}

        A value is a number, null (not measured) or the string "inf" (the PSNR of equal pictures); `count` says how
        many are not null, `mean` is theirs.
        """
        document = asdict(self)
        for entry, result in zip(document["results"], self.results, strict=True):
            entry["mean"] = _json_value(result.mean)
            entry["count"] = len(result.measured)
            entry["pictures"] = {name: _json_value(value) for name, value in result.pictures.items()}
        text = json.dumps(document, indent=1, allow_nan=False) + "\n"
        if path is not None:
            write_atomically(path, text)
        return text


def evaluate(
    models: Sequence[str | Path],
    benchmarks: Sequence[Path],
    *,
    scale: int | None = None,
    metrics: Sequence[str] | None = None,
    autoencoder: Path | None = None,
    device: str = "cpu",
) -> Evaluation:
    """Measure every model on every benchmark.

    A model is `bicubic`, a run folder or a model file. All are of one scale: `scale`, else the files', else 4.
    `metrics` are names of `aesop.metrics.METRICS`, None for all (AE-PSNR only with an `autoencoder`). SR pictures are
    rounded to 8 bit before they are measured; LR pictures of more than a quarter of a megapixel are upscaled in tiles.

    A picture that cannot be read, upscaled or measured is marked and the rest goes on, as does a metric that is not to
    be had here.

    Raises AesopError, before anything is measured, for models that cannot be loaded or are of different scales,
    unknown metrics and missing benchmarks.
    """
    names = _metric_names(metrics, autoencoder is not None)
    if not (models and benchmarks and names):
        raise AesopError("Nothing to evaluate: name a model, a benchmark folder and a metric.")
    chosen = choose_device(device)
    networks = {str(model): load_generator(Path(model)) for model in models if str(model) != BICUBIC}
    scale = _one_scale({name: network.scale for name, network in networks.items()}, scale)
    run: dict[str, Callable[[Tensor], Tensor]] = {}
    for model, label in _labels(models).items():
        if model == BICUBIC:
            run[label] = lambda lr: resize(lr, scale)
        else:
            run[label] = Upscaler(networks[model].model.to(chosen), scale)
    sets = [open_benchmark(folder, scale) for folder in benchmarks]
    _require_different([benchmark.name for benchmark in sets])

    evaluation = Evaluation(list(run), [benchmark.name for benchmark in sets], names, versions=versions())
    settings = Settings(scale, chosen, _load_autoencoder(autoencoder, scale, chosen))
    measures, unavailable = _prepare(names, settings)
    with progress("evaluate", sum(len(benchmark.pairs) for benchmark in sets), unit="pictures") as advance:
        for benchmark in sets:
            results = [
                Result(label, benchmark.name, scale, name, unavailable=unavailable.get(name))
                for label in run
                for name in names
            ]
            evaluation.results += results
            for pair in benchmark.pairs:
                _measure_picture(pair, benchmark, run, measures, results, evaluation.failures)
                advance(1, f"{benchmark.name}/{pair.name}")
    return evaluation


def _measure_picture(
    pair: Source,
    benchmark: Benchmark,
    run: dict[str, Callable[[Tensor], Tensor]],
    measures: dict[str, Measure],
    results: list[Result],
    failures: list[Failure],
) -> None:
    """Add one picture's values to `results`, and what went wrong with it to `failures`."""

    def fail(model: str | None, metric: str | None, error: Exception) -> None:
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        failures.append(Failure(benchmark.name, pair.name, model, metric, reason))

    values = {(result.model, result.metric): result.pictures for result in results}
    for pictures in values.values():
        pictures[pair.name] = None
    try:
        hr, lr = pair.read(benchmark.scale)
    except (AesopError, OSError, RuntimeError) as error:
        fail(None, None, error)
        return
    hr_values, lr_values = (to_float(pixels.unsqueeze(0)) for pixels in (hr, lr))
    for model, upscale in run.items():
        try:
            sr = upscale(lr)
        except Exception as error:  # whatever one network does with one picture, the others go on
            fail(model, None, error)
            continue
        sample = Sample(to_float(sr.unsqueeze(0)), hr_values, lr_values, benchmark.scale)
        for metric, measure in measures.items():
            try:
                value = measure(sample)
                if math.isnan(value):
                    raise AesopError(f"{metric} is not a number for this picture")
                values[model, metric][pair.name] = value
            except Exception as error:  # likewise
                fail(model, metric, error)


def _metric_names(asked: Sequence[str] | None, with_autoencoder: bool) -> list[str]:
    if asked is None:
        return [name for name in METRICS if name != "ae-psnr" or with_autoencoder]
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
    """Short names for `models`: the last part of the path, or as much of it as tells them apart."""
    given = list(dict.fromkeys(str(model) for model in models))
    parts = {model: (BICUBIC,) if model == BICUBIC else Path(model).resolve().with_suffix("").parts for model in given}
    for count in range(1, max(map(len, parts.values()), default=0) + 1):
        labels = {model: printable("/".join(part[-count:])) for model, part in parts.items()}
        if len(set(labels.values())) == len(labels):
            return labels
    return {model: model for model in given}


def _require_different(benchmarks: list[str]) -> None:
    twice = next((name for name in benchmarks if benchmarks.count(name) > 1), None)
    if twice is not None:
        raise AesopError(f"--benchmark: two folders are called {twice}; rename one or evaluate them one by one.")


def _load_autoencoder(path: Path | None, scale: int, device: torch.device) -> nn.Module | None:
    if path is None:
        return None
    from aesop.autoencoder import AutoEncoder

    autoencoder = AutoEncoder.load(path)
    if autoencoder.scale != scale:
        raise ModelError(f"{path}: is an auto-encoder for scale {autoencoder.scale}, not {scale}; name one of {scale}.")
    return autoencoder.eval().to(device)


def _prepare(names: Sequence[str], settings: Settings) -> tuple[dict[str, Measure], dict[str, str]]:
    """Functions of the metrics that can be had, and the reasons of those that cannot."""
    measures: dict[str, Measure] = {}
    unavailable: dict[str, str] = {}
    for name in names:
        try:
            measures[name] = METRICS[name].prepare(settings)
        except MetricUnavailable as error:
            unavailable[name] = str(error)
    return measures, unavailable


def _json_value(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else "inf"
