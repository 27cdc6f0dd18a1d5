"""Perception-distortion curves: along a run's checkpoints, or along the weights between two networks (figure 4)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aesop.analysis.drawing import COLOURS, drawn, line
from aesop.analysis.interpolate import interpolate_files
from aesop.errors import AesopError, ModelError
from aesop.evaluation.evaluate import Evaluation, evaluate
from aesop.files import write_atomically
from aesop.metrics import METRICS
from aesop.networks.loading import load_generator
from aesop.training.run import Run

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Waypoint:
    """A model on a curve, and what tells it from the others: its iteration or the second network's share."""

    note: str
    model: str


@dataclass(frozen=True)
class Point:
    """A waypoint's means on one benchmark; None where nothing could be measured."""

    note: str
    x: float | None
    y: float | None


@dataclass(frozen=True)
class Curve:
    """One method on one benchmark; a method that is a single model has one point."""

    method: str
    benchmark: str
    points: list[Point]


@dataclass(frozen=True)
class PerceptionDistortion:
    """Curves over the metrics `x` and `y`, and the evaluation that they are made of."""

    x: str
    y: str
    curves: list[Curve]
    evaluation: Evaluation

    def to_json(self, path: Path) -> None:
        """Write {"x", "y", "curves": [{"method", "benchmark", "points": [{"note", "x", "y"}]}]}, atomically."""
        document = {"x": self.x, "y": self.y, "curves": [asdict(curve) for curve in self.curves]}
        write_atomically(path, json.dumps(document, indent=1) + "\n")


def checkpoints(run: Path, most: int = 10) -> list[Waypoint]:
    """Find at most `most` snapshots of a run's perceptual stage, evenly spaced, the last among them, after its start.

    Raises:
        ModelError: if it has no snapshots.

    """
    snapshots = sorted((run / "perceptual" / "snapshots").glob("*.safetensors"))
    if not snapshots:
        raise ModelError(f"{run}: has no perceptual/snapshots; name a run folder, or a single model with --point.")
    count = min(most, len(snapshots))
    chosen = [snapshots[round((i + 1) * len(snapshots) / count) - 1] for i in range(count)]
    waypoints = [Waypoint(f"iteration {int(path.stem)}", str(path)) for path in chosen]
    start = starting_network(run)
    return waypoints if start is None else [Waypoint("iteration 0", str(start)), *waypoints]


def starting_network(run: Path) -> Path | None:
    """Return the fidelity network that a run's perceptual stage began as; None if it is no run or that file is gone."""
    own = run / "fidelity" / "generator.safetensors"
    if own.is_file():
        return own
    if not (run / "recipe.yaml").is_file():
        return None
    weights = Run(run).recipe().fidelity.weights
    return weights if weights is not None and weights.is_file() else None


def between(first: Path, second: Path, folder: Path, title: str, shares: Sequence[float] = SHARES) -> list[Waypoint]:
    """Write the networks between two (`interpolate_files`) to `folder`; shares 0 and 1 are the two themselves.

    Raises as `interpolate_files` does.
    """
    parents = {0.0: load_generator(first).path, 1.0: load_generator(second).path}
    waypoints = []
    for share in shares:
        path = parents.get(share)
        if path is None:
            path = folder / f"{''.join(c if c.isalnum() else '-' for c in title)}-{share:g}.safetensors"
            interpolate_files(first, second, share, path)
        waypoints.append(Waypoint(f"share {share:g}", str(path)))
    return waypoints


def measure_curves(
    methods: Mapping[str, Sequence[Waypoint]],
    benchmarks: Sequence[Path],
    x: str = "psnr",
    y: str = "lpips",
    *,
    autoencoder: Path | None = None,
    device: str = "cpu",
) -> PerceptionDistortion:
    """Measure every waypoint of every method, once each, with both metrics.

    Raises:
        AesopError: as `evaluate` does, and if one of the metrics has no value at all.

    """
    models = list(dict.fromkeys(waypoint.model for waypoints in methods.values() for waypoint in waypoints))
    metrics = list(dict.fromkeys((x, y)))
    evaluation = evaluate(models, benchmarks, metrics=metrics, autoencoder=autoencoder, device=device)
    labels = dict(zip(models, evaluation.models, strict=True))
    for metric in metrics:
        _require_values(evaluation, metric)
    curves = []
    for benchmark in evaluation.benchmarks:
        for method, waypoints in methods.items():
            means = [
                [evaluation.result(labels[waypoint.model], benchmark, metric).mean for metric in (x, y)]
                for waypoint in waypoints
            ]
            points = [Point(waypoint.note, *mean) for waypoint, mean in zip(waypoints, means, strict=True)]
            curves.append(Curve(method, benchmark, points))
    return PerceptionDistortion(x, y, curves, evaluation)


def draw_curves(found: PerceptionDistortion, path: Path) -> None:
    """Draw a panel a benchmark and a curve a method; raises as `drawn` does."""
    benchmarks = list(dict.fromkeys(curve.benchmark for curve in found.curves))
    methods = list(dict.fromkeys(curve.method for curve in found.curves))
    with drawn(path, 5.2 * len(benchmarks) + 0.4, 4.2) as figure:
        panels = figure.subplots(1, len(benchmarks), squeeze=False)[0]
        for axes, benchmark in zip(panels, benchmarks, strict=True):
            for curve in found.curves:
                if curve.benchmark == benchmark:
                    _draw_curve(axes, curve, methods.index(curve.method))
            line(axes)
            axes.margins(0.1)
            axes.set(title=benchmark, xlabel=_label(found.x), ylabel=_label(found.y))
            axes.legend(frameon=False, fontsize=8)


def _draw_curve(axes: Any, curve: Curve, number: int) -> None:
    points = [(point.x, point.y, point.note) for point in curve.points if point.x is not None and point.y is not None]
    colour = COLOURS[number % len(COLOURS)]
    style = {"marker": "D", "linestyle": ""} if len(curve.points) == 1 else {"marker": "o", "markersize": 4}
    axes.plot([x for x, _, _ in points], [y for _, y, _ in points], color=colour, label=curve.method, **style)
    # The last note tells where a curve ends; all of them would cover each other.
    if len(points) > 1:
        axes.annotate(points[-1][2], points[-1][:2], (5, 5), textcoords="offset points", fontsize=7, color=colour)


def _label(name: str) -> str:
    metric = METRICS[name]
    return f"{metric.title}{f' ({metric.unit})' if metric.unit else ''} {'↑' if metric.higher_is_better else '↓'}"


def _require_values(evaluation: Evaluation, metric: str) -> None:
    results = [result for result in evaluation.results if result.metric == metric]
    if any(result.mean is not None for result in results):
        return
    reasons = [result.unavailable for result in results if result.unavailable]
    reasons += [failure.reason for failure in evaluation.failures]
    raise AesopError(f"{metric}: could not be measured on any picture ({reasons[0] if reasons else 'no pictures'}).")
