"""The plots of a report, as data for page.js, which draws them by Plotly: any two metrics of all models and curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from statistics import fmean
from typing import Any

from aesop.evaluation.curves import MeasuredCurve
from aesop.evaluation.results import Evaluation, PairedDifference
from aesop.evaluation.tabulate import BenchmarkTable, Row, signed
from aesop.metrics import METRICS

#: What is perception and what distortion in the sense of Blau and Michaeli (2018), the first choice first.
PERCEPTION = ("lpips", "dists", "lpips-proxy", "niqe", "clip-iqa", "maniqa", "musiq", "fid", "patch-fid", "ntire")
DISTORTION = ("psnr", "ssim", "lr-psnr", "ae-psnr")

#: Legible on light and on dark, since a plot has the same in both.
COLOURS = ("#1f7fc4", "#d2571b", "#1a9a70", "#b8529c", "#a8801a", "#7a6fd0", "#7f8a1e", "#858b92")
_SYMBOLS = ("circle", "triangle-up", "square", "diamond", "triangle-down", "cross", "star", "x")
_DASHES = ("solid", "dash", "dot", "dashdot")

Trace = dict[str, Any]


def mark(number: int) -> tuple[int, int]:
    """The colour and the shape of model `number`, each 0 to 7; from the ninth on they pair in another way."""
    return number % 8, (number + number // 8) % 8


def plot(
    evaluation: Evaluation, curves: Sequence[MeasuredCurve], tables: Sequence[BenchmarkTable]
) -> dict[str, Any] | None:
    """Return every benchmark's traces, with their values in every metric, and the axes to begin with.

    The tables are the evaluation's, for what the paper prints. None if there is only one model, or no benchmark has two
    metrics.
    """
    traces: dict[str, list[Trace]] = {}
    differences = {(one.model, one.benchmark, one.metric): one for one in evaluation.differences()}
    for table in tables:
        benchmark = table.benchmark
        models = [_model(evaluation, benchmark, model, differences) for model in evaluation.models]
        drawn = [_curve(evaluation, curve, benchmark, index, models) for index, curve in enumerate(curves)]
        if len({metric for trace in models for metric in trace["values"]}) > 1 and len(models) + len(drawn) > 1:
            _hide_far(models, drawn)
            # Models lie over the curves that end in them, and stand before them in the legend.
            traces[benchmark] = [*drawn, *models, *_paper(table.published)]
    if not traces:
        return None
    values = [trace["values"] for those in traces.values() for trace in those]
    measured = [metric for metric in evaluation.metrics if any(metric in found for found in values)]
    first = [metric for metric in measured if any(metric in trace["values"] for trace in next(iter(traces.values())))]
    y = next((metric for metric in PERCEPTION if metric in first), first[-1])
    x = next(metric for metric in (*DISTORTION, *first) if metric in first and metric != y)
    return {"traces": traces, "measured": measured, "x": x, "y": y}


#: Curves of more points are smoothed.
LONG = 20


def chart(
    series: Sequence[tuple[str, int, Sequence[int], Sequence[float]]],
    *,
    logarithmic: bool,
    best: Callable[[Sequence[float]], float] | None = None,
) -> dict[str, Any]:
    """Small curves over iterations: names, numbers of colours, x and y; long ones smoothed over faint ones.

    A star marks where each is the `best`: `max`, `min` or, by default, nowhere.
    """
    traces: list[Trace] = []
    for name, colour, x, y in series:
        line = {"color": COLOURS[colour], "width": 1.6}
        trace = {"name": escape(name), "x": x, "y": y, "mode": "lines", "line": line, "showlegend": bool(name)}
        if len(y) > LONG:
            traces.append({**trace, "opacity": 0.3, "hoverinfo": "skip", "showlegend": False})
        # Means over a tenth of a long curve.
        reach = len(y) // 20 if len(y) > LONG else 0
        traces.append({**trace, "y": [fmean(y[max(0, i - reach) : i + reach + 1]) for i in range(len(y))]})
        if best is not None:
            top = best(y)
            mark = {"color": COLOURS[colour], "symbol": "star", "size": 10}
            point = {"x": [x[list(y).index(top)]], "y": [top], "mode": "markers", "marker": mark}
            traces.append({**point, "name": f"{escape(name)}, best", "showlegend": False})
    values = [value for *_, y in series for value in y]
    # Within a factor of a few a logarithmic axis looks the same, with fewer round numbers on it.
    wide = logarithmic and min(values) > 0 and max(values) > 8 * min(values)
    layout = {
        "height": 240,
        "margin": {"l": 44, "r": 8, "t": 24, "b": 36},
        "legend": {"orientation": "h", "y": 1, "yanchor": "bottom"},
        "xaxis": {"title": {"text": "iteration"}},
        "yaxis": {"type": "log", "dtick": "D2", "tickformat": "~g"} if wide else {"tickformat": "~g"},
    }
    return {"traces": traces, "layout": layout}


def _trace(name: str, size: int, colour: int, symbol: int, values: Trace, **more: Any) -> Trace:
    text = {metric: [_printed(metric, value) for value in found] for metric, found in values.items()}
    marker = {"color": COLOURS[colour], "size": size, "symbol": _SYMBOLS[symbol]}
    base = {"name": escape(name), "notes": [f"<b>{escape(name)}</b>"], "mode": "markers", "marker": marker, "far": {}}
    return {**base, "values": values, "text": text, **more}


def _model(
    evaluation: Evaluation, benchmark: str, model: str, differences: Mapping[tuple[str, str, str], PairedDifference]
) -> Trace:
    """A model: its means, and the intervals of its differences from the one that all are compared with."""
    values, text, intervals = {}, {}, {}
    for metric in evaluation.metrics:
        result = evaluation.result(model, benchmark, metric)
        if result.mean is None or not math.isfinite(result.mean):
            continue
        values[metric], text[metric] = [result.mean], [_printed(metric, result.mean)]
        difference = differences.get((model, benchmark, metric))
        if difference is not None and difference.interval is not None:
            low, high = difference.interval
            intervals[metric] = [difference.difference - low, high - difference.difference]
            digits = METRICS[metric].digits
            numbers = [signed(one, digits).replace("-", "\N{MINUS SIGN}") for one in (difference.difference, low, high)]
            text[metric][0] += f"<br>  from {escape(difference.against)}: {numbers[0]} ({numbers[1]} … {numbers[2]})"
        if result.count < len(result.pictures):
            text[metric][0] += f"<br>  mean of {result.count} of {len(result.pictures)} pictures"
    marked = mark(evaluation.models.index(model))
    return _trace(model, 13, *marked, values, text=text, intervals=intervals, legendrank=1)


def _curve(evaluation: Evaluation, curve: MeasuredCurve, benchmark: str, index: int, models: Sequence[Trace]) -> Trace:
    """A curve, in the colour of the model that it ends in; points without a value of an axis are not drawn."""
    points = [_means(curve.evaluation, model).get(benchmark, {}) for model in curve.models.values()]
    metrics = [metric for metric in evaluation.metrics if any(metric in point for point in points)]
    values = {metric: [point.get(metric) for point in points] for metric in metrics}
    notes = [f"<b>{escape(curve.title)}</b>, {escape(note)}" for note in curve.models]
    trace = _trace(curve.title, 6, 0, 0, values, notes=notes, mode="lines+markers")
    number = None
    for position, model in enumerate(curve.models.values()):
        # A point that is a model tells what the model tells, which lies below it.
        number = _same(evaluation, _means(curve.evaluation, model))
        if number is not None:
            notes[position] += f": {models[number]['notes'][0]}"
            for metric in metrics:
                trace["text"][metric][position] = models[number]["text"].get(metric, [""])[0]
    colour, _ = mark(len(models) + index if number is None else number)
    trace["marker"]["color"] = COLOURS[colour]
    trace["line"] = {"color": COLOURS[colour], "width": 1.8, "dash": _DASHES[index % len(_DASHES)]}
    return trace


def _paper(rows: Sequence[Row]) -> list[Trace]:
    """Return a trace of the paper's numbers, a point a row, hidden at first."""
    cells = {metric: [row.cells[metric].value for row in rows] for row in rows[:1] for metric in row.cells}
    values = {metric: found for metric, found in cells.items() if any(found)}
    notes = [f"<b>{escape(row.title)}</b>" for row in rows]
    trace = _trace("what the paper prints", 8, 7, 0, values, notes=notes, visible="legendonly")
    trace["marker"]["symbol"] = "circle-open"
    return [trace] if rows else []


