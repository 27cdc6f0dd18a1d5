"""Perception-distortion curves: along a run's checkpoints, or along the weights between two networks (figure 4)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aesop.analysis.drawing import curve_style, drawn, style_axes
from aesop.analysis.labels import Label, place_labels
from aesop.errors import AesopError
from aesop.evaluation.curves import ALPHAS, Curve, find_curves
from aesop.evaluation.evaluate import evaluate
from aesop.evaluation.intervals import Interval, mean_interval
from aesop.evaluation.results import Evaluation
from aesop.files import printable, write_atomically
from aesop.metrics import METRICS


@dataclass(frozen=True)
class PlottedPoint:
    """A point's means over `count` pictures of a benchmark, with their 95 % intervals; None without a value."""

    note: str
    model: str
    x: float | None
    y: float | None
    x_interval: Interval | None = None
    y_interval: Interval | None = None
    count: int = 0


@dataclass(frozen=True)
class PlottedCurve:
    """One method on one benchmark; a method that is a single model has one point."""

    method: str
    benchmark: str
    points: list[PlottedPoint]

    @property
    def coordinates(self) -> dict[str, tuple[float, float]]:
        """The coordinates of the measured points, by their notes."""
        return {p.note: (p.x, p.y) for p in self.points if p.x is not None and p.y is not None}


@dataclass(frozen=True)
class PerceptionDistortion:
    """Curves over the metrics `x` and `y`, and what could not be measured."""

    x: str
    y: str
    curves: list[PlottedCurve]
    failures: list[str]

    def to_json(self, path: Path | str) -> None:
        """Write the fields of this class and its curves' and points' as JSON, atomically."""
        write_atomically(Path(path), json.dumps(asdict(self), indent=1, allow_nan=False) + "\n")


def measure_curves(
    methods: Sequence[str],
    benchmarks: Sequence[Path | str],
    x: str = "psnr",
    y: str = "lpips",
    *,
    alphas: Sequence[float] = ALPHAS,
    points: int = 10,
    **how: Any,
) -> PerceptionDistortion:
    """Measure methods, `[TITLE=]RUN`, `[TITLE=]A:B` or `[TITLE=]MODEL`, by the metrics `x` and `y`.

    `alphas` and `points` go to `find_curves`, benchmarks and `how` to `evaluate`. Raises AesopError as both do, and if
    one of the metrics has no value at all.
    """
    with TemporaryDirectory(prefix="aesop-curves-") as folder:
        curves = find_curves(methods, Path(folder), alphas, points)
        models = [model for curve in curves for model in curve.models.values()]
        evaluation = evaluate(
            {model: model for model in models}, benchmarks, metrics=list(dict.fromkeys((x, y))), **how
        )
    return plotted(curves, evaluation, x, y)


def plotted(curves: Sequence[Curve], evaluation: Evaluation, x: str, y: str) -> PerceptionDistortion:
    """Read the points of curves from an evaluation that names models by their paths: means over `common_pictures`.

    Raises AesopError if one of the metrics has no value at all.
    """
    for metric in (x, y):
        results = [result for result in evaluation.results if result.metric == metric]
        if all(result.mean is None for result in results):
            reasons = [result.unavailable for result in results if result.unavailable]
            reasons += [failure.reason for failure in evaluation.failures]
            raise AesopError(f"{metric}: could not be measured on any picture ({[*reasons, 'no pictures'][0]}).")

    def point(note: str, model: str, benchmark: str, common: set[str]) -> PlottedPoint:
        means, intervals = [], []
        for result in (evaluation.result(model, benchmark, metric) for metric in (x, y)):
            values = [value for name, value in result.finite.items() if name in common]
            mean = math.fsum(values) / len(values) if values else None
            means.append(mean if result.set_value is None else result.set_value)
            intervals.append(mean_interval(values) if result.set_value is None else None)
        return PlottedPoint(note, printable(model), *means, *intervals, count=len(common))

    found = []
    for benchmark in evaluation.benchmarks:
        common = common_pictures(evaluation, benchmark)
        for curve in curves:
            points = [point(note, model, benchmark, common) for note, model in curve.models.items()]
            found.append(PlottedCurve(curve.title, benchmark, points))
    names = {model: name for curve in curves for model, name in curve.names().items()}
    return PerceptionDistortion(x, y, found, failures_of(evaluation, names))


def common_pictures(evaluation: Evaluation, benchmark: str) -> set[str]:
    """The pictures that all metrics but those of sets could measure of all models that have any value."""
    results = [r for r in evaluation.results if r.benchmark == benchmark and r.set_value is None]
    measured = [set(result.finite) for result in results if result.finite]
    return set.intersection(*measured) if measured else set()


