"""The study of docs/evidence.md: does the AESOP loss do what the paper says?

    python benchmarks/evidence.py train --preset box --data DIR --work DIR [--only NAME]
    python benchmarks/evidence.py train --preset dat|gpu --weights DAT_light_x4.pth --data DIR --work DIR [--only NAME]
    python benchmarks/evidence.py measure --preset NAME --benchmark DIR [--benchmark DIR] --work DIR [--only NAME]
    python benchmarks/evidence.py crops --preset NAME --benchmark DIR [--benchmark DIR] --work DIR
    python benchmarks/evidence.py tables

Presets: `box` starts from the small network in the box, `dat` from DAT-light with another head, both on a CPU; `gpu` is
`dat` with the paper's crops on an accelerator. `train` makes the start, the auto-encoders and each method's perceptual
network, one run folder each; it skips finished runs and resumes interrupted ones. `measure` writes the values of each
finished network to a JSON file in benchmarks/evidence/results and keeps its SR pictures, from which `crops` draws a
figure. `tables` writes the tables of docs/evidence.md and draws its curves from these JSON files alone; it can be
repeated. `--only` limits `train` and `measure` to some run folders, to share the work among processes.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from aesop import box
from aesop.data.benchmarks import open_benchmark
from aesop.data.pictures import to_float
from aesop.errors import AesopError
from aesop.evaluation.evaluate import evaluate
from aesop.evaluation.pictures import sr_path
from aesop.files import atomic_path, write_atomically
from aesop.networks.interpolate import interpolate_to_files
from aesop.networks.loading import generator_section
from aesop.run import Run
from aesop.training.recipe_files import load_recipe
from aesop.training.train import train
from evidence_crops import draw_crops
from evidence_page import FIGURES, write_page
from evidence_tables import ALPHAS, FIDELITY, SCORES
from real_or_fake import accuracies, pictures_of

HERE = Path(__file__).parent / "evidence"
RESULTS = HERE / "results"
PRESETS = ("box", "dat", "gpu")
SEEDS = (0, 1)
METRICS = (
    "psnr", "ssim", "lr-psnr", "ae-psnr", "se", "ve", "ve-hr", "niqe", "lpips-proxy", "spectrum", "grid", "grid-hr",
)  # fmt: skip

#: Every auto-encoder's settings. AE-PSNR, SE and VE are measured with the judge; no network trains with it.
AUTOENCODERS = {
    "ae-lr0.1": ("autoencoder.lr_weight=0.1",),
    "ae-lr1": ("autoencoder.lr_weight=1",),
    "ae-lr0.02": ("autoencoder.lr_weight=0.02",),
    "ae-b": ("autoencoder.lr_weight=0",),
    "ae-compact": (
        "autoencoder.lr_weight=0.1", "autoencoder.decoder={type: upconv, features: 32, blocks: 4, head: 16}",
        "autoencoder.iterations=6000", "autoencoder.learning_rate=1e-3",
    ),
    "ae-judge": ("autoencoder.lr_weight=0.1", "seed=1"),
}  # fmt: skip

#: Finished networks that a preset copies instead of training them: stage and file.
JUDGE = {"ae-judge": ("autoencoder", HERE / "judge-box.safetensors")}
GIVEN = {
    "box": JUDGE
    | {
        "start": ("fidelity", box.models()["clean-x4"]),
        "ae-lr0.1": ("autoencoder", box.models()["auto-encoder-x4"]),
    },
    "dat": JUDGE,
    "gpu": {},
}


@dataclass(frozen=True)
class Method:
    """A fidelity term: its recipe section and the auto-encoder that it needs (`bicubic` for table 3's config (a))."""

    title: str
    fidelity_loss: str
    autoencoder: str | None = None


METHODS = {
    "ldl": Method("pixel 0.01 (LDL)", "{type: pixel, weight: 0.01}"),
    "lr-consistency": Method("LR consistency", "{type: lr-consistency, weight: 1.0}"),
    "aesop": Method("AESOP (c)", "{type: aesop, weight: 1.0}", "ae-lr0.1"),
    "pixel-1": Method("pixel 1", "{type: pixel, weight: 1.0}"),
    "low-pass": Method("low-pass 0.01", "{type: low-pass, weight: 0.01}"),
    "aesop-a": Method("AESOP (a)", "{type: aesop, weight: 1.0}", "bicubic"),
    "aesop-b": Method("AESOP (b)", "{type: aesop, weight: 1.0}", "ae-b"),
    "aesop-compact": Method("AESOP (c), compact", "{type: aesop, weight: 1.0}", "ae-compact"),
    "aesop-lr1": Method("AESOP (c), LR term 1", "{type: aesop, weight: 1.0}", "ae-lr1"),
    "aesop-lr0.02": Method("AESOP (c), LR term 0.02", "{type: aesop, weight: 1.0}", "ae-lr0.02"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    training, measuring, drawing = (commands.add_parser(name) for name in ("train", "measure", "crops"))
    commands.add_parser("tables")
    training.add_argument("--weights", type=Path, help="DAT-light's file, for the presets dat and gpu")
    training.add_argument("--data", type=Path, required=True, help="pictures to train on")
    training.add_argument("--steps", type=int, help="iterations of every stage, to try the script")
    for command in (training, measuring, drawing):
        command.add_argument("--preset", choices=PRESETS, required=True)
        command.add_argument("--work", type=Path, required=True, help="folder for all runs of the preset")
    for command in (training, measuring):
        command.add_argument("--only", action="append", help="a run folder's name, repeatable (default: all)")
    for command in (measuring, drawing):
        command.add_argument("--benchmark", type=Path, action="append", required=True, help="repeatable")
    asked = parser.parse_args()
    try:
        if asked.command == "train":
            train_all(asked)
        elif asked.command == "measure":
            measure_all(asked.work, asked.benchmark, RESULTS / asked.preset, asked.only)
        elif asked.command == "crops":
            folders = {name: asked.work / "sr" / name for name in ("start", *(f"{name}-0" for name in METHODS))}
            titles = {"start": "fidelity network"} | {f"{name}-0": method.title for name, method in METHODS.items()}
            measured = {titles[name]: folder for name, folder in folders.items() if folder.is_dir()}
            draw_crops(asked.benchmark, measured, FIGURES / f"evidence-{asked.preset}-crops.jpg")
        else:
            measured = {preset: RESULTS / preset for preset in PRESETS if (RESULTS / preset).is_dir()}
            write_page(measured, {name: method.title for name, method in METHODS.items()})
    except AesopError as error:
        parser.exit(2, f"evidence.py: {error}\n")


def train_all(asked: argparse.Namespace) -> None:
    """Train the start, the auto-encoders and all methods, seed by seed."""
    work: Path = asked.work
    device = "auto" if asked.preset == "gpu" else "cpu"
    steps = [f"steps={asked.steps}"] if asked.steps else []
    if asked.preset != "box" and asked.weights is None:
        raise AesopError(f"--preset {asked.preset} needs --weights, the file of DAT-light.")
    released = "clean-x4" if asked.preset == "box" else str(asked.weights.resolve())

    def run(name: str, recipe: str, *overrides: str) -> None:
        if asked.only is None or name in asked.only:
            loaded = load_recipe(str(HERE / f"{recipe}-{asked.preset}.yaml"), [*overrides, *steps])
            train(loaded, asked.data, work / name, store=work / "store", device=device)

    given = GIVEN[asked.preset]
    for name, (stage, file) in given.items():
        target = Run(work / name).stage(stage).network
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            shutil.copyfile(file, temporary)
    if "start" not in given:
        run("start", "study", f"fidelity.body_weights={released}", "perceptual=null")
    for name, settings in AUTOENCODERS.items():
        if name not in given:
            run(name, "autoencoder", f"fidelity.weights={released}", *settings)
    start = f"fidelity.weights={Run(work / 'start').stage('fidelity').network}"
    for seed in SEEDS:
        for name, method in METHODS.items():
            overrides = [start, f"seed={seed}", f"perceptual.fidelity_loss={method.fidelity_loss}"]
            if method.autoencoder == "bicubic":
                overrides += [
                    "autoencoder.encoder=bicubic",
                    f"autoencoder.decoder={json.dumps(generator_section(released))}",
                    f"autoencoder.decoder_weights={released}",
                ]
            elif method.autoencoder is not None:
                file = Run(work / method.autoencoder).stage("autoencoder").network
                overrides += [f"autoencoder.weights={file}"]
            run(f"{name}-{seed}", "study", *overrides)


def measure_all(work: Path, benchmarks: list[Path], results_folder: Path, only: list[str] | None = None) -> None:
    """Measure the start, every finished network and the networks between the two; note trainings that went wrong."""
    results_folder.mkdir(parents=True, exist_ok=True)
    start, judge = Run(work / "start").stage("fidelity").network, Run(work / "ae-judge").stage("autoencoder").network
    names = [f"{name}-{seed}" for seed in SEEDS for name in METHODS]
    finished = [name for name in names if Run(work / name).stage("perceptual").network.is_file()]
    if not start.is_file() or not finished:
        raise AesopError(f"{work}: holds no finished networks; call `evidence.py train` first.")
    for name in ["start", *finished]:
        if only is not None and name not in only:
            continue
        run = Run(work / name)
        network = start if name == "start" else run.stage("perceptual").network
        pictures = work / "sr" / name
        found = evaluate(
            {"1": network}, benchmarks, metrics=METRICS, autoencoder=judge, sr_folder=pictures, device="cpu"
        )
        results = list(found.results)
        if name != "start":
            between = {work / "between" / name / f"{alpha:g}.safetensors": alpha for alpha in ALPHAS if 0 < alpha < 1}
            for path in between:
                path.parent.mkdir(parents=True, exist_ok=True)
            interpolate_to_files(start, network, between)
            models = {f"{alpha:g}": path for path, alpha in between.items()}
            results += evaluate(models, benchmarks, metrics=(*FIDELITY, *SCORES), device="cpu").results
        document = {
            "recipe": "" if name == "start" else run.recipe_file.read_text(encoding="utf-8").replace(f"{work}/", ""),
            "versions": found.versions,
            "wrong": [] if name == "start" else what_went_wrong(run),
            "values": {f"{result.benchmark} {result.metric} {result.model}": result.pictures for result in results},
            "real-or-fake": {folder.name: real_or_fake(folder, pictures) for folder in benchmarks if _is_large(folder)},
        }
        write_atomically(results_folder / f"{name}.json", json.dumps(document, indent=1, allow_nan=False) + "\n")


def _is_large(folder: Path) -> bool:
    """Whether half of a benchmark's pictures are enough to train a classifier; Set5's and Set14's are not."""
    return len(open_benchmark(folder, 4).pairs) >= 50


def real_or_fake(folder: Path, pictures: Path) -> list[float]:
    """Accuracies of the classifiers on a benchmark's HR pictures and a network's SR pictures of them."""
    benchmark = open_benchmark(folder, 4)
    real = {pair.name: to_float(pair.read(4)[0]) for pair in benchmark.pairs}
    fake = pictures_of(sr_path(pictures, benchmark.name, "1", benchmark.pairs[0].name).parent)
    return accuracies([real[name] for name in fake], list(fake.values()))


def what_went_wrong(run: Run) -> list[str]:
    """Reasons why a training's values mean nothing: a loss that is NaN, or a discriminator that has won."""
    log = [entry for entry in run.stage("perceptual").read_log() if entry["kind"] == "loss"]
    last = log[-max(1, len(log) // 5) :]
    found = []
    if any(value != value for entry in log for value in entry.values() if isinstance(value, float)):
        found.append("a loss is not a number")
    if last and sum(entry.get("discriminator", 1.0) for entry in last) / len(last) < 0.02:
        found.append("the discriminator won (its loss is below 0.02)")
    return found


if __name__ == "__main__":
    main()
