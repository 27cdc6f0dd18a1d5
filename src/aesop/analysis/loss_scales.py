"""The sizes of the pixel loss and the AESOP loss along a perceptual training (figure 9).

The AESOP loss sees a part of what the pixel loss sees, so it is smaller; what lies between them is the perceptual
variance. Weighted (1 against 0.01) it guides far more strongly all the same.

A training's log has the losses of its own crops, for nothing. Losses of other pictures do not compare with them: where
a log lacks one of the two, both losses of all runs are computed from snapshots, on pictures of one's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aesop.analysis.drawing import COLOURS, drawn, line
from aesop.analysis.loss_maps import loss_maps
from aesop.analysis.models import Upscaling, fidelity_bias, reason_of
from aesop.autoencoder import AutoEncoder
from aesop.data.pictures import to_float
from aesop.data.sources import Source
from aesop.errors import AesopError, ModelError, RunError
from aesop.evaluation.benchmarks import open_sets
from aesop.networks.loading import load_generator
from aesop.progress import progress
from aesop.run import Run
from aesop.training.record import run_recipe

LossName = Literal["pixel", "aesop"]
#: The weight of the pixel loss in the baselines (eq. 3), where a run has no weight of its own for it.
PIXEL_WEIGHT = 0.01
AESOP_WEIGHT = 1.0


@dataclass(frozen=True)
class LossCurve:
    """A plain (unweighted) loss over iterations, and the weight that it has, or would have, in the objective.

    `recorded`: means over training crops, from the log; else over given pictures, by the EMA network of a snapshot.
    """

    loss: LossName
    weight: float
    recorded: bool
    iterations: list[int]
    values: list[float]


@dataclass(frozen=True)
class LossScales:
    """The curves of runs by title, all of the same pictures, and why others are left out, by benchmark and name."""

    runs: dict[str, list[LossCurve]]
    failures: dict[str, str] = field(default_factory=dict)

    def summary(self) -> list[str]:
        """Each curve's first and last value, in words."""
        return [
            f"{title}: {curve.loss} {curve.values[0]:.5f} to {curve.values[-1]:.5f}, "
            f"weighted {curve.weight * curve.values[-1]:.5f} ({'training crops' if curve.recorded else 'snapshots'})"
            for title, curves in self.runs.items()
            for curve in curves
        ]


def measure_loss_scales(
    runs: Mapping[str, Path],
    benchmarks: Sequence[Path | str] = (),
    autoencoder: AutoEncoder | None = None,
    *,
    benchmarks_folder: Path | None = None,
) -> LossScales:
    """Gather both losses along perceptual stages: from their logs or, given pictures and an auto-encoder, snapshots.

    Args:
        runs: run folders by title.
        benchmarks: as of `aesop.evaluation.evaluate.evaluate`; with them, all runs are measured on their pictures.
        autoencoder: of the AESOP loss; needed with benchmarks and only then.
        benchmarks_folder: where benchmarks lie that are given by name.

    Raises:
        RunError: if a run has no perceptual stage, or a log lacks a loss and there are no benchmarks.
        ModelError: if a snapshot cannot be loaded or is of another scale.
        AesopError: if there are benchmarks and no auto-encoder or the reverse, or no picture could be measured.

    """
    if bool(benchmarks) != (autoencoder is not None):
        lacking = "an auto-encoder" if benchmarks else "a benchmark"
        raise AesopError(f"snapshots are measured by an auto-encoder on a benchmark; name {lacking} as well.")
    weights = {title: _weights(run) for title, run in runs.items()}
    if autoencoder is None:
        found = {title: recorded_losses(run, weights[title]) for title, run in runs.items()}
        for title, curves in found.items():
            if lacking := [name for name in weights[title] if name not in {curve.loss for curve in curves}]:
                raise RunError(
                    f"{runs[title]}: its log has no {' and no '.join(lacking)} loss; name a benchmark and an "
                    "auto-encoder, so that all runs are measured on the same pictures by their snapshots."
                )
        return LossScales(found)
    pictures = {
        f"{benchmark.name}/{pair.name}": pair
        for benchmark in open_sets(benchmarks, autoencoder.scale, benchmarks_folder)
        for pair in benchmark.pairs
    }
    return snapshot_losses(runs, weights, pictures, autoencoder)


def recorded_losses(run: Path, weights: Mapping[LossName, float]) -> list[LossCurve]:
    """Read what the perceptual stage's log has of both losses."""
    lines = [entry for entry in Run(run).stage("perceptual").read_log() if entry["kind"] == "loss"]
    curves = []
    for name, weight in weights.items():
        found = [(entry["iteration"], entry[name]) for entry in lines if name in entry]
        if found:
            curves.append(LossCurve(name, weight, True, [i for i, _ in found], [value for _, value in found]))
    return curves


