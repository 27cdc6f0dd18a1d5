"""Checkpoints: all that the next iteration depends on, in one file that appears whole or not at all."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from aesop.errors import RunError
from aesop.files import atomic_path


def save_checkpoint(path: Path, iteration: int, state: dict[str, Any]) -> None:
    """Write the state after `iteration` iterations; raises RunError where it cannot, and keeps the one before."""
    # Networks with stochastic depth draw on their own device.
    random = {"rng": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        random["cuda_rng"] = torch.cuda.get_rng_state()
    with atomic_path(path) as temporary:
        try:
            torch.save({"iteration": iteration, "state": state, **random}, temporary)
        except RuntimeError as error:  # torch's own for a failed write, most often a full disk
            raise RunError(f"{path}: could not be written; free some space and try again.") from error


def load_checkpoint(path: Path, device: torch.device) -> tuple[int, dict[str, Any]] | None:
    """Read (iteration, state) from `path`; None if there is no such file; raises RunError if the file is corrupt."""
    if not path.is_file():
        return None
    try:
        loaded = torch.load(path, map_location=device, weights_only=True)
        torch.set_rng_state(loaded["rng"].cpu())
        if device.type == "cuda" and "cuda_rng" in loaded:
            torch.cuda.set_rng_state(loaded["cuda_rng"].cpu(), device)
        return loaded["iteration"], loaded["state"]
    except (AttributeError, EOFError, IndexError, KeyError, RuntimeError, TypeError, pickle.UnpicklingError) as error:
        raise RunError(f"{path}: is corrupt; delete it to train this stage again.") from error
