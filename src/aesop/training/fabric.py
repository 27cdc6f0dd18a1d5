"""The engine of training: Lightning Fabric, which the extra `train` brings. Its parts are imported from here alone."""

from __future__ import annotations

import inspect
import os

import torch
from torch.nn.parallel import DistributedDataParallel

from aesop.device import choose_device
from aesop.errors import MissingExtraError, RunError
from aesop.training.recipe import Recipe

try:
    from lightning_fabric import Fabric, seed_everything
    from lightning_fabric.loggers.csv_logs import CSVLogger
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger
    from lightning_fabric.strategies.ddp import DDPStrategy
    from lightning_fabric.utilities.rank_zero import rank_zero_only
except ImportError as error:
    raise MissingExtraError("Training", "train") from error

__all__ = ["CSVLogger", "Fabric", "TensorBoardLogger", "ddp", "fabric_of", "rank_zero_only", "seed_everything"]


def fabric_of(device: str, devices: int, nodes: int, recipe: Recipe) -> Fabric:
    """Return the engine of a training; raises RunError where the devices are not available."""
    if nodes > 1 and not {"MASTER_ADDR", "SLURM_NTASKS"} & os.environ.keys():
        raise RunError(f"--nodes {nodes}: start the command on each machine by torchrun or SLURM.")
    kind, _, index = (choose_device().type if device == "auto" else device).partition(":")
    try:
        return Fabric(
            accelerator=kind,
            devices=[int(index)] if index else devices,
            num_nodes=nodes,
            precision=recipe.precision,
            strategy=ddp() if devices * nodes > 1 else "auto",
        )
    except (ValueError, RuntimeError) as error:
        raise RunError(f"--device {device} --devices {devices}: not available ({error}); choose others.") from error


def ddp() -> DDPStrategy:
    """One process a device; batch norm's statistics stay each process's own.

    Broadcasting them between D's two passes would overwrite what the first pass keeps for its gradient.
    """
    backend = None if torch.cuda.is_available() else "gloo"
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel.__init__).parameters:
        return DDPStrategy(process_group_backend=backend, forward_sync_buffers=False)
    return DDPStrategy(process_group_backend=backend, broadcast_buffers=False)
