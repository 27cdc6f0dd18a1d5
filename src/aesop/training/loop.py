"""The one loop of all stages: batches in; log lines, validations, snapshots and checkpoints out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from aesop.errors import Interrupted, RunError
from aesop.files import write_atomically
from aesop.networks.state_dicts import write_state
from aesop.progress import progress
from aesop.run import StageFolder
from aesop.training.checkpoint import resume, save_checkpoint
from aesop.training.recipe import StageConfig
from aesop.training.stage import WAITS, Pairs, Say, Stage

Batches = Callable[[int, int], Iterable[tuple[Tensor, Tensor]]]


def learning_rate(config: StageConfig, iteration: int, iterations: int) -> float:
    """Return the learning rate of iteration 0, 1, ...: warmup, halvings at the milestones, half a cosine."""
    rate = config.learning_rate * 0.5 ** sum(iteration >= milestone for milestone in config.milestones)
    if config.cosine:
        rate *= 0.5 * (1 + math.cos(math.pi * iteration / iterations))
    return rate * min(1.0, (iteration + 1) / config.warmup) if config.warmup else rate


def train_stage(
    stage: Stage,
    iterations: int,
    batches: Batches,
    pairs: Pairs,
    files: StageFolder,
    metadata: dict[str, object],
    caught: Sequence[int],
    say: Say,
) -> dict[str, float]:
    """Train `stage` to the end, from its checkpoint if there is one; return its last validation.

    `batches(first, last)` yields the (LR, HR) batches, in [0, 1], of iterations first to last-1, the same ones however
    often training was resumed. `caught` receives the signals that ask to stop. Raises Interrupted after one, with a
    checkpoint written; RunError if a loss is no longer finite, or files cannot be written.
    """
    fabric, config = stage.fabric, stage.config
    done, kept = resume(stage, files, say)
    losses = _Losses(**kept)

    def export(path: Path, iteration: int, measured: dict[str, float]) -> None:
        write_state(path, stage.result.state_dict(), {**metadata, "iteration": iteration, "measured": measured})

    measured: dict[str, float] = {}
    first = fabric.is_global_zero
    with _logging(files, done, first) as log, progress(stage.name, iterations, done, shown=first) as advance:
        for iteration, (lr, hr) in enumerate(batches(done, iterations), start=done + 1):
            for optimizer in stage.optimizers:
                for group in optimizer.param_groups:
                    waits = iteration <= group.get(WAITS, 0)
                    group["lr"] = 0.0 if waits else learning_rate(config, iteration - 1, iterations)
            losses.add(stage.step(lr, hr))
            if iteration % config.log_every == 0 or iteration == iterations:
                means = losses.means()
                losses = _Losses()
                _require_finite(means, stage.name, iteration, files)
                log(iteration, "loss", means)
                advance(note=" ".join(f"{name} {value:.4g}" for name, value in means.items()))
            else:
                advance()
            if iteration % config.validate_every == 0 or iteration == iterations:
                if first:
                    measured = stage.validate(pairs)
                    log(iteration, "validation", measured)
                    export(files.snapshot(iteration), iteration, measured)
                fabric.barrier()
            # Many processes agree to stop only now and then: asking each other means waiting for the device.
            asked = fabric.world_size == 1 or iteration % 10 == 0
            stop = _anyone(fabric, max(caught, default=0)) if asked else 0
            if iteration % config.checkpoint_every == 0 or iteration == iterations or stop:
                # Finite only if every weight is.
                total = torch.stack([weight.float().sum() for weight in stage.result.parameters()]).sum()
                _require_finite(losses.means() | {"the network": float(total)}, stage.name, iteration, files)
                if first:
                    save_checkpoint(stage, files, iteration, {"count": losses.count, "sums": losses.sums})
                fabric.barrier()
            if stop and iteration < iterations:
                raise Interrupted(stop, iteration)
    if first:
        if not measured:
            measured = stage.validate(pairs)
        export(files.network, iterations, measured)
    fabric.barrier()
    return measured


def _anyone(fabric: Fabric, signum: int) -> int:
    """Return the signal that any process was sent, 0 if none."""
    if fabric.world_size == 1:
        return signum
    heard = torch.tensor(signum, device=fabric.device)
    return int(fabric.all_reduce(heard, reduce_op="max").item())  # pyright: ignore[reportAttributeAccessIssue]


def _require_finite(values: dict[str, float], stage: str, iteration: int, files: StageFolder) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise RunError(
                f"{stage}: {name} became {value} near iteration {iteration}; train into a new run folder with a lower "
                f"{stage}.learning_rate or other loss weights (earlier networks: {files.snapshot(0).parent})."
            )


class _Losses:
    """Sums of scalars since the last log line, which stay on the device until somebody looks."""

    def __init__(self, count: int = 0, sums: dict[str, Tensor] | None = None) -> None:
        self.count = count
        self.sums = sums or {}

    def add(self, losses: dict[str, Tensor]) -> None:
        """Add an iteration's."""
        self.count += 1
        self.sums = {name: self.sums[name] + value if self.sums else value for name, value in losses.items()}

    def means(self) -> dict[str, float]:
        """Return the means over iterations."""
        if not self.sums:
            return {}
        return dict(zip(self.sums, torch.stack([*self.sums.values()]).div(self.count).tolist(), strict=True))


@contextmanager
def _logging(files: StageFolder, done: int, active: bool) -> Iterator[Callable[[int, str, dict[str, float]], None]]:
    """Yield what logs a stage's numbers, as lines of JSON and for TensorBoard; those after `done` are dropped."""
    if not active:
        yield lambda *_: None
        return
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    files.folder.mkdir(parents=True, exist_ok=True)
    kept = [line for line in files.read_log() if line["iteration"] <= done]
    write_atomically(files.log, "".join(f"{json.dumps(line)}\n" for line in kept))
    board = TensorBoardLogger(files.board.parent, name="", version=files.board.name, purge_step=done + 1)
    started = time.monotonic()

    def log(iteration: int, kind: str, values: dict[str, float]) -> None:
        line = {"iteration": iteration, "kind": kind, "seconds": round(time.monotonic() - started, 3), **values}
        with files.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        board.log_metrics({f"{kind}/{name}": value for name, value in values.items()}, step=iteration)

    try:
        yield log
    finally:
        board.finalize("success")
