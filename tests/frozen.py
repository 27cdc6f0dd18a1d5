"""Values that a refactor must not change by a single bit: run it before and after, on the same machine.

    python tests/frozen.py values.json                      # write them
    python tests/frozen.py new.json --against values.json   # compare them; exit status 1 if any differs

It trains one recipe of each family for 20 iterations (losses, parameter sums, gradients), evaluates two of the networks
and an auto-encoder on Set5 and Set14 through the command line, and measures FID and NIQE.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from aesop.data.pictures import find_pictures, read_picture, to_planes
from aesop.metrics.fid import features, frechet_distance, patches, resized
from aesop.metrics.niqe import niqe
from aesop.training.train import train
from helpers import synthetic_pictures
from tiny_systems import crop_of, tiny_recipe

FAMILIES = (
    "laptop", "laptop-pixel", "aesop-rrdb-128", "ldl-rrdb-128", "esrgan-rrdb-128", "spsr-128", "calgan-rrdb-128",
    "low-pass-rrdb-128", "aesop-swinir-256", "aesop-drct-256", "aesop-srresnet-ae", "aesop-span-x4", "realesrgan-x4",
    "bsrgan-x4", "aesop-real-x4", "ablation-a", "ablation-b", "aesop-rrdb-x8",
)  # fmt: skip
BENCHMARKS = Path(__file__).resolve().parents[2] / "shared" / "data" / "benchmarks"


def trained(name: str, folder: Path) -> dict[str, Any]:
    """Train a recipe at its tiny size; return the losses of every iteration and sums of the networks' parameters."""
    side = crop_of(name) + 16  # degradations need room around a crop
    photos = folder / f"photos-{side}"
    if not photos.is_dir():
        synthetic_pictures(photos, 3, side)
    stages = tiny_recipe(name).stages()
    settings = [f"{stage}.{key}" for stage in stages for key in ("iterations=20", "log_every=1", "validate_every=10")]
    run = folder / name
    train(tiny_recipe(name, *settings), photos, run, store=folder / f"store-{name}", device="cpu", say=lambda _: None)
    found: dict[str, Any] = {}
    for stage in stages:
        if (run / stage / "log.jsonl").is_file():
            lines = [json.loads(line) for line in (run / stage / "log.jsonl").read_text().splitlines()]
            found[f"{stage} log"] = [{k: v for k, v in line.items() if k != "seconds"} for line in lines]
        for path in sorted((run / stage).glob("*.safetensors")):
            state = load_file(path)
            found[f"{stage} sums"] = {key: value.double().sum().item() for key, value in sorted(state.items())}
            digest = hashlib.sha256()
            for _, value in sorted(state.items()):
                digest.update(value.numpy().tobytes())
            found[f"{stage} bytes"] = digest.hexdigest()
        if (run / stage / "checkpoint.pt").is_file():
            state = torch.load(run / stage / "checkpoint.pt", weights_only=True)["state"]
            # Adam's own averages of squares: how large each tensor's gradients were.
            found[f"{stage} gradients"] = {
                f"{part} {key}": kept["exp_avg_sq"].double().sum().sqrt().item()
                for part in sorted(state)
                if part.startswith("optimizer")
                for key, kept in state[part]["state"].items()
            }
    return found


def evaluated(folder: Path) -> dict[str, Any]:
    """Evaluate bicubic and two of the trained networks on Set5 and Set14 by the command line."""
    output = folder / "evaluation.json"
    benchmarks = [part for name in ("Set5", "Set14") for part in ("--benchmark", str(BENCHMARKS / name))]
    models = [f"{name}={folder / name}" for name in ("laptop", "aesop-rrdb-128")]
    subprocess.run(
        [
            sys.executable, "-m", "aesop", "evaluate", "bicubic", *models, *benchmarks, "--processes", "1",
            "--autoencoder", str(folder / "aesop-rrdb-128"), "--no-cache", "--json", str(output),
        ],
        check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    document = json.loads(output.read_text())
    return {
        f"{entry['model']} {entry['benchmark']} {entry['metric']}": {
            key: entry[key] for key in ("pictures", "mean", "interval", "count")
        }
        for entry in document["results"]
        if entry["unavailable"] is None
    } | {
        f"{entry['model']} against {entry['against']} {entry['benchmark']} {entry['metric']}": [
            entry["difference"], entry["interval"], entry["count"], entry["significant"],
        ]
        for entry in document["differences"]
    }  # fmt: skip


def measured() -> dict[str, Any]:
    """FID and patch-FID of LR against HR under a network of random weights, and NIQE of Set5's HR pictures."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(48, 3, generator=generator)

    def network(images: torch.Tensor) -> torch.Tensor:
        grid = torch.nn.functional.adaptive_avg_pool2d(images.float(), 4).flatten(2)
        return torch.einsum("fc,nci->nfi", weights, grid).flatten(1)

    sets = [
        [to_planes(read_picture(path)).unsqueeze(0) / 255 for path in find_pictures(BENCHMARKS / "Set14" / side)]
        for side in ("HRx4", "LRx4")
    ]
    found: dict[str, Any] = {}
    for name, cut in (("fid", resized), ("patch-fid", lambda images: patches(images, 64))):
        found[name] = frechet_distance(
            *(np.concatenate([features(picture, network, cut) for picture in pictures]) for pictures in sets)
        )
    found["niqe"] = [niqe(picture).item() for picture in sets[0]]
    return found


def differing(before: Any, after: Any, where: str = "") -> list[str]:
    """Name the values of `before` that `after` lacks or has changed; additional values are ignored."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [line for key in before for line in differing(before[key], after.get(key), f"{where}/{key}")]
    return [] if before == after else [f"{where}: {str(before)[:80]} became {str(after)[:80]}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--only", nargs="*", help="families to train, none for all parts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        values: dict[str, Any] = {}
        for name in options.only or FAMILIES:
            values[name] = trained(name, folder)
            print(name, file=sys.stderr, flush=True)
        if not options.only:
            values |= {"evaluation": evaluated(folder), "metrics": measured()}
    options.output.write_text(json.dumps(values, indent=1))
    if options.against is not None:
        before = json.loads(options.against.read_text())
        lines = differing({key: before[key] for key in values if key in before}, values)
        print("\n".join(lines) or "equal", file=sys.stderr)
        sys.exit(bool(lines))


if __name__ == "__main__":
    main()
