"""Checks that every recipe trains with its full networks, and measures seconds per iteration and the least memory.

    python benchmarks/systems.py --data DIR [--only NAME ...] [--vgg19 FILE] [--output FILE.md]

Each recipe is trained with `aesop train` in its own process, for a few iterations with batches of one crop, the
smallest that the recipe allows. Prints a Markdown table. With `--output FILE.md`, results are also saved to FILE.json
after every recipe, so that an interrupted call can be resumed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from aesop.errors import RecipeError
from aesop.files import write_atomically
from aesop.networks.state_dicts import write_state
from aesop.run import STAGES, StageFolder
from aesop.training.recipe import PerceptualConfig
from aesop.training.recipe_files import load_recipe
from aesop.training.recipe_names import recipe_names

ITERATIONS = 3

#: Settings that make preparation and validation cheap.
CHEAP = ("data.held_out=1", "data.validation_crop=64", "data.workers=0")

#: Fewer pairs than iterations, so that pairs of earlier iterations are used.
POOL = ITERATIONS - 1

#: Runs a command and prints its peak memory and CPU seconds. A process inherits its parent's peak, and this script has
#: loaded torch, so the command is started from a small interpreter.
LAUNCHER = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_maxrss, used.ru_utime + used.ru_stime)
sys.exit(code if code >= 0 else 128 - code)
"""


@dataclass(frozen=True)
class Row:
    """What one recipe took; parameters are counted at the recipe's own crop."""

    settings: list[str]
    crops: dict[str, int]
    generator: int
    discriminators: list[int]
    seconds: dict[str, float]
    total_seconds: float
    cpu_seconds: float
    peak_gib: float


class TrainingError(Exception):
    """A recipe could not be trained; holds the command's output."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of two or more pictures")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=recipe_names(), help="only these recipes")
    parser.add_argument("--vgg19", type=Path, metavar="FILE", help="torchvision's weights (default: random)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="file for the table; results go to FILE.json")
    asked = parser.parse_args()
    store = asked.output and asked.output.with_suffix(".json")
    head = header(asked.vgg19)
    rows = kept(store, head)
    failed: dict[str, str] = {}
    names = asked.only or recipe_names()
    with tempfile.TemporaryDirectory(prefix="aesop-systems-") as folder:
        work = Path(folder)
        vgg19 = asked.vgg19.resolve() if asked.vgg19 else random_vgg19(work / "vgg19.safetensors")
        for number, name in enumerate(names, start=1):
            crops, settings = smallest(name)
            say = f"[{number}/{len(names)}] {name}"
            if name in rows and rows[name].settings == settings:
                tell(f"{say}: already measured")
                continue
            rows.pop(name, None)
            tell(f"{say}: crops {', '.join(f'{stage} {crop}' for stage, crop in crops.items())}")
            try:
                rows[name] = measured(name, crops, settings, asked.data, work, vgg19)
            except TrainingError as error:
                failed[name] = str(error)
                tell(f"{say}: FAILED\n{error}")
                continue
            tell(f"{say}: {rows[name].total_seconds:.1f} s, {rows[name].peak_gib:.2f} GiB")
            if store is not None:
                found = {name: asdict(row) for name, row in rows.items()}
                write_atomically(store, json.dumps({"header": head, "rows": found}, indent=1) + "\n")
    text = f"{head}\n\n{table(rows, failed)}\n"
    if asked.output is not None:
        write_atomically(asked.output, text)
    print(text)
    sys.exit(1 if failed else 0)


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def kept(store: Path | None, head: str) -> dict[str, Row]:
    """Rows that an earlier call saved under the same conditions."""
    if store is None or not store.is_file():
        return {}
    found = json.loads(store.read_text(encoding="utf-8"))
    return {name: Row(**row) for name, row in found["rows"].items()} if found["header"] == head else {}


def header(vgg19: Path | None) -> str:
    threads = torch.get_num_threads()
    return (
        f"Every recipe with its own networks, trained by `aesop train NAME steps={ITERATIONS}` in its own process, "
        "with batches of 1 and the smallest crops that the recipe allows (HR pixels, in brackets). "
        f"`{' '.join(CHEAP)}` keep preparation and validation cheap. Recipes with degradations also have the smallest "
        f"`degradation.source_crop` and, if they have a pool, one of {POOL} pairs; SPSR trains its fusion alone for "
        f"one iteration. VGG19's weights are {'its own' if vgg19 else 'random, which costs the same time and memory'}. "
        f"{threads} thread{'s' if threads > 1 else ''} of {os.cpu_count()} cores ({processor()}), "
        f"torch {torch.__version__}.\n\n"
        f"s/it: the median of the {ITERATIONS} iterations. Total: the whole command, with checkpoints and "
        "validation, and its CPU seconds in brackets; if these are far below total times threads, other programs "
        "used the cores, and s/it is too long by the same factor. Peak: resident memory of the process, including the "
        "libraries of Python and torch. G, D: parameters at the recipe's own crops; at smaller crops the VGG-style "
        "discriminator has fewer levels and parameters."
    )


def processor() -> str:
    """The processor's name, as far as the system reports it."""
    file = Path("/proc/cpuinfo")
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def smallest(name: str) -> tuple[dict[str, int], list[str]]:
    """Find the smallest crop that a recipe allows for each stage; return them and all settings of the trial."""
    recipe = load_recipe(name)
    crops: dict[str, int] = {}
    settings = [f"steps={ITERATIONS}", *CHEAP]
    for stage in recipe.trained_stages():
        step = recipe.scale * recipe.network(stage).multiple
        own = recipe.stage(stage).crop
        crops[stage] = next(legal(name, [], f"{stage}.crop", range(step, own + 1, step)))
        settings += [f"{stage}.batch=1", f"{stage}.crop={crops[stage]}", f"{stage}.log_every=1"]
    if recipe.degradation is not None:
        sides = range(recipe.scale, recipe.degradation.source_crop + 1, recipe.scale)
        settings.append(f"degradation.source_crop={next(legal(name, settings, 'degradation.source_crop', sides))}")
        if recipe.degradation.pool:
            settings.append(f"degradation.pool={POOL}")
    if recipe.perceptual is not None and recipe.perceptual.gradient_loss is not None:
        settings.append("perceptual.gradient_loss.fusion_iterations=1")
    return crops, settings


