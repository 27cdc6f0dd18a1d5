"""Perception-distortion curves: along a run's checkpoints, or along the weights between two networks (figure 4)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aesop.analysis.drawing import drawn, line, look
from aesop.analysis.notes import Note, place_notes
from aesop.errors import AesopError
from aesop.evaluation.curves import ALPHAS, CurvePoint, find_curves
from aesop.evaluation.evaluate import evaluate
from aesop.evaluation.intervals import Interval, mean_interval
from aesop.evaluation.model_names import first_of
from aesop.evaluation.plane import belongs
from aesop.evaluation.results import Evaluation, Result
from aesop.files import printable, write_atomically
from aesop.metrics import METRICS


@dataclass(frozen=True)
class Point:
    """A point's means on one benchmark, with their 95 % intervals; None where nothing could be measured.

    Both means are over the same `count` pictures, but for a metric of sets, which has one value for all.
    """

    note: str
    model: str
    x: float | None
    y: float | None
    x_interval: Interval | None = None
    y_interval: Interval | None = None
    count: int = 0


@dataclass(frozen=True)
class Curve:
    """One method on one benchmark; a method that is a single model has one point."""

    method: str
    benchmark: str
    points: list[Point]

    @property
    def places(self) -> list[tuple[float, float]]:
        """Where the points lie, those that have a place."""
        return [(point.x, point.y) for point in self.points if point.x is not None and point.y is not None]


@dataclass(frozen=True)
class PerceptionDistortion:
    """Curves over the metrics `x` and `y`, and what could not be measured, by benchmark, picture and method."""

    x: str
    y: str
    curves: list[Curve]
    failures: list[str]

    def to_json(self, path: Path) -> None:
        """Write all values, atomically.

        {"x": metric, "y": metric, "failures": [text], "curves": [{"method", "benchmark", "points":
          [{"note", "model", "x", "y", "x_interval": [low, high] or null, "y_interval", "count"}]}]}
        """
        write_atomically(path, json.dumps(asdict(self), indent=1, allow_nan=False) + "\n")


def open_methods(
    given: Sequence[str], folder: Path, alphas: Sequence[float] = ALPHAS, points: int = 10
) -> dict[str, list[CurvePoint]]:
    """Find the networks of every method, by title; arguments and errors are those of `find_curves`."""
    return {curve.title: list(curve.points) for curve in find_curves(given, folder, alphas, points)}


def measure_curves(
    methods: Mapping[str, Sequence[CurvePoint]],
    benchmarks: Sequence[Path | str],
    x: str = "psnr",
    y: str = "lpips",
    **how: Any,
) -> PerceptionDistortion:
    """Measure every point of every method, once each, with both metrics.

    Means are over the pictures that both metrics could measure of all points but those without any value.

    Args:
        methods: points by title.
        benchmarks: as of `evaluate`.
        x: the horizontal metric.
        y: the vertical metric.
        how: of `evaluate`: autoencoder, device, processes, cache, benchmarks_folder, imports.

    Raises:
        AesopError: as `evaluate` does, and if one of the metrics has no value at all.

    """
    models = list(dict.fromkeys(point.model for points in methods.values() for point in points))
    metrics = list(dict.fromkeys((x, y)))
    labels = {model: first_of(model, models) for model in models}
    evaluation = evaluate({label: label for label in labels.values()}, benchmarks, metrics=metrics, **how)
    for metric in metrics:
        _require_values(evaluation, metric)
    curves = []
    for benchmark in evaluation.benchmarks:
        results = {
            model: (evaluation.result(labels[model], benchmark, x), evaluation.result(labels[model], benchmark, y))
            for model in models
        }
        common = _common_pictures(results.values())
        for method, given in methods.items():
            points = [_point(point, *results[point.model], common) for point in given]
            curves.append(Curve(method, benchmark, points))
    return PerceptionDistortion(x, y, curves, _failures(evaluation, methods, labels))


def draw_curves(found: PerceptionDistortion, path: Path) -> None:
    """Draw a panel a benchmark and a curve a method; raises as `drawn` does.

    A curve's start is a hollow circle. A single model so far off that it would squeeze the curves is named above the
    panel instead.
    """
    benchmarks = list(dict.fromkeys(curve.benchmark for curve in found.curves))
    methods = list(dict.fromkeys(curve.method for curve in found.curves))
    rows = math.ceil(len(methods) / 4)
    with drawn(path, 3.9 * len(benchmarks) + 0.3, 3.5 + 0.2 * rows) as figure:
        panels = figure.subplots(1, len(benchmarks), squeeze=False)[0]
        artists: dict[str, Any] = {}
        notes = []
        for axes, benchmark in zip(panels, benchmarks, strict=True):
            curves = {methods.index(curve.method): curve for curve in found.curves if curve.benchmark == benchmark}
            drawings, named = _draw_panel(axes, found, curves)
            artists |= drawings
            notes.append(named)
        ordered = [method for method in methods if method in artists]
        figure.legend(
            [artists[method] for method in ordered], ordered, loc="outside lower center", ncols=4, frameon=False
        )
        figure.draw_without_rendering()  # places the panels, so that notes know how much room there is
        for axes, named in zip(panels, notes, strict=True):
            place_notes(axes, named)


def _draw_panel(
    axes: Any, found: PerceptionDistortion, curves: Mapping[int, Curve]
) -> tuple[dict[str, Any], list[Note]]:
    """Draw one benchmark's curves by their numbers; return what stands for each in the legend, and notes to place."""
    paths = [place for curve in curves.values() if len(curve.points) > 1 for place in curve.places]
    artists: dict[str, Any] = {}
    outside, notes = [], []
    for number, curve in curves.items():
        style = look(number)
        if len(curve.points) == 1 and curve.places and not belongs(curve.places[0], paths):
            outside.append(
                f"{curve.method} ({_text(found.x, curve.places[0][0])}, {_text(found.y, curve.places[0][1])})"
            )
            continue
        xs, ys = ([place[axis] for place in curve.places] for axis in (0, 1))
        if len(curve.points) == 1:
            (artists[curve.method],) = axes.plot(xs, ys, linestyle="", markersize=6, label=curve.method, **style)
            continue
        (artists[curve.method],) = axes.plot(xs, ys, markersize=4, linewidth=1.3, label=curve.method, **style)
        if len(xs) > 1:
            axes.plot(xs[:1], ys[:1], "o", markersize=6, color="#444444", markerfacecolor="white", zorder=3)
            named = [point.note for point in curve.points if point.x is not None and point.y is not None]
            notes += [
                Note(named[0], (xs[0], ys[0]), (xs[1], ys[1]), style["color"]),
                Note(named[-1], (xs[-1], ys[-1]), (xs[-2], ys[-2]), style["color"]),
            ]
    line(axes)
    axes.margins(0.14)
    title = next(iter(curves.values())).benchmark
    axes.set(xlabel=_label(found.x), ylabel=_label(found.y))
    axes.set_title(title + (f"\noutside: {'; '.join(outside)}" if outside else ""), fontsize=8)
    _mark_better(axes, METRICS[found.x].higher_is_better, METRICS[found.y].higher_is_better)
    return artists, notes