def _hide_far(models: Sequence[Trace], curves: Sequence[Trace]) -> None:
    """Mark the models, a third at most, without which an axis were less than half as long, the farthest first."""
    for metric in {metric for trace in models for metric in trace["values"]}:
        near = [trace for trace in models if metric in trace["values"]]
        drawn = [value for curve in curves for value in curve["values"].get(metric, ()) if value is not None]

        def stretch(one: Trace, metric: str = metric, near: list[Trace] = near, drawn: list[float] = drawn) -> float:
            others = drawn + [other["values"][metric][0] for other in near if other is not one]
            low, high, own = min(others, default=0), max(others, default=0), one["values"][metric][0]
            return (max(high, own) - min(low, own)) / (high - low) if high > low else 0

        for _ in range(len(near) // 3):
            farthest = max(near, key=stretch)
            if stretch(farthest) > 2:
                farthest["far"][metric] = True
                near.remove(farthest)


def _same(evaluation: Evaluation, means: dict[str, dict[str, float]]) -> int | None:
    """The number of the model with these means: a run's last checkpoint is its generator, in another file."""
    for number, model in enumerate(evaluation.models):
        own = _means(evaluation, model)
        if means and all(found.items() <= own.get(benchmark, {}).items() for benchmark, found in means.items()):
            return number
    return None


def _means(evaluation: Evaluation, model: str) -> dict[str, dict[str, float]]:
    """Means over whole benchmarks: on a curve, those over fewer pictures would not compare."""
    found: dict[str, dict[str, float]] = {}
    for result in evaluation.results:
        whole = result.count + len(result.infinite) == len(result.pictures)
        if result.model == model and whole and result.mean is not None and math.isfinite(result.mean):
            found.setdefault(result.benchmark, {})[result.metric] = result.mean
    return found


def _printed(metric: str, value: float | None) -> str:
    described = METRICS[metric]
    return "" if value is None else f"{described.title} {described.text(value)}"