def snapshot_losses(
    runs: Mapping[str, Path],
    weights: Mapping[str, Mapping[LossName, float]],
    pictures: Mapping[str, Source],
    autoencoder: AutoEncoder,
) -> LossScales:
    """Compute both losses of every snapshot of the runs' perceptual stages: means over pictures.

    A picture that cannot be read, or measured by one of the snapshots, is left out for all of them, and named. One
    picture and one network are held at a time.

    Raises:
        ModelError: if a run has no snapshots, or a snapshot cannot be loaded or is of another scale.
        AesopError: if no picture is left.

    """
    snapshots = {title: Run(run).stage("perceptual").snapshots() for title, run in runs.items()}
    paths = [path for found in snapshots.values() for path in found.values()]
    for path in paths[:: max(1, len(paths) - 1)]:  # the first and the last: a mistake is told at once
        _load(path, autoencoder)
    sums = dict.fromkeys(paths, (0.0, 0.0))
    failures: dict[str, str] = {}
    with progress("snapshots", len(pictures), unit="pictures") as advance:
        for name, picture in pictures.items():
            try:
                values = _losses(picture, paths, autoencoder)
            except ModelError:
                raise
            except (AesopError, OSError, RuntimeError) as error:
                failures[name] = reason_of(error)
            else:
                sums = {path: (sums[path][0] + p, sums[path][1] + a) for path, (p, a) in values.items()}
            advance(1, name)
    count = len(pictures) - len(failures)
    if not count:
        reason = next(iter(failures.values()), "there are none")
        raise AesopError(f"no picture could be measured ({reason}); name a benchmark with pictures.")
    found = {}
    for title, run_weights in weights.items():
        iterations = list(snapshots[title])
        found[title] = [
            LossCurve(
                name,
                run_weights[name],
                False,
                iterations,
                [sums[path][i] / count for path in snapshots[title].values()],
            )
            for i, name in enumerate(("pixel", "aesop"))
        ]
    return LossScales(found, failures)


def draw_loss_scales(found: LossScales, path: Path) -> None:
    """Draw a panel a run: both losses, plain and weighted, on one logarithmic axis; raises as `drawn` does.

    Recorded losses are lines, those of snapshots lines with dots.
    """
    colours = {"pixel": COLOURS[2], "aesop": COLOURS[0]}
    titles = {"pixel": "pixel loss", "aesop": "AESOP loss"}
    with drawn(path, max(4.0, 3.1 * len(found.runs) + 0.4), 3.0) as figure:
        panels = figure.subplots(1, len(found.runs), sharey=True, squeeze=False)[0]
        for axes, (title, curves) in zip(panels, found.runs.items(), strict=True):
            for curve in curves:
                style: Any = (
                    {"linewidth": 1.0} if curve.recorded else {"marker": "o", "markersize": 3, "linewidth": 1.2}
                )
                style["color"] = colours[curve.loss]
                axes.plot(curve.iterations, curve.values, label=titles[curve.loss], **style)
                if curve.weight != 1:
                    weighted = [curve.weight * value for value in curve.values]
                    label = f"{titles[curve.loss]}, weighted"
                    axes.plot(curve.iterations, weighted, label=label, linestyle="--", **style)
                    axes.annotate(
                        f"x {curve.weight:g}", (curve.iterations[-1], weighted[-1]), (0, 4),
                        textcoords="offset points", fontsize=7, color=style["color"], horizontalalignment="right",
                    )  # fmt: skip
            line(axes)
            axes.set(title=title, xlabel="iteration", yscale="log")
        recorded = any(curve.recorded for curves in found.runs.values() for curve in curves)
        panels[0].set_ylabel(f"loss ({'training crops' if recorded else 'snapshots, given pictures'})")
        lines = {artist.get_label(): artist for axes in panels for artist in axes.get_lines()}
        figure.legend(
            list(lines.values()), [str(label) for label in lines], loc="outside lower center", ncols=4, frameon=False
        )


def _weights(run: Path) -> dict[LossName, float]:
    """Return both losses' weights: the run's own for its fidelity loss, the paper's for the other."""
    config = run_recipe(Run(run)).perceptual
    if config is None:
        raise RunError(f"{run}: its recipe has no perceptual stage; name a run that has one.")
    own = {config.fidelity_loss.type: config.fidelity_loss.weight}
    return {"pixel": own.get("pixel", PIXEL_WEIGHT), "aesop": own.get("aesop", AESOP_WEIGHT)}


def _load(path: Path, autoencoder: AutoEncoder) -> Upscaling:
    network = load_generator(path)
    if network.scale != autoencoder.scale:
        raise ModelError(
            f"{path}: is for scale {network.scale}, the auto-encoder for {autoencoder.scale}; name an auto-encoder of "
            f"scale {network.scale}."
        )
    return Upscaling(network.model.to(next(autoencoder.parameters()).device), network.scale)


def _losses(picture: Source, paths: Sequence[Path], autoencoder: AutoEncoder) -> dict[Path, tuple[float, float]]:
    """Pixel and AESOP loss of every network on one picture."""
    pixels, lr = picture.read(autoencoder.scale)
    hr = to_float(pixels)
    bias = fidelity_bias(autoencoder, hr)
    values = {}
    for path in paths:
        upscale = _load(path, autoencoder)
        try:
            maps = loss_maps(upscale(lr), hr, autoencoder, hr_bias=bias)
        except AesopError as error:  # of this picture alone
            raise RunError(f"{path.name}: {reason_of(error)}") from error
        values[path] = (float(maps.pixel.mean()), float(maps.aesop.mean()))
    return values
