"""Combined metrics: their parts are measured and cached like any other metric, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aesop.data.benchmarks import Benchmark
from aesop.evaluation.results import NO_GROUND_TRUTH, Result
from aesop.metrics import METRICS, CombinedMetric
from aesop.words import listed


def to_measure(names: Sequence[str], benchmark: Benchmark) -> list[str]:
    """Return the metrics to measure for `names`: combined ones are replaced by their parts."""
    combined = [one for one in _combined(names) if benchmark.pairs or not one.needs_hr]
    own = [name for name in names if not isinstance(METRICS[name], CombinedMetric)]
    return list(dict.fromkeys([*own, *(part for one in combined for part in one.parts)]))


def is_of_use(metric: str, names: Sequence[str], prepare: Callable[[str], object | None]) -> bool:
    """Whether a metric can be measured here and is one of `names`, or a part of one whose parts can all be measured."""
    wholes = [one for one in _combined(names) if metric in one.parts]
    return prepare(metric) is not None and (
        metric in names or any(None not in [prepare(part) for part in one.parts] for one in wholes)
    )


def combine(
    results: Sequence[Result], names: Sequence[str], models: Sequence[str], benchmark: Benchmark
) -> list[Result]:
    """Return all models' results for `names` on a benchmark, made of those for `to_measure(names)`."""
    found = {(result.model, result.metric): result for result in results}
    for metric in _combined(names):
        for model in models:
            pictures: dict[str, float | None] = dict.fromkeys(picture.name for picture in benchmark.pictures)
            whole = Result(model, benchmark.name, benchmark.scale, metric.name, pictures)
            found[model, metric.name] = whole
            if metric.needs_hr and not benchmark.pairs:
                whole.unavailable = NO_GROUND_TRUTH
                continue
            parts = [found[model, part] for part in metric.parts]
            for name in pictures:
                values = [value for part in parts if (value := part.pictures[name]) is not None]
                pictures[name] = metric.combine(*values) if len(values) == len(parts) else None
            if (lacking := [part for part in parts if part.unavailable]) and None in pictures.values():
                whole.unavailable = f"lacks {listed([_named(part, names) for part in lacking])}"
    return [found[model, name] for model in models for name in names]


def _named(part: Result, names: Sequence[str]) -> str:
    """A part that is not available, with the reason unless it has a column, and so a note, of its own."""
    title = METRICS[part.metric].title
    return title if part.metric in names else f"{title} ({part.unavailable})"


def _combined(names: Sequence[str]) -> list[CombinedMetric]:
    return [metric for name in names if isinstance(metric := METRICS[name], CombinedMetric)]
