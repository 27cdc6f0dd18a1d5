"""The study of docs/evidence.md: does the AESOP loss do what the paper says?

    python benchmarks/evidence.py train --preset box --data DIR --work DIR [--only NAME]
    python benchmarks/evidence.py train --preset dat|gpu --weights DAT_light_x4.pth --data DIR --work DIR [--only NAME]
    python benchmarks/evidence.py measure --preset NAME --benchmark DIR [--benchmark DIR] --work DIR [--only NAME]
    python benchmarks/evidence.py autoencoders --preset NAME --benchmark DIR --work DIR
    python benchmarks/evidence.py crops --preset NAME --benchmark DIR [--benchmark DIR] --work DIR
    python benchmarks/evidence.py tables

Presets: `box` starts from a small network of this repository, `dat` from DAT-light with another head, both on a CPU;
`gpu` is `dat` with the paper's crops on an accelerator. `train` makes the start, the auto-encoders and each method's
perceptual network, one run folder each; it skips finished runs and resumes interrupted ones. `measure` writes the
values of each finished network to a JSON file in benchmarks/evidence/results and keeps its SR pictures, from which
`crops` draws a figure. `autoencoders` measures which share of HR's high frequencies the start and each auto-encoder
keep. `tables` writes the tables of docs/evidence.md and draws its curves from these files alone; it can be repeated.
`--only` limits `train` and `measure` to some run folders, to share the work among processes.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aesop import AutoEncoder, box, load_generator
from aesop.data.benchmarks import open_benchmark
from aesop.data.pictures import to_float
from aesop.errors import AesopError, RunError
from aesop.evaluation.evaluate import evaluate
from aesop.evaluation.pictures import sr_path
from aesop.files import atomic_path, write_atomically
from aesop.metrics.spectrum import radial_spectrum
from aesop.networks.interpolate import interpolate_to_files
from aesop.networks.loading import generator_section
from aesop.run import Run
from aesop.training.loop import MOST_SKIPPED
from aesop.training.recipe_files import load_recipe
from aesop.training.train import train
from evidence_crops import draw_crops
from evidence_page import FIGURES, LOGS, write_page
from evidence_tables import ALPHAS, FIDELITY, SCORES
from real_or_fake import accuracies, pictures_of

HERE = Path(__file__).parent / "evidence"
RESULTS = HERE / "results"
#: Where each preset computes: the CPU gives the same values again.
DEVICES = {"box": "cpu", "dat": "cpu", "gpu": "auto"}
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

#: The start of `box`: the network in the box after its first training, by models/clean-x4.yaml.
START = HERE / "start-box.safetensors"
#: Finished networks that a preset copies instead of training them: stage and file.
JUDGE = {"ae-judge": ("autoencoder", HERE / "judge-box.safetensors")}
GIVEN = {
    "box": JUDGE
    | {
        "start": ("fidelity", START),
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
    names = ("train", "measure", "autoencoders", "crops")
    training, measuring, looking, drawing = (commands.add_parser(name) for name in names)
    commands.add_parser("tables")
    training.add_argument("--weights", type=Path, help="DAT-light's file, for the presets dat and gpu")
    training.add_argument("--data", type=Path, required=True, help="pictures to train on")
    training.add_argument("--steps", type=int, help="iterations of every stage, to try the script")
    for command in (training, measuring, looking, drawing):
        command.add_argument("--preset", choices=DEVICES, required=True)
        command.add_argument("--work", type=Path, required=True, help="folder for all runs of the preset")
    for command in (training, measuring):
        command.add_argument("--only", action="append", help="a run folder's name, repeatable (default: all)")
    for command in (measuring, looking, drawing):
        command.add_argument("--benchmark", type=Path, action="append", required=True, help="repeatable")
    asked = parser.parse_args()
    known = {"start", *AUTOENCODERS, *(f"{name}-{seed}" for name in METHODS for seed in SEEDS)}
    if unknown := set(getattr(asked, "only", None) or ()) - known:
        parser.error(f"--only {min(unknown)}: no run folder of the study; choose from {', '.join(sorted(known))}")
    try:
        if asked.command == "train":
            train_all(asked)
        elif asked.command == "measure":
            measure_all(asked.work, asked.benchmark, RESULTS / asked.preset, DEVICES[asked.preset], asked.only)
        elif asked.command == "autoencoders":
            write(LOGS / asked.preset / "high-frequencies.json", high_frequencies(asked.work, asked.benchmark))
        elif asked.command == "crops":
            folders = {name: asked.work / "sr" / name for name in ("start", *(f"{name}-0" for name in METHODS))}
            titles = {"start": "fidelity network"} | {f"{name}-0": method.title for name, method in METHODS.items()}
            measured = {titles[name]: folder for name, folder in folders.items() if folder.is_dir()}
            draw_crops(asked.benchmark, measured, FIGURES / f"evidence-{asked.preset}-crops.jpg")
        else:
            measured = {preset: RESULTS / preset for preset in DEVICES if (RESULTS / preset).is_dir()}
            write_page(measured, {name: method.title for name, method in METHODS.items()})
    except AesopError as error:
        parser.exit(2, f"evidence.py: {error}\n")


def train_all(asked: argparse.Namespace) -> None:
    """Train the start, the auto-encoders and all methods, seed by seed."""
    work: Path = asked.work
    device = DEVICES[asked.preset]
    steps = [f"steps={asked.steps}"] if asked.steps else []
    if asked.preset != "box" and asked.weights is None:
        raise AesopError(f"--preset {asked.preset} needs --weights, the file of DAT-light.")
    released = str(START if asked.preset == "box" else asked.weights.resolve())

    failed: list[str] = []

    def run(name: str, recipe: str, *overrides: str) -> None:
        if asked.only is None or name in asked.only:
            loaded = load_recipe(str(HERE / f"{recipe}-{asked.preset}.yaml"), [*overrides, *steps])
            try:
                train(loaded, asked.data, work / name, store=work / "store", device=device)
            except RunError as error:  # it may have diverged: the others are trained all the same
                failed.append(f"{name}: {error}")

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
    if failed:
        raise AesopError("\n".join(failed))


def measure_all(
    work: Path, benchmarks: list[Path], results_folder: Path, device: str, only: list[str] | None = None
) -> None:
    """Measure the start, every finished network and the networks between the two; note trainings that went wrong."""
    results_folder.mkdir(parents=True, exist_ok=True)
    start, judge = Run(work / "start").stage("fidelity").network, Run(work / "ae-judge").stage("autoencoder").network
    names = [f"{name}-{seed}" for seed in SEEDS for name in METHODS]
    finished = [name for name in names if Run(work / name).stage("perceptual").network.is_file()]
    if not start.is_file() or not judge.is_file() or not finished:
        raise AesopError(f"{work}: holds no start, no judge or no finished network; call `evidence.py train` first.")
    for name in ["start", *names]:
        if only is not None and name not in only:
            continue
        run = Run(work / name)
        if name not in ("start", *finished):
            if why := diverged(run):
                document = {
                    "recipe": recipe_of(run, work),
                    "versions": {},
                    "wrong": [why],
                    "values": {},
                    "real-or-fake": {},
                }
                write(results_folder / f"{name}.json", document)
            continue
        network = start if name == "start" else run.stage("perceptual").network
        pictures = work / "sr" / name
        found = evaluate(
            {"1": network}, benchmarks, metrics=METRICS, autoencoder=judge, sr_folder=pictures, device=device
        )
        results = list(found.results)
        if name != "start":
            between = {work / "between" / name / f"{alpha:g}.safetensors": alpha for alpha in ALPHAS if 0 < alpha < 1}
            for path in between:
                path.parent.mkdir(parents=True, exist_ok=True)
            interpolate_to_files(start, network, between)
            models = {f"{alpha:g}": path for path, alpha in between.items()}
            results += evaluate(models, benchmarks, metrics=(*FIDELITY, *SCORES), device=device).results
        document = {
            "recipe": "" if name == "start" else recipe_of(run, work),
            "versions": found.versions,
            "wrong": [] if name == "start" else what_went_wrong(run),
            "values": {f"{result.benchmark} {result.metric} {result.model}": result.pictures for result in results},
            "real-or-fake": {folder.name: real_or_fake(folder, pictures) for folder in benchmarks if _is_large(folder)},
        }
        write(results_folder / f"{name}.json", document)


@torch.inference_mode()
def high_frequencies(work: Path, benchmarks: list[Path]) -> dict[str, float]:
    """Percent of HR's energy beyond LR's band that the start and each auto-encoder keep: the mean over pictures."""
    start = load_generator(Run(work / "start").stage("fidelity").network).model
    files = {name: Run(work / name).stage("autoencoder").network for name in AUTOENCODERS}
    networks = {name: AutoEncoder.load(file) for name, file in files.items() if file.is_file()}
    found: dict[str, list[float]] = {name: [] for name in ("start", *networks)}
    for pair in (pair for folder in benchmarks for pair in open_benchmark(folder, 4).pairs):
        hr, lr = (to_float(picture)[None] for picture in pair.read(4))
        energy = energy_beyond(hr, 4)
        for name, made in {"start": start(lr), **{name: network(hr) for name, network in networks.items()}}.items():
            found[name].append(100 * energy_beyond(made.clamp(0, 1), 4) / energy)
    return {name: sum(values) / len(values) for name, values in found.items()}


def energy_beyond(images: Tensor, scale: int) -> float:
    """Energy of grey images (1, 3, H, W) at frequencies from 1/(2 scale) to 1/2 cycle per pixel."""
    mean = radial_spectrum(images)[0]
    frequencies = torch.arange(len(mean)) + 0.5  # as many coefficients lie in a ring as it is long
    return float((mean * frequencies)[len(mean) // scale :].sum())


def recipe_of(run: Run, work: Path) -> str:
    return run.recipe_file.read_text(encoding="utf-8").replace(f"{work}/", "")


def write(path: Path, document: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


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
    """Reasons why a finished training's values mean nothing: a discriminator that has won."""
    log = [entry for entry in run.stage("perceptual").read_log() if entry["kind"] == "loss"]
    last = log[-max(1, len(log) // 5) :]
    found = []
    if last and sum(entry.get("discriminator", 1.0) for entry in last) / len(last) < 0.02:
        found.append("the discriminator won (its loss is below 0.02)")
    return found


def diverged(run: Run) -> str:
    """Why an unfinished training cannot go on: its last iterations were skipped. Otherwise nothing."""
    log = run.stage("perceptual").read_log()
    skipped = {entry["iteration"]: entry["why"] for entry in log if entry["kind"] == "skipped"}
    last = max((entry["iteration"] for entry in log), default=0)
    if any(last - back not in skipped for back in range(MOST_SKIPPED)):
        return ""
    return f"training diverged ({skipped[last]} in iteration {last})"


if __name__ == "__main__":
    main()
