"""Small networks, runs and pictures for the tests of the analyses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aesop.autoencoder import AutoEncoder
from aesop.networks.generators import SRVGGConfig
from aesop.networks.state_dicts import write_state
from aesop.training.recipe_files import dump_recipe, load_recipe
from helpers import synthetic_pictures

SMALL = ["generator={type: srvgg, features: 4, convs: 1}"]


class Halving(nn.Module):
    """An auto-encoder with a known result: AE(y) = y / 2."""

    def forward(self, images: Tensor) -> Tensor:
        return images / 2


def generator(seed: int, scale: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return SRVGGConfig(type="srvgg", features=4, convs=1).build(scale)


def autoencoder(scale: int = 4) -> AutoEncoder:
    return AutoEncoder(generator(9, scale), scale, growth=4, blocks=1).eval()


def make_run(folder: Path, losses: list[dict[str, Any]], *settings: str, recipe: str = "laptop") -> Path:
    """Write a run's files: three snapshots, a fidelity network, an auto-encoder and a log."""
    loaded = load_recipe(recipe, [*SMALL, *settings])
    metadata: dict[str, object] = {"stage": "perceptual", "recipe": loaded.model_dump(mode="json"), "iteration": 7}
    metadata |= {"data": "fingerprint", "versions": {"torch": "0"}}
    for number in (5, 10, 15):
        path = folder / f"perceptual/snapshots/{number:08d}.safetensors"
        write_state(path, generator(number, loaded.scale).state_dict(), metadata)
    write_state(folder / "perceptual/generator.safetensors", generator(15, loaded.scale).state_dict(), metadata)
    fidelity = {**metadata, "stage": "fidelity"}
    write_state(folder / "fidelity/generator.safetensors", generator(0, loaded.scale).state_dict(), fidelity)
    write_state(folder / "autoencoder/autoencoder.safetensors", autoencoder(loaded.scale).state_dict(), {})
    (folder / "recipe.yaml").write_text(dump_recipe(loaded), encoding="utf-8")
    lines = [{"iteration": 2 * (i + 1), "kind": "loss", "seconds": 1.0, **line} for i, line in enumerate(losses)]
    lines.append({"iteration": 4, "kind": "validation", "seconds": 1.0, "psnr": 20.0})
    (folder / "perceptual/log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return folder


def benchmark(folder: Path, count: int = 2, name: str = "set") -> Path:
    """Write a benchmark of pictures of 32 pixels a side."""
    synthetic_pictures(folder / name / "HR", count, 32)
    return folder / name
