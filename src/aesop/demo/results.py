"""What the demo makes of its two trained runs: models, measurements and the report."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from aesop.analysis.regions import detailed_regions, enlarged, thumbnail
from aesop.autoencoder import AutoEncoder
from aesop.data.bicubic import resize
from aesop.demo.comparison import DISTORTION, PERCEPTION, Comparison, Method, ShownPicture, TrainedStage
from aesop.demo.photos import PACKAGE, Photos
from aesop.demo.side_by_side import cores
from aesop.evaluation.benchmarks import open_benchmark
from aesop.evaluation.evaluate import Evaluation, evaluate
from aesop.evaluation.model_names import BICUBIC
from aesop.networks.interpolate import interpolate
from aesop.networks.loading import load_generator
from aesop.networks.state_dicts import read_state, write_state
from aesop.progress import duration
from aesop.run import Run
from aesop.training.record import run_recipe
from aesop.upscaling.tiles import Upscaler

METRICS = ("psnr", "ssim", "lr-psnr", "ae-psnr", "lpips-proxy")
#: The perceptual network's share in the networks between it and the fidelity network.
SHARES = (0.25, 0.5, 0.75)

INTERPOLATION = Method(BICUBIC, "bicubic", "bicubic")
FIDELITY = Method("fidelity", "fidelity network", "fidelity")
PIXEL = Method("pixel", "pixel loss", "pixel")
AESOP = Method("aesop", "AESOP", "aesop")
#: The rows of the table.
METHODS = (INTERPOLATION, FIDELITY, PIXEL, AESOP)

#: Side of a crop in HR pixels, how many a picture has, and the largest side of a picture that shows where they are.
CROP, CROPS, OVERVIEW = 72, 3, 400


def collect_models(folder: Path, runs: Mapping[Method, Run]) -> dict[str, Path]:
    """Put the fidelity network, the runs' perceptual networks and those between them into `folder`, by short names.

    Weights are interpolated linearly: (1 - share) * fidelity + share * perceptual.
    """
    ours = runs[AESOP]
    fidelity = read_state(ours.stage("fidelity").network)
    models = {FIDELITY.model: folder / f"{FIDELITY.model}.safetensors"}
    write_state(models[FIDELITY.model], fidelity, {"from": "the demo's fidelity stage"})
    for method, run in runs.items():
        perceptual = read_state(run.stage("perceptual").network)
        for share in (*SHARES, 1.0):
            name = _name(method, share)
            models[name] = folder / f"{name}.safetensors"
            mixed = interpolate(fidelity, perceptual, share)
            write_state(models[name], mixed, {"from": f"{method.title}, share {share:g} of its perceptual network"})
    return models


def measure(models: Mapping[str, Path], photos: Photos, autoencoder: Path, scale: int) -> Evaluation:
    """Measure bicubic and all models on the held-out pictures; those between two networks by the plane's axes alone."""
    rows = [method.model for method in METHODS]
    folders = [photos.held_out]
    networks = [models[name] for name in rows if name != BICUBIC]
    evaluation = evaluate([BICUBIC, *networks], folders, scale=scale, metrics=METRICS, autoencoder=autoencoder)
    between = evaluate(
        [path for name, path in models.items() if name not in rows],
        folders,
        scale=scale,
        metrics=(DISTORTION, PERCEPTION),
    )
    return replace(
        evaluation,
        models=evaluation.models + between.models,
        results=evaluation.results + between.results,
        failures=evaluation.failures + between.failures,
    )


def table(evaluation: Evaluation) -> Evaluation:
    """Return the part of the evaluation that the table shows: without the models in between."""
    rows = [method.model for method in METHODS]
    return replace(
        evaluation,
        models=rows,
        results=[result for result in evaluation.results if result.model in rows],
        failures=[failure for failure in evaluation.failures if failure.model is None or failure.model in rows],
    )


def describe(
    evaluation: Evaluation, models: Mapping[str, Path], runs: Mapping[Method, Run], photos: Photos, folder: Path
) -> Comparison:
    """Gather what the report tells."""
    return Comparison(
        evaluation=evaluation,
        benchmark=evaluation.benchmarks[0],
        methods=METHODS,
        ours=AESOP,
        baseline=PIXEL,
        start=FIDELITY,
        interpolations={
            method: [
                (0.0, FIDELITY.model),
                *((share, _name(method, share)) for share in (*SHARES, 1.0)),
            ]
            for method in runs
        },
        fidelity_stage=trained(runs[AESOP], "fidelity"),
        autoencoder_stage=trained(runs[AESOP], "autoencoder"),
        ours_stage=trained(runs[AESOP], "perceptual"),
        baseline_stage=trained(runs[PIXEL], "perceptual"),
        pictures=_shown(models, photos, run_recipe(runs[AESOP]).scale),
        facts=_facts(evaluation, runs, photos),
        commands=_commands(folder),
    )


