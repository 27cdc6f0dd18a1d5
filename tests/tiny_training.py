"""Trainings that take a moment, and helpers that call, compare and damage them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from aesop.networks.state_dicts import read_state
from aesop.run import STAGES, Run
from aesop.training.recipe_files import load_recipe
from aesop.training.train import train

TINY = [
    "generator={type: srvgg, features: 4, convs: 1}",
    "data.held_out=1",
    *(f"{stage}.{setting}" for stage in STAGES for setting in (
        "iterations=6", "crop=32", "batch=2", "log_every=2", "validate_every=4", "checkpoint_every=2", "warmup=0",
    )),
    "perceptual.discriminator.features=4",
    "perceptual.perceptual_loss.features.blocks={0: 1.0}",
]  # fmt: skip


def run_tiny(photos: Path, run: Path, *overrides: str, recipe: str = "laptop") -> list[str]:
    said: list[str] = []
    tiny = [setting for setting in TINY if recipe == "laptop" or not setting.startswith("autoencoder")]
    train(load_recipe(recipe, [*tiny, *overrides]), photos, run, device="cpu", say=said.append)
    return said


def same_files(first: Path, second: Path, name: str) -> bool:
    ours, theirs = read_state(first / name), read_state(second / name)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


OUTPUTS = (
    "fidelity/generator.safetensors",
    "autoencoder/autoencoder.safetensors",
    "perceptual/generator.safetensors",
)


def command(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "AESOP_CACHE": str(cwd / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "aesop", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, env=environment, timeout=240, check=False,
    )  # fmt: skip


def start_endless(photos: Path, tmp_path: Path, *overrides: str) -> subprocess.Popen[str]:
    """Start a training that would take hours; return once it has logged an iteration."""
    arguments = ["train", "laptop", *TINY, "fidelity.iterations=100000", "fidelity.checkpoint_every=100000", *overrides]
    process = subprocess.Popen(
        [sys.executable, "-m", "aesop", *arguments, "--data", str(photos), "--run", str(tmp_path / "run")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AESOP_CACHE": str(tmp_path / "cache")},
        start_new_session=True,
    )
    log = tmp_path / "run" / "fidelity" / "log.jsonl"
    while process.poll() is None and not (log.is_file() and log.read_text()):
        time.sleep(0.1)
    return process


def same_logs(first: Run, second: Run) -> bool:
    """Compare the logs of two runs, except for their times."""
    logs = [[
        {key: value for key, value in line.items() if key != "seconds"}
        for name in STAGES for line in run.stage(name).read_log()
    ] for run in (first, second)]  # fmt: skip
    return logs[0] == logs[1] != []


def truncate(path: Path) -> None:
    """Cut off the second half of a file."""
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """Flip one bit in each of 40 bytes in the middle of a file, as a failing disk does."""
    whole = bytearray(path.read_bytes())
    for index in range(len(whole) // 2, len(whole) // 2 + 40):
        whole[index] ^= 4
    path.write_bytes(whole)
