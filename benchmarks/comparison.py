"""Compares the paper's fidelity losses and baselines at laptop size: same start, same pictures, same iterations.

    python benchmarks/comparison.py --data DIR --benchmark DIR [--benchmark DIR] --work DIR [--seeds 3] [--quick]

Trains the fidelity network and two auto-encoders, (b) and (c) of table 3. From these it trains every system below, once
per seed, measures all of them on the benchmarks and prints tables: the mean over the seeds and half their range.
Finished trainings are not repeated. `--quick` runs a few iterations of each, to try the script.

All systems use the `laptop` recipe's generator, so only the losses and the discriminator differ. SPSR is therefore
represented by its gradient losses, without the generator's gradient branch.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from aesop.autoencoder import AutoEncoder
from aesop.data.benchmarks import open_benchmark
from aesop.data.pictures import to_float
from aesop.evaluation.evaluate import Evaluation, evaluate
from aesop.metrics import METRICS
from aesop.metrics.psnr import psnr
from aesop.networks.loading import load_generator
from aesop.training.recipe_files import load_recipe
from aesop.training.train import train
from markdown_tables import table

#: The networks that every system starts from. The auto-encoder trains for four times the laptop recipe's iterations.
HELD_OUT = "data.held_out=8"
START = ("fidelity.iterations=4000", "autoencoder.iterations=8000", "perceptual=null", HELD_OUT)
WITHOUT_LR_TERM = "autoencoder.lr_weight=0"

#: Title, recipe and overrides. The weights are the papers' where the laptop recipe keeps them; the adversarial loss on
#: gradient maps is scaled down in the same way as the laptop recipe scales the other adversarial loss.
FROM_B, FROM_C = "autoencoder.weights=<b>", "autoencoder.weights=<c>"
CONV5_4 = "perceptual.perceptual_loss.features.blocks={0: 0.0, 2: 0.0, 4: 0.0, 10: 1.0}"
NO_ARTIFACT = "perceptual.artifact_loss.weight=0"
SYSTEMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ESRGAN": ("laptop-pixel", (CONV5_4, NO_ARTIFACT)),
    "SPSR (gradient losses)": (
        "laptop-pixel",
        (CONV5_4, NO_ARTIFACT, "perceptual.gradient_loss={weight: 0.01, adversarial_weight: 0.002}"),
    ),
    "LDL": ("laptop-pixel", ()),
    "CALGAN": (
        "laptop-pixel",
        (NO_ARTIFACT, "perceptual.discriminator={type: calgan, features: 8, experts: 12}"),
    ),
    "low-pass": ("laptop-pixel", ("perceptual.fidelity_loss={type: low-pass, weight: 0.01}",)),
    "AESOP (a)": ("laptop", ("autoencoder.encoder=bicubic",)),
    "AESOP (b)": ("laptop", (FROM_B,)),
    "AESOP (c)": ("laptop", (FROM_C,)),
    "pixel, weight 1": ("laptop-pixel", ("perceptual.fidelity_loss.weight=1",)),
    "LR consistency": ("laptop-pixel", ("perceptual.fidelity_loss={type: lr-consistency, weight: 1.0}",)),
}
METRIC_NAMES = ("psnr", "ssim", "lr-psnr", "ae-psnr", "lpips-proxy")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="pictures to train on")
    parser.add_argument("--benchmark", type=Path, action="append", required=True, help="repeatable")
    parser.add_argument("--work", type=Path, required=True, help="folder for all runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="three iterations of everything")
    asked = parser.parse_args()
    quick = ("steps=3",) if asked.quick else ()
    # One thread per process: two processes are faster than one process with two threads.
    with ProcessPoolExecutor(asked.processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        # Both auto-encoders start from one fidelity network.
        pool.submit(trained, "laptop", (*START, *quick), asked.data, asked.work, "c").result()
        network = f"fidelity.weights={asked.work / 'c/fidelity/generator.safetensors'}"
        without = (*START, *quick, network, WITHOUT_LR_TERM)
        pool.submit(trained, "laptop", without, asked.data, asked.work, "b").result()
        files = {name: str(asked.work / name / "autoencoder/autoencoder.safetensors") for name in "bc"}
        jobs = []
        for seed in range(asked.seeds):
            for title, (recipe, settings) in SYSTEMS.items():
                named = (setting.replace("<b>", files["b"]).replace("<c>", files["c"]) for setting in settings)
                overrides = (HELD_OUT, network, f"seed={seed}", *quick, *named)
                jobs.append(pool.submit(trained, recipe, overrides, asked.data, asked.work, run_name(title, seed)))
        for job in jobs:
            job.result()
        evaluations = list(
            pool.map(measured, range(asked.seeds), [asked.work] * asked.seeds, [asked.benchmark] * asked.seeds)
        )
    for folder, benchmark in zip(asked.benchmark, evaluations[0].benchmarks, strict=True):
        print(f"\n{benchmark}: what the auto-encoders keep of HR\n")
        print(autoencoders(asked.work, folder))
        print(f"\n{benchmark}\n")
        print(systems(evaluations, benchmark))


def run_name(title: str, seed: int) -> str:
    letters = "".join(letter if letter.isalnum() else "-" for letter in title.lower())
    return f"{letters.strip('-')}-{seed}"


def trained(recipe: str, overrides: Sequence[str], data: Path, work: Path, name: str) -> None:
    train(load_recipe(recipe, overrides), data, work / name, store=work / "store", device="cpu", say=lambda _: None)


def measured(seed: int, work: Path, benchmarks: list[Path]) -> Evaluation:
    models = ["bicubic", work / "c/fidelity/generator.safetensors"]
    models += [work / run_name(title, seed) for title in SYSTEMS]
    return evaluate(models, benchmarks, scale=4, metrics=METRIC_NAMES, autoencoder=work / "c")


@torch.inference_mode()
def autoencoders(work: Path, folder: Path) -> str:
    """A Markdown table of PSNR: of AE(HR), the fidelity network's G(LR) and the bottleneck E(HR)."""
    rows = []
    generator = load_generator(work / "c/fidelity/generator.safetensors").model
    pairs = [pair.read(4) for pair in open_benchmark(folder, 4).pairs]
    for name in "bc":
        autoencoder = AutoEncoder.load(work / name)
        values = []
        for hr, lr in ((to_float(image.unsqueeze(0)) for image in pair) for pair in pairs):
            bottleneck, output = autoencoder.bottleneck_and_output(hr)
            values.append([psnr(*images, border).item() for images, border in (
                ((output, hr), 4), ((generator(lr), hr), 4), ((bottleneck, lr), 1),
            )])  # fmt: skip
        means = torch.tensor(values).mean(dim=0).tolist()
        rows.append([f"({name})", *(f"{mean:.2f}" for mean in means)])
    return table(["", "AE(HR) against HR", "G(LR) against HR", "E(HR) against LR"], rows)


def systems(evaluations: Sequence[Evaluation], benchmark: str) -> str:
    """A Markdown table with one row per system: the mean over the seeds and half their range."""
    heads = [METRICS[name] for name in METRIC_NAMES]
    rows = []
    for row, title in enumerate(["bicubic", "fidelity network", *SYSTEMS]):
        cells = []
        for metric in METRIC_NAMES:
            means = [found.result(found.models[row], benchmark, metric).mean for found in evaluations]
            values = [value for value in means if value is not None]
            digits = 2 if METRICS[metric].unit == "dB" else 4
            spread = (max(values) - min(values)) / 2 if values else 0.0
            mean = sum(values) / len(values) if values else float("nan")
            cells.append(f"{mean:.{digits}f}" + (f" ± {spread:.{digits}f}" if spread else ""))
        rows.append([title, *cells])
    return table(["", *(f"{head.title} {head.arrow}" for head in heads)], rows)


if __name__ == "__main__":
    main()
