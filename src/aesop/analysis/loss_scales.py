"""The sizes of the pixel loss and the AESOP loss along a perceptual training (figure 9).

The AESOP loss sees a part of what the pixel loss sees; what lies between them is the perceptual variance. A training's
log has the losses of its own crops. Where a log lacks one, all runs' snapshots are evaluated by the metrics L1 and SE.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aesop.analysis.curves import common_pictures, failures_of
from aesop.analysis.drawing import COLOURS, drawn, style_axes
from aesop.errors import AesopError, RunError
from aesop.evaluation.curves import checkpoints
from aesop.evaluation.evaluate import evaluate
from aesop.run import Run
from aesop.training.record import run_recipe

LossName = Literal["pixel", "aesop"]
#: Each loss's metric, and its weight in the objective (eq. 3 and 9) where a run has no weight of its own for it.
METRIC: Mapping[LossName, str] = {"pixel": "l1", "aesop": "se"}
WEIGHT: Mapping[LossName, float] = {"pixel": 0.01, "aesop": 1.0}


@dataclass(frozen=True)
class LossCurve:
    """An unweighted loss over iterations, and the weight that it has, or would have, in the objective.

    `recorded`: means over training crops, from the log; else over given pictures, of a snapshot's 8-bit SR.
    """

    loss: LossName
    weight: float
    recorded: bool
    iterations: list[int]
    values: list[float]


@dataclass(frozen=True)
class LossScales:
    """The curves of runs by title, all of the same pictures, and what could not be measured."""

    runs: dict[str, list[LossCurve]]
    failures: list[str] = field(default_factory=list)

    def summary(self) -> list[str]:
        """Each curve's first and last value, in words."""
        return [
            f"{title}: {curve.loss} {curve.values[0]:.5f} to {curve.values[-1]:.5f}, "
            f"weighted {curve.weight * curve.values[-1]:.5f} ({'training crops' if curve.recorded else 'snapshots'})"
            for title, curves in self.runs.items()
            for curve in curves
        ]


def measure_loss_scales(
    runs: Mapping[str, Path | str],
    benchmarks: Sequence[Path | str] = (),
    autoencoder: Path | str | None = None,
    *,
    points: int = 10,
    **how: Any,
) -> LossScales:
    """Gather both losses along runs' perceptual stages, by title.

    They come from the logs or, given benchmarks and the AESOP loss's auto-encoder, from at most `points` snapshots;
    `how` goes to `evaluate`. Raises RunError if a run has no perceptual stage or its log lacks a loss; AesopError as
    `evaluate` does, if only one of benchmarks and auto-encoder is given, or no picture could be measured.
    """
    if bool(benchmarks) != (autoencoder is not None):
        lacking = "an auto-encoder" if benchmarks else "a benchmark"
        raise AesopError(f"Snapshots are measured by an auto-encoder on a benchmark; name {lacking} as well.")
    weights = {title: _weights(run) for title, run in runs.items()}
    if autoencoder is None:
        return LossScales({title: recorded_losses(run, weights[title]) for title, run in runs.items()})
    snapshots = {title: checkpoints(run, points) for title, run in runs.items()}
    models = {str(path): path for found in snapshots.values() for path in found.values()}
    evaluation = evaluate(models, benchmarks, metrics=list(METRIC.values()), autoencoder=autoencoder, **how)
    kept = {benchmark: common_pictures(evaluation, benchmark) for benchmark in evaluation.benchmarks}
    count = sum(map(len, kept.values()))
    if not count or not all(result.finite for result in evaluation.results):
        reason = next((failure.reason for failure in evaluation.failures), "there are none")
        raise AesopError(f"No picture could be measured by all snapshots ({reason}); name a benchmark with pictures.")

    def mean(model: str, metric: str) -> float:
        results = [evaluation.result(model, benchmark, metric) for benchmark in kept]
        return sum(math.fsum(found.finite[name] for name in kept[found.benchmark]) / count for found in results)

    return LossScales(
        {
            title: [
                LossCurve(
                    name, weight, False, list(own), [mean(str(path), METRIC[name]) / 255 for path in own.values()]
                )
                for name, weight in weights[title].items()
            ]
            for title, own in snapshots.items()
        },
        failures_of(evaluation),
    )


def recorded_losses(run: Path | str, weights: Mapping[LossName, float]) -> list[LossCurve]:
    """Read both losses from the perceptual stage's log; RunError where it lacks one."""
    lines = [entry for entry in Run(run).stage("perceptual").read_log() if entry["kind"] == "loss"]
    curves = []
    for name, weight in weights.items():
        found = {entry["iteration"]: entry[name] for entry in lines if name in entry}
        if not found:
            mend = "name a benchmark and an auto-encoder, so that all runs are measured by their snapshots."
            raise RunError(f"{run}: its log has no {name} loss; {mend}")
        curves.append(LossCurve(name, weight, True, list(found), list(found.values())))
    return curves


def draw_loss_scales(found: LossScales, path: Path | str) -> None:
    """Draw a panel a run: both losses, plain and weighted, on one logarithmic axis; snapshots are dots."""
    colours = {"pixel": COLOURS[2], "aesop": COLOURS[0]}
    titles = {"pixel": "pixel loss", "aesop": "AESOP loss"}
    with drawn(path, max(4.0, 3.1 * len(found.runs) + 0.4), 3.0) as figure:
        panels = figure.subplots(1, len(found.runs), sharey=True, squeeze=False)[0]
        for axes, (title, curves) in zip(panels, found.runs.items(), strict=True):
            for curve in curves:
                marker = "" if curve.recorded else "o"
                style: Any = {"color": colours[curve.loss], "linewidth": 1.0, "marker": marker, "markersize": 3}
                axes.plot(curve.iterations, curve.values, label=titles[curve.loss], **style)
                if curve.weight != 1:
                    weighted = [curve.weight * value for value in curve.values]
                    label = f"{curve.weight:g} x {titles[curve.loss]}"
                    axes.plot(curve.iterations, weighted, label=label, linestyle="--", **style)
            style_axes(axes)
            axes.set(title=title, xlabel="iteration", yscale="log")
        recorded = any(curve.recorded for curves in found.runs.values() for curve in curves)
        panels[0].set_ylabel(f"loss ({'training crops' if recorded else 'snapshots, given pictures'})")
        lines = {str(artist.get_label()): artist for axes in panels for artist in axes.get_lines()}
        figure.legend(list(lines.values()), list(lines), loc="outside lower center", ncols=4, frameon=False)


def _weights(run: Path | str) -> dict[LossName, float]:
    """Both losses' weights: the run's own for its fidelity loss, the paper's for the other."""
    config = run_recipe(Run(run)).perceptual
    if config is None:
        raise RunError(f"{run}: its recipe has no perceptual stage; name a run that has one.")
    own = {config.fidelity_loss.type: config.fidelity_loss.weight}
    return {name: own.get(name, weight) for name, weight in WEIGHT.items()}