def _mark_better(axes: Any, right: bool, top: bool) -> None:
    """Name the corner that all would like to be in."""
    arrow = {(True, True): "↗", (True, False): "↘", (False, True): "↖", (False, False): "↙"}[right, top]
    axes.annotate(
        f"better {arrow}",
        (0.99 if right else 0.01, 0.985 if top else 0.015),
        xycoords="axes fraction",
        horizontalalignment="right" if right else "left",
        verticalalignment="top" if top else "bottom",
        fontsize=8,
        fontweight="bold",
        color="#777777",
        gid="better",
    )


def _label(name: str) -> str:
    metric = METRICS[name]
    return f"{metric.title}{f' ({metric.unit})' if metric.unit else ''} {metric.arrow}".rstrip()


def _text(name: str, value: float) -> str:
    metric = METRICS[name]
    return f"{value:.{metric.digits}f} {metric.unit}".rstrip()


def _common_pictures(results: Any) -> set[str]:
    """The pictures that all metrics of single pictures could measure of all models that have any value."""
    measured = [set(result.finite) for both in results for result in both if result.set_value is None]
    measured = [names for names in measured if names]
    return set.intersection(*measured) if measured else set()


def _point(point: CurvePoint, x: Result, y: Result, common: set[str]) -> Point:
    means, intervals = [], []
    for result in (x, y):
        values = [value for name, value in result.finite.items() if name in common]
        mean = result.set_value if result.set_value is not None else math.fsum(values) / len(values) if values else None
        means.append(mean)
        intervals.append(mean_interval(values) if result.set_value is None else None)
    return Point(point.note, printable(point.model), *means, *intervals, count=len(common))


def _require_values(evaluation: Evaluation, metric: str) -> None:
    results = [result for result in evaluation.results if result.metric == metric]
    if any(result.mean is not None for result in results):
        return
    reasons = [result.unavailable for result in results if result.unavailable]
    reasons += [failure.reason for failure in evaluation.failures]
    raise AesopError(f"{metric}: could not be measured on any picture ({reasons[0] if reasons else 'no pictures'}).")


def _failures(
    evaluation: Evaluation, methods: Mapping[str, Sequence[CurvePoint]], labels: Mapping[str, str]
) -> list[str]:
    """What could not be measured, each network by its method and place on the curve."""
    titles = {
        labels[point.model]: ", ".join(filter(None, (method, point.note)))
        for method, points in methods.items()
        for point in points
    }
    lines = []
    for failure in evaluation.failures:
        where = "; ".join(filter(None, (titles.get(failure.model or ""), failure.metric)))
        lines.append(f"{failure.benchmark}/{failure.picture}{f' ({where})' if where else ''}: {failure.reason}")
    return lines
