"""The sizes of the pixel loss and the AESOP loss along a perceptual training (figure 9).

The AESOP loss sees a part of what the pixel loss sees, so it is smaller; what lies between them is the perceptual
variance. Weighted (1 against 0.01) it guides far more strongly all the same.

A training's log has the losses of its own crops, for nothing. What it lacks is computed from the run's snapshots on
pictures of one's own; both losses are, since those of two sets of pictures would not compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from aesop.analysis.drawing import COLOURS, drawn, line
from aesop.analysis.loss_maps import loss_maps
from aesop.analysis.models import Upscaling, fidelity_bias
from aesop.data.pictures import to_float
from aesop.errors import ModelError, RunError
from aesop.networks.loading import load_generator
from aesop.progress import progress
from aesop.training.loop import read_log
from aesop.training.run import Run

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
    """The curves of one run."""

    title: str
    curves: list[LossCurve]


def loss_scales(
    run: Path,
    pairs: Sequence[tuple[Tensor, Tensor]] = (),
    autoencoder: nn.Module | None = None,
    title: str | None = None,
) -> LossScales:
    """Gather both losses along a run's perceptual stage: from its log and, where that lacks one, from its snapshots.

    Args:
        run: the run folder.
        pairs: uint8 (LR, HR) pictures, (3, h, w) and (3, H, W), for what the log lacks.
        autoencoder: of the AESOP loss, for the same.
        title: of the run; unset, its folder's name.

    Raises:
        RunError: if the run has no perceptual stage, or the log lacks a loss and there is nothing to compute it with.
        ModelError: if a snapshot cannot be loaded.

    """
    weights = _weights(run)
    curves = recorded_losses(run, weights)
    if lacking := [name for name in weights if name not in {curve.loss for curve in curves}]:
        if not pairs or autoencoder is None:
            raise RunError(
                f"{run}: its log has no {' and no '.join(lacking)} loss; name pictures (--benchmark) and an "
                "auto-encoder (--autoencoder) to compute it from the snapshots."
            )
        curves += snapshot_losses(run, pairs, autoencoder, weights)
    return LossScales(title or run.resolve().name, curves)


def recorded_losses(run: Path, weights: dict[LossName, float]) -> list[LossCurve]:
    """Read what the perceptual stage's log has of both losses."""
    lines = [entry for entry in read_log(run / "perceptual") if entry["kind"] == "loss"]
    curves = []
    for name, weight in weights.items():
        found = [(entry["iteration"], entry[name]) for entry in lines if name in entry]
        if found:
            curves.append(LossCurve(name, weight, True, [i for i, _ in found], [value for _, value in found]))
    return curves


def snapshot_losses(
    run: Path, pairs: Sequence[tuple[Tensor, Tensor]], autoencoder: nn.Module, weights: dict[LossName, float]
) -> list[LossCurve]:
    """Compute both losses of every snapshot of the perceptual stage: means over uint8 (LR, HR) pictures.

    Raises:
        RunError: if there are no snapshots.
        ModelError: if one cannot be loaded.

    """
    snapshots = sorted((run / "perceptual" / "snapshots").glob("*.safetensors"))
    if not snapshots:
        raise RunError(f"{run}: its perceptual stage has no snapshots; train it first (aesop train).")
    targets = [(lr, to_float(hr)) for lr, hr in pairs]
    biases = [fidelity_bias(autoencoder, hr) for _, hr in targets]
    device = next(autoencoder.parameters()).device
    values: dict[LossName, list[float]] = {"pixel": [], "aesop": []}
    with progress(f"snapshots of {run.name}", len(snapshots), unit="networks") as advance:
        for path in snapshots:
            network = load_generator(path)
            upscale = Upscaling(network.model.to(device), network.scale)
            maps = []
            for (lr, hr), bias in zip(targets, biases, strict=True):
                sr = upscale(lr)
                if sr.shape != hr.shape:
                    raise ModelError(f"{path}: is for scale {network.scale}; name pictures of that scale.")
                maps.append(loss_maps(sr, hr, autoencoder, hr_bias=bias))
            values["pixel"].append(sum(float(found.pixel.mean()) for found in maps) / len(maps))
            values["aesop"].append(sum(float(found.aesop.mean()) for found in maps) / len(maps))
            advance(1, path.stem)
    iterations = [int(path.stem) for path in snapshots]
    return [LossCurve(name, weight, False, iterations, values[name]) for name, weight in weights.items()]


def draw_loss_scales(runs: Sequence[LossScales], path: Path) -> None:
    """Draw a panel a run: both losses plain, and the pixel loss weighted, on one logarithmic axis; raises as `drawn`.

    Recorded losses are lines, those of snapshots lines with dots.
    """
    colours = {"pixel": COLOURS[2], "aesop": COLOURS[0]}
    titles = {"pixel": "pixel loss", "aesop": "AESOP loss"}
    with drawn(path, 4.6 * len(runs) + 0.6, 3.8) as figure:
        panels = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
        for axes, run in zip(panels, runs, strict=True):
            for curve in run.curves:
                source = "training crops" if curve.recorded else "snapshots on given pictures"
                look = {"linewidth": 0.9, "alpha": 0.8} if curve.recorded else {"marker": "o", "markersize": 3}
                label = f"{titles[curve.loss]}, {source}"
                axes.plot(curve.iterations, curve.values, color=colours[curve.loss], label=label, **look)
                if curve.weight != 1:
                    weighted = [curve.weight * value for value in curve.values]
                    label = f"{curve.weight:g} x {titles[curve.loss]}, {source}"
                    axes.plot(curve.iterations, weighted, color=COLOURS[1], label=label, **look)
            line(axes)
            axes.set(title=run.title, xlabel="iteration", yscale="log")
            axes.legend(frameon=False, fontsize=7)
        panels[0].set_ylabel("loss")


def _weights(run: Path) -> dict[LossName, float]:
    """Return both losses' weights: the run's own for its fidelity loss, the paper's for the other."""
    config = Run(run).recipe().perceptual
    if config is None:
        raise RunError(f"{run}: its recipe has no perceptual stage; name a run that has one.")
    own = {config.fidelity_loss.type: config.fidelity_loss.weight}
    return {"pixel": own.get("pixel", PIXEL_WEIGHT), "aesop": own.get("aesop", AESOP_WEIGHT)}