def failures_of(evaluation: Evaluation, names: Mapping[str, str] | None = None) -> list[str]:
    """Each failure of an evaluation in a line, with the name of its model."""
    lines = []
    for failure in evaluation.failures:
        where = "; ".join(filter(None, ((names or {}).get(failure.model or "", failure.model), failure.metric)))
        lines.append(f"{failure.benchmark}/{failure.picture}{f' ({where})' if where else ''}: {failure.reason}")
    return lines


def draw_curves(found: PerceptionDistortion, path: Path | str) -> None:
    """Draw a panel a benchmark and a curve a method, its start hollow; raises as `drawn` does.

    A single model so far off that it would squeeze the curves is named above the panel instead.
    """
    benchmarks = list(dict.fromkeys(curve.benchmark for curve in found.curves))
    methods = list(dict.fromkeys(curve.method for curve in found.curves))
    rows = math.ceil(len(methods) / 4)
    with drawn(path, 3.9 * len(benchmarks) + 0.3, 3.5 + 0.2 * rows) as figure:
        panels = figure.subplots(1, len(benchmarks), squeeze=False)[0]
        labels = []
        for axes, benchmark in zip(panels, benchmarks, strict=True):
            curves = {methods.index(curve.method): curve for curve in found.curves if curve.benchmark == benchmark}
            labels.append(_draw_panel(axes, found, curves))
        handles = {str(handle.get_label()): handle for axes in panels for handle in axes.get_legend_handles_labels()[0]}
        titles = [method for method in methods if method in handles]
        figure.legend([handles[title] for title in titles], titles, loc="outside lower center", ncols=4, frameon=False)
        figure.draw_without_rendering()  # lays the panels out, so that labels know how much room there is
        for axes, ends in zip(panels, labels, strict=True):
            place_labels(axes, ends)


def _draw_panel(axes: Any, found: PerceptionDistortion, curves: Mapping[int, PlottedCurve]) -> list[Label]:
    """Draw one benchmark's curves by their numbers; return the labels of their ends."""
    shown = [xy for curve in curves.values() if len(curve.points) > 1 for xy in curve.coordinates.values()]
    title, ends = [next(iter(curves.values())).benchmark], []
    for number, curve in curves.items():
        style, notes, coordinates = curve_style(number), list(curve.coordinates), list(curve.coordinates.values())
        xs, ys = ([xy[axis] for xy in coordinates] for axis in (0, 1))
        if len(curve.points) > 1:
            axes.plot(xs, ys, markersize=4, linewidth=1.3, label=curve.method, **style)
        elif coordinates and not all(is_near(coordinates[0][axis], [xy[axis] for xy in shown]) for axis in (0, 1)):
            title.append(f"outside: {curve.method} ({METRICS[found.x].text(xs[0])}, {METRICS[found.y].text(ys[0])})")
        else:
            axes.plot(xs, ys, linestyle="", markersize=6, label=curve.method, **style)
        if len(coordinates) > 1:
            axes.plot(xs[:1], ys[:1], "o", markersize=6, color="#444444", markerfacecolor="white", zorder=3)
            for end, beside in ((0, 1), (-1, -2)):
                ends.append(Label(notes[end], coordinates[end], coordinates[beside], style["color"]))
    style_axes(axes)
    axes.margins(0.14)
    axes.locator_params(nbins=6)
    axes.set(xlabel=_axis(found.x), ylabel=_axis(found.y))
    axes.set_title("\n".join(title), fontsize=8)
    right, top = METRICS[found.x].higher_is_better, METRICS[found.y].higher_is_better
    if right is not None and top is not None:
        arrow = {(True, True): "↗", (True, False): "↘", (False, True): "↖", (False, False): "↙"}[right, top]
        axes.annotate(
            f"better {arrow}", (0.99 if right else 0.01, 0.985 if top else 0.015), xycoords="axes fraction",
            horizontalalignment="right" if right else "left", verticalalignment="top" if top else "bottom",
            fontsize=8, fontweight="bold", color="#777777",
        )  # fmt: skip
    return ends


def is_near(value: float, others: Sequence[float]) -> bool:
    """Whether an axis that shows `others` need not become more than twice as long to show `value`."""
    if not others:
        return True
    lowest, highest = min(others), max(others)
    return max(highest, value) - min(lowest, value) <= 2 * (highest - lowest)


def _axis(name: str) -> str:
    metric = METRICS[name]
    return " ".join(filter(None, (metric.title, metric.unit and f"({metric.unit})", metric.arrow)))
