"""Writes the tables of docs/evidence.md and draws its curves, from the results and logs of every preset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from aesop.files import atomic_path
from aesop.metrics import METRICS
from aesop.training.recipe_files import load_recipe
from evidence_claims import claims
from evidence_tables import ALPHAS, SCORES, Study, at_equal_psnr, at_equal_score, differences, means
from markdown_tables import fill, table

DOCS = Path(__file__).parents[1] / "docs"
PAGE, FIGURES = DOCS / "evidence.md", DOCS / "images"
PROTOCOL = Path(__file__).parent / "evidence"
LOGS = PROTOCOL / "logs"
#: What a preset's recipe leaves to the study: a start, and a fidelity term.
WITHOUT = ("fidelity.weights=clean-x4", "perceptual.fidelity_loss={type: pixel, weight: 0.01}")
CONTROLS = ("ldl", "lr-consistency")


def autoencoders(logs: Path) -> str:
    """A table of what each auto-encoder keeps at some iterations, from the validations in its log.

    At its end, also the share of HR's high frequencies, next to that of the fidelity network.
    """
    heads = ["auto-encoder", "iterations", "AE(HR), dB", "minus G(LR)", "E(HR) from LR, dB", "high frequencies, %"]
    kept = json.loads((logs / "high-frequencies.json").read_text(encoding="utf-8"))
    rows = [["G(LR)", "", "", "", "", f"{kept['start']:.0f}"]]
    for file in sorted(logs.glob("ae-*.jsonl")):
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        for line in lines:
            if line is lines[-1] or line["iteration"] in (500, 1000, 2000):
                gain = f"{line['ae_psnr'] - line['fidelity_psnr']:+.2f}"
                values = (f"{line['ae_psnr']:.2f}", gain, f"{line['bottleneck_psnr']:.1f}")
                share = f"{kept[file.stem]:.0f}" if line is lines[-1] and file.stem in kept else ""
                rows.append([file.stem.removeprefix("ae-"), str(line["iteration"]), *values, share])
    return table(heads, rows)


def draw(study: Study, path: Path) -> None:
    """Plot PSNR against each perceptual score: per method, one line from the fidelity to its perceptual network."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    axes = figure.subplots(1, len(SCORES))
    for score, plot in zip(SCORES, axes, strict=True):
        for method in study.methods:
            x, y = ([float(np.nanmean(study.mean(method, m, alpha))) for alpha in ALPHAS] for m in (score, "psnr"))
            plot.plot(x, y, marker="o", markersize=3, label=study.titles[method])
        plot.set_xlabel(f"{METRICS[score].title} (lower is better)")
        plot.grid(alpha=0.3)
    axes[0].set_ylabel("PSNR, dB")
    axes[-1].legend(fontsize=7)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})


def write_page(folders: Mapping[str, Path], titles: Mapping[str, str]) -> None:
    """Fill the tables of docs/evidence.md and draw its figures, from each preset's folder of results."""
    tables = {}
    for preset, folder in folders.items():
        recipe = load_recipe(str(PROTOCOL / f"study-{preset}.yaml"), WITHOUT)
        study = Study(folder, titles, recipe.model_dump(mode="json")["perceptual"])
        tables[f"{preset}: means"] = means(study)
        tables[f"{preset}: claims"] = claims(study)
        for control in CONTROLS:
            if control in study.seeds:
                tables[f"{preset}: against {control}"] = differences(study, control)
                tables[f"{preset}: equal {control}"] = at_equal_score(study, control)
                tables[f"{preset}: equal psnr {control}"] = at_equal_psnr(study, control)
        if any((LOGS / preset).glob("ae-*.jsonl")):
            tables[f"{preset}: auto-encoders"] = autoencoders(LOGS / preset)
        draw(study, FIGURES / f"evidence-{preset}.png")
    fill(PAGE, tables)