def legal(name: str, settings: list[str], key: str, values: range) -> Iterator[int]:
    """Yield the `values` that the recipe allows for `key`."""
    for value in values:
        try:
            load_recipe(name, [*settings, f"{key}={value}"])
        except RecipeError:
            continue
        yield value


def random_vgg19(path: Path) -> Path:
    """Write random weights under torchvision's names, scaled so that features keep their size from layer to layer."""
    layers = make_layers(cfgs["E"])
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    write_state(path, {f"features.{key}": value for key, value in layers.state_dict().items()}, {})
    return path


def measured(name: str, crops: dict[str, int], settings: list[str], data: Path, work: Path, vgg19: Path) -> Row:
    """Train a recipe with `aesop train`.

    Raises:
        TrainingError: if the command fails.

    """
    recipe = load_recipe(name)
    perceptual = recipe.perceptual
    files = []
    if perceptual is not None and perceptual.perceptual_loss.features.type == "vgg19":
        files = [f"perceptual.perceptual_loss.features.weights={vgg19}"]
    with tempfile.TemporaryDirectory(dir=work) as folder:
        run = Path(folder) / name
        places = ["--data", str(data), "--run", str(run), "--store", str(work / f"x{recipe.scale}")]
        command = [sys.executable, "-m", "aesop", "train", name, *places, "--device", "cpu", *settings, *files]
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", LAUNCHER, *command], capture_output=True, text=True, check=False)
        total = time.perf_counter() - start
        if done.returncode:
            raise TrainingError(f"{' '.join(command)}\nended with status {done.returncode}\n{done.stderr.strip()}")
        seconds = {stage: seconds_per_iteration(run / stage) for stage in crops}
    peak, cpu_seconds = done.stdout.split()[-2:]
    unit = 1024**3 if sys.platform == "darwin" else 1024**2
    return Row(
        settings=settings,
        crops=crops,
        generator=parameters(lambda: recipe.network(recipe.stages()[-1]).build(recipe.scale)),
        discriminators=discriminators(perceptual),
        seconds=seconds,
        total_seconds=total,
        cpu_seconds=float(cpu_seconds),
        peak_gib=int(peak) / unit,
    )


def seconds_per_iteration(folder: Path) -> float:
    ends = [0.0, *(line["seconds"] for line in StageFolder(folder).read_log() if line["kind"] == "loss")]
    return median(end - start for start, end in pairwise(ends))


def discriminators(perceptual: PerceptualConfig | None) -> list[int]:
    """Parameters of each discriminator; SPSR has a second one, like the first, for gradient maps."""
    if perceptual is None:
        return []
    count = parameters(lambda: perceptual.discriminator.build(perceptual.crop))
    return [count] * (1 if perceptual.gradient_loss is None else 2)


def parameters(build: Callable[[], nn.Module]) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build().parameters())


def table(rows: dict[str, Row], failed: dict[str, str]) -> str:
    """A Markdown table of the rows, in the order of `aesop recipes`."""
    columns = ["recipe", "G, M", "D, M", *(f"{stage}, s/it" for stage in STAGES), "total, s (CPU)", "peak, GiB"]
    lines = [f"| {' | '.join(columns)} |", "|---" + "|--:" * (len(columns) - 1) + "|"]
    for name in recipe_names():
        if name in failed:
            cells = [f"failed: {failed[name].splitlines()[-1]}", *[""] * (len(columns) - 2)]
        elif name in rows:
            row = rows[name]
            cells = [
                f"{row.generator / 1e6:.2f}",
                " + ".join(f"{count / 1e6:.2f}" for count in row.discriminators) or "–",
                *(f"{row.seconds[stage]:.2f} ({row.crops[stage]})" if stage in row.crops else "–" for stage in STAGES),
                f"{row.total_seconds:.0f} ({row.cpu_seconds:.0f})",
                f"{row.peak_gib:.2f}",
            ]
        else:
            continue
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
