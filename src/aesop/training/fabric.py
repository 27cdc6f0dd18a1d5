"""The engine of training: Lightning Fabric, which the extra `train` brings. Its parts are imported from here alone."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch.nn.parallel import DistributedDataParallel

from aesop.device import choose_device, is_out_of_memory
from aesop.errors import MissingExtraError, RunError
from aesop.training.recipe import Recipe
from aesop.words import first_line

try:
    from lightning_fabric import Fabric, seed_everything
    from lightning_fabric.loggers.csv_logs import CSVLogger
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy
    from lightning_fabric.utilities.rank_zero import rank_zero_only
except ImportError as error:
    raise MissingExtraError("Training", "train") from error

__all__ = [
    "CSVLogger", "Fabric", "TensorBoardLogger", "ddp", "fabric_of", "rank_zero_only",
    "runtime_errors_explained", "seed_everything", "shape_of",
]  # fmt: skip


def shape_of(devices: int | None, nodes: int | None) -> tuple[int, int]:
    """Return how many devices a machine and how many machines: as given, else as torchrun or SLURM started us, else 1.

    With `torchrun --nnodes 1:4` the number of machines changes when one is lost or comes back.
    """
    if TorchElasticEnvironment.detect():
        world, local = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    elif SLURMEnvironment.detect():
        world = int(os.environ["SLURM_NTASKS"])
        local = max(1, world // int(os.environ.get("SLURM_NNODES", "1")))
    else:
        world = local = 1
    return devices or local, nodes or world // local


def fabric_of(device: str, devices: int, nodes: int, recipe: Recipe) -> Fabric:
    """Return the engine of a training; raises RunError where the devices are not available."""
    if nodes > 1 and not {"MASTER_ADDR", "SLURM_NTASKS"} & os.environ.keys():
        raise RunError(f"--nodes {nodes}: start the command on each machine by torchrun or SLURM.")
    kind, _, index = (choose_device().type if device == "auto" else device).partition(":")
    # The tensor cores round what they multiply to 10 bits, unless all is to be in float32.
    rounds = recipe.precision != "32-true"
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = rounds
    try:
        return Fabric(
            accelerator=kind,
            devices=[int(index)] if index else devices,
            num_nodes=nodes,
            precision="32-true" if recipe.precision == "tf32" else recipe.precision,
            strategy=ddp() if devices * nodes > 1 else "auto",
        )
    except (ValueError, RuntimeError) as error:
        raise RunError(f"--device {device} --devices {devices}: not available ({error}); choose others.") from error


def ddp() -> DDPStrategy:
    """One process a device; batch norm's statistics stay each process's own.

    Broadcasting them between D's two passes would overwrite what the first pass keeps for its gradient. A process waits
    for another for half an hour, or $AESOP_TIMEOUT seconds: the first validates and writes while the others wait.
    """
    backend = None if torch.cuda.is_available() else "gloo"
    given = os.environ.get("AESOP_TIMEOUT", "1800")
    try:
        patience = timedelta(seconds=float(given))
        if patience <= timedelta():
            raise ValueError(given)
    except (OverflowError, ValueError) as error:
        raise RunError(f"AESOP_TIMEOUT={given}: a number of seconds is expected.") from error
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel.__init__).parameters:
        return DDPStrategy(process_group_backend=backend, timeout=patience, forward_sync_buffers=False)
    return DDPStrategy(process_group_backend=backend, timeout=patience, broadcast_buffers=False)


@contextmanager
def runtime_errors_explained(fabric: Fabric) -> Iterator[None]:
    """Turn what torch raises where a process or data worker is lost, or memory does not suffice, into a RunError."""
    try:
        yield
    except (RuntimeError, MemoryError, ConnectionError, EOFError) as error:
        told = first_line(error)
        worker = re.search(r"DataLoader worker .*(killed by signal: [\w ]+|exited unexpectedly)", told)
        # A worker that is killed while it hands over a batch leaves a broken connection.
        if worker or (fabric.world_size == 1 and isinstance(error, ConnectionError | EOFError)):
            raise RunError(
                f"a data worker was lost ({worker[1] if worker else told}), most often for lack of memory; run the "
                "same command again, with fewer of them (data.workers), to resume from the last checkpoint."
            ) from error
        if is_out_of_memory(error):
            raise RunError(
                f"{fabric.device}: out of memory; run the same command again with checkpointing=true, or train into a "
                "new run folder with a smaller batch or crop."
            ) from error
        signs = (r"timed out|timeout", r"connection \w+", "broken pipe", "network is unreachable", "gloo|nccl")
        found = next((match for sign in signs if (match := re.search(sign, told, re.IGNORECASE))), None)
        if fabric.world_size == 1 or found is None:
            raise
        raise RunError(
            f"process {fabric.global_rank + 1} of {fabric.world_size}: another process is lost ({found[0].lower()}); "
            "see what that one said, then run the same command again to resume from the last checkpoint."
        ) from error
