"""The demo's measurements, and what its report tells of the training."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from joblib import cpu_count

from aesop.autoencoder import AutoEncoder
from aesop.demo.photos import PACKAGE, Photos
from aesop.evaluation.curves import Curve, between, evaluate_curves
from aesop.evaluation.evaluate import Evaluation, evaluate
from aesop.evaluation.model_names import BICUBIC
from aesop.evaluation.pictures import pictures
from aesop.networks.state_dicts import read_state
from aesop.reports.report import write_report
from aesop.reports.training import StageLog, TrainingSection
from aesop.run import Run
from aesop.training.record import run_recipe

METRICS = ("psnr", "ssim", "lr-psnr", "ae-psnr", "lpips-proxy")
#: Networks between the fidelity network (0) and a perceptual one (1), for the curves.
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)

#: The models in tables, bicubic aside.
FIDELITY, PIXEL, AESOP = "fidelity", "pixel", "aesop"


def measure(folder: Path, runs: Mapping[str, Run], photos: Photos, given: Path) -> Evaluation:
    """Measure bicubic and all networks on the held-out pictures; write results.json and report.html to `folder`.

    `given` is the folder as the user named it, for the commands that the report prints.
    """
    ours = runs[AESOP]
    networks = {FIDELITY: ours.stage("fidelity").network}
    networks |= {name: run.stage("perceptual").network for name, run in runs.items()}
    measured = partial(evaluate, benchmarks=[photos.held_out], scale=run_recipe(ours).scale)
    with TemporaryDirectory(prefix="aesop-demo-") as scratch:
        evaluation = measured(
            {BICUBIC: BICUBIC, **networks},
            metrics=METRICS,
            autoencoder=ours.stage("autoencoder").network,
            against=PIXEL,
            sr_folder=Path(scratch),
        )
        evaluation.to_json(folder / "results.json")
        curves = [
            Curve(f"{FIDELITY} to {name}", between(networks[FIDELITY], networks[name], Path(scratch), name, ALPHAS))
            for name in runs
        ]
        training = TrainingSection(
            stage_log(ours, "fidelity"),
            stage_log(ours, "autoencoder"),
            {name: stage_log(run, "perceptual", f"perceptual stage, {name}") for name, run in runs.items()},
            facts=_facts(evaluation, runs, photos),
            commands=_commands(given),
        )
        write_report(
            evaluation,
            folder / "report.html",
            pictures(evaluation),
            curves=evaluate_curves(curves, partial(measured, metrics=("psnr", "lpips-proxy"))),
            starts=dict.fromkeys(runs, FIDELITY),
            training=training,
        )
    return evaluation


def stage_log(run: Run, stage: str, title: str = "") -> StageLog:
    """Read a stage's log and add up its time over interruptions."""
    log = run.stage(stage).read_log()
    seconds = [line["seconds"] for line in log]
    # The clock restarts with every process.
    ends = [a for a, b in zip(seconds, [*seconds[1:], -1.0], strict=True) if b < a]
    return StageLog(title or f"{stage} stage", run_recipe(run).iterations(stage), sum(ends), log)


def _facts(evaluation: Evaluation, runs: Mapping[str, Run], photos: Photos) -> list[tuple[str, str]]:
    recipe, twin = (run_recipe(runs[name]) for name in (AESOP, PIXEL))
    parameters = sum(value.numel() for value in read_state(runs[AESOP].stage("fidelity").network).values())
    encoder = AutoEncoder.load(runs[AESOP].stage("autoencoder").network).encoder
    encoder_parameters = sum(value.numel() for value in encoder.parameters())
    names, trained_on = list(evaluation.results[0].pictures), len(list(photos.training.iterdir()))
    origin = "the package scikit-image" if photos.source == PACKAGE else f"the folder {Path(photos.source).name}"
    return [
        ("recipes", f"{recipe.name} and {twin.name}, scale {recipe.scale}, seed {recipe.seed}"),
        ("pictures", f"{trained_on} to train on, {len(names)} held out ({', '.join(names)}); from {origin}"),
        ("networks", f"generator and decoder {parameters:,} parameters each, encoder {encoder_parameters:,}"),
        ("machine", f"{cpu_count()} CPU core{'s' if cpu_count() > 1 else ''}"),
    ]


def _commands(folder: Path) -> list[tuple[str, str]]:
    called = Path(sys.argv[0])  # a virtual environment that is not active has no PATH
    own = shlex.quote(os.path.relpath(called)) if called.name == "aesop" else "python -m aesop"
    aesop = "aesop" if shutil.which("aesop") else own
    model = shlex.quote(os.path.relpath(folder / "aesop"))
    commands = {
        "Upscale your pictures with the network just trained:": f"upscale PICTURES --model {model} --output upscaled",
        "Do all of this on your own photographs:": "demo --photos DIR --run my-demo",
        "Train the paper's full-size system (a GPU, DF2K or any large folder of pictures):": (
            "train aesop-rrdb-128 --data DIR --run runs/aesop"
        ),
    }
    return [(text, f"{aesop} {command}") for text, command in commands.items()]