def trained(run: Run, stage: str) -> TrainedStage:
    """Read a stage's log and add up its time, also over interruptions."""
    log = run.stage(stage).read_log()
    seconds = [line["seconds"] for line in log]
    # The clock starts anew with every process that worked on the stage.
    ends = [a for a, b in zip(seconds, [*seconds[1:], -1.0], strict=True) if b < a]
    return TrainedStage(stage, run_recipe(run).iterations(stage), sum(ends), log)


def _name(method: Method, share: float) -> str:
    return method.model if share == 1 else f"{method.model}-{share:g}"


def _shown(models: Mapping[str, Path], photos: Photos, scale: int) -> list[ShownPicture]:
    upscalers = {
        method.title: Upscaler(load_generator(models[method.model]).model, scale)
        for method in METHODS
        if method.model != BICUBIC
    }
    shown = []
    for pair in open_benchmark(photos.held_out, scale).pairs:
        hr, lr = pair.read(scale)
        side = min(CROP, *hr.shape[-2:]) // scale * scale
        places = detailed_regions(hr, lr, CROPS, side)
        whole = {"LR": enlarged(lr, scale), INTERPOLATION.title: resize(lr, scale)}
        whole |= {title: upscale(lr) for title, upscale in upscalers.items()} | {"HR": hr}
        crops = [{title: place.cut(picture) for title, picture in whole.items()} for place in places]
        shown.append(ShownPicture(pair.name, hr.shape[1], hr.shape[2], thumbnail(hr, OVERVIEW), places, crops))
    return shown


def _facts(evaluation: Evaluation, runs: Mapping[Method, Run], photos: Photos) -> list[tuple[str, str]]:
    recipe = run_recipe(runs[AESOP])
    parameters = sum(value.numel() for value in read_state(runs[AESOP].stage("fidelity").network).values())
    autoencoder = AutoEncoder.load(runs[AESOP].stage("autoencoder").network)
    encoder = sum(value.numel() for value in autoencoder.encoder.parameters())
    stages = [
        (f"{stage} stage{who}", trained(run, stage))
        for run, stage, who in (
            (runs[AESOP], "fidelity", ""),
            (runs[AESOP], "autoencoder", ""),
            (runs[AESOP], "perceptual", ", AESOP"),
            (runs[PIXEL], "perceptual", ", pixel loss (beside it)"),
        )
    ]
    names = list(evaluation.results[0].pictures)
    trained_on = sum(1 for path in photos.training.iterdir() if path.is_file())
    return [
        ("recipes", f"{recipe.name} and {runs[PIXEL].recipe().name}, scale {recipe.scale}, seed {recipe.seed}"),
        ("pictures", f"{trained_on} to train on, {len(names)} held out ({', '.join(names)}); from {_origin(photos)}"),
        ("networks", f"generator and decoder {parameters:,} parameters each, encoder {encoder:,}"),
        *((name, f"{stage.iterations:,} iterations, {duration(stage.seconds)}") for name, stage in stages),
        ("machine", f"{cores()} CPU core{'s' if cores() > 1 else ''}"),
        ("versions", ", ".join(f"{name} {number}" for name, number in evaluation.versions.items())),
        ("measured", "Y channel, 4 border pixels cropped, 8 bit (PSNR, SSIM)".replace("4", str(recipe.scale))),
    ]


def _origin(photos: Photos) -> str:
    return "the package scikit-image" if photos.source == PACKAGE else f"the folder {Path(photos.source).name}"


def _commands(folder: Path) -> list[tuple[str, str]]:
    aesop = "aesop" if shutil.which("aesop") else _own_command()
    model = shlex.quote(str(folder / "models" / "aesop.safetensors"))
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


def _own_command() -> str:
    """Return how this process was called, if by the command: a virtual environment that is not active has no PATH."""
    called: Sequence[str] = sys.argv
    return shlex.quote(called[0]) if called and Path(called[0]).name == "aesop" else "python -m aesop"
