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
from aesop.training.fabric import Fabric
from aesop.training.stage import Say, Stage


class OfEachProcess:
    """A part of a stage that differs from process to process; a checkpoint keeps those of all of them."""

    def __init__(self, part: Any, fabric: Fabric) -> None:
        self._part, self._fabric = part, fabric

    def state_dict(self) -> dict[str, Any]:
        """Gather the tensors of all processes, which have to call it together."""
        state, world = self._part.state_dict(), self._fabric.world_size
        if world == 1:
            return state
        gathered = {}
        for name, own in self._fabric.to_device(state).items():
            gathered[name] = [torch.empty_like(own) for _ in range(world)]
            torch.distributed.all_gather(gathered[name], own)
        return {"processes": gathered}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with this process's own tensors, or another's where more processes go on than were saved."""
        each, rank = state_dict.get("processes"), self._fabric.global_rank
        own = {name: value[rank % len(value)] for name, value in each.items()} if each else state_dict
        self._part.load_state_dict(own)


def save_checkpoint(stage: Stage, files: StageFolder, iteration: int, losses: dict[str, Any]) -> None:
    """Write a checkpoint in the first process and read it back; the one before stays; all processes call it together.

    Raises RunError where it cannot be written.
    """
    state = {name: part.state_dict() for name, part in stage.parts.items()}
    if not stage.fabric.is_global_zero:
        return
    checkpoint: dict[str, Any] = {"iteration": iteration, "rng": torch.get_rng_state()}
    # Networks with stochastic depth draw on their own device.
    if torch.cuda.is_initialized():
        checkpoint["cuda_rng"] = torch.cuda.get_rng_state()
    checkpoint["losses"] = losses
    checkpoint["state"] = state
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

    Of several processes the first one chooses. Raises RunError if all are damaged, the intact one is of another
    version, or a process cannot read the same one.
    """
    fabric = stage.fabric
    kept = [path for path in (files.checkpoint, files.previous_checkpoint) if path.is_file()]
    good = next((path for path in kept if _is_intact(path)), None)
    if kept and good is None:
        raise RunError(f"{kept[0]}: is damaged, and no intact one is left; delete it to train this stage again.")
    name = fabric.broadcast(good.name if good else None)
    if name is None:
        return 0, {}
    other = f"process {fabric.global_rank + 1} of {fabric.world_size}: cannot read the checkpoint of the first one"
    path, device = files.folder / name, fabric.device
    if path != good and not (path.is_file() and _is_intact(path)):
        raise RunError(f"{path}: {other}; name one run folder that all machines share.")
    loaded = torch.load(path, map_location=device, weights_only=True)
    if not ({"iteration", "rng", "state"} <= loaded.keys() and stage.parts.keys() <= loaded["state"].keys()):
        raise RunError(f"{path}: is of another version; delete it to train this stage again.")
    if loaded["iteration"] != (first := fabric.broadcast(loaded["iteration"])):
        raise RunError(
            f"{path}: {other} (iteration {first}, not {loaded['iteration']}); name one run folder that all share."
        )
    torch.set_rng_state(loaded["rng"].cpu())
    if device.type == "cuda" and "cuda_rng" in loaded:
        torch.cuda.set_rng_state(loaded["cuda_rng"].cpu(), device)
    for name, part in stage.parts.items():
        part.load_state_dict(loaded["state"][name])
    if path != kept[0]:
        say(f"{kept[0]}: is damaged; resuming from the checkpoint before it, of iteration {loaded['iteration']}")
    fabric.barrier()  # until every process has read it
    if path != files.checkpoint and fabric.is_global_zero:
        path.replace(files.checkpoint)  # else the next save would replace it by the damaged one
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
