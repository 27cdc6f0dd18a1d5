"""Checkpoints: all that the next iteration depends on. The last two are kept, so that a damaged one costs little."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch

from aesop.errors import RunError
from aesop.files import atomic_path
from aesop.run import StageFolder
from aesop.training.stage import Say, Stage


def save_checkpoint(stage: Stage, files: StageFolder, iteration: int, losses: dict[str, Any]) -> None:
    """Write a checkpoint and read it back; the one before stays. Raises RunError where it cannot be written."""
    checkpoint: dict[str, Any] = {"iteration": iteration, "rng": torch.get_rng_state()}
    # Networks with stochastic depth draw on their own device.
    if torch.cuda.is_initialized():
        checkpoint["cuda_rng"] = torch.cuda.get_rng_state()
    checkpoint["losses"] = losses
    checkpoint["state"] = {name: part.state_dict() for name, part in stage.parts.items()}
    path = files.checkpoint
    with atomic_path(path) as temporary:
        try:
            torch.save(checkpoint, temporary)
        except RuntimeError as error:  # torch's own for a failed write, most often a full disk
            raise RunError(f"{path}: could not be written; free some space and try again.") from error
        if not _is_intact(temporary):
            raise RunError(f"{path}: was written, but reads back otherwise; check the disk (the one before is kept).")
        if path.is_file():
            path.replace(files.previous_checkpoint)


def resume(stage: Stage, files: StageFolder, say: Say) -> tuple[int, dict[str, Any]]:
    """Load the last intact checkpoint; return its iteration, 0 if there is none, and its losses.

    Raises RunError if all are damaged, or the intact one is of another version.
    """
    kept = [path for path in (files.checkpoint, files.previous_checkpoint) if path.is_file()]
    if not kept:
        return 0, {}
    good = next((path for path in kept if _is_intact(path)), None)
    if good is None:
        raise RunError(f"{kept[0]}: is damaged, and no intact one is left; delete it to train this stage again.")
    device = stage.fabric.device
    loaded = torch.load(good, map_location=device, weights_only=True)
    if not ({"iteration", "rng", "state"} <= loaded.keys() and stage.parts.keys() <= loaded["state"].keys()):
        raise RunError(f"{good}: is of another version; delete it to train this stage again.")
    torch.set_rng_state(loaded["rng"].cpu())
    if device.type == "cuda" and "cuda_rng" in loaded:
        torch.cuda.set_rng_state(loaded["cuda_rng"].cpu(), device)
    for name, part in stage.parts.items():
        part.load_state_dict(loaded["state"][name])
    if good != kept[0]:
        say(f"{kept[0]}: is damaged; resuming from the checkpoint before it, of iteration {loaded['iteration']}")
    stage.fabric.barrier()  # until every process has read it
    if good != files.checkpoint and stage.fabric.is_global_zero:
        good.replace(files.checkpoint)  # else the next save would replace it by the damaged one
    return loaded["iteration"], loaded.get("losses", {})  # which older checkpoints lack


def _is_intact(path: Path) -> bool:
    """Compare what a file of torch.save holds with the checksums in it, which torch.load ignores."""
    with path.open("rb") as file:
        try:
            with ZipFile(file) as archive:
                return archive.testzip() is None
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EINVAL):  # a bad sector, a bad offset
                raise
            return False
        except Exception:  # zipfile may raise anything on a damaged file
            return False
