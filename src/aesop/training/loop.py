"""The one loop of all stages: batches in; log lines, validations, snapshots and checkpoints out."""

from __future__ import annotations

import json
import math
import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from aesop.errors import Interrupted, RunError
from aesop.files import atomic_path
from aesop.networks.state_dicts import write_state
from aesop.progress import progress
from aesop.run import StageFolder
from aesop.training.recipe import StageConfig
from aesop.training.stage import WAITS, Pairs, Stage

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
) -> dict[str, float]:
    """Train `stage` to the end, from its checkpoint if there is one; return its last validation.

    `batches(first, last)` yields the (LR, HR) batches, in [0, 1], of iterations first to last-1, the same ones however
    often training was resumed. `caught` receives the signals that ask to stop. Raises Interrupted after one, with a
    checkpoint written; RunError if a loss is no longer finite, or files cannot be written.
    """
    fabric, config = stage.fabric, stage.config
    done = _resume(stage, files.checkpoint)

    def export(path: Path, iteration: int, measured: dict[str, float]) -> None:
        write_state(path, stage.result.state_dict(), {**metadata, "iteration": iteration, "measured": measured})

    losses: list[dict[str, Tensor]] = []
    measured: dict[str, float] = {}
    first = fabric.is_global_zero
    with _logging(files, done, first) as log, progress(stage.name, iterations, done, shown=first) as advance:
        for iteration, (lr, hr) in enumerate(batches(done, iterations), start=done + 1):
            for optimizer in stage.optimizers:
                for group in optimizer.param_groups:
                    waits = iteration <= group.get(WAITS, 0)
                    group["lr"] = 0.0 if waits else learning_rate(config, iteration - 1, iterations)
            losses.append(stage.step(lr, hr))
            if iteration % config.log_every == 0 or iteration == iterations:
                means = _means(losses)
                losses.clear()
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
                _require_finite(_means(losses) | {"the network": float(total)}, stage.name, iteration, files)
                if first:
                    _save(stage, files.checkpoint, iteration)
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


def _means(losses: Sequence[dict[str, Tensor]]) -> dict[str, float]:
    """Means of scalars over iterations, which stay on the device until somebody looks."""
    if not losses:
        return {}
    first, *others = losses
    sums = [sum((other[name] for other in others), value) for name, value in first.items()]
    return dict(zip(first, torch.stack(sums).div(len(losses)).tolist(), strict=True))


def _save(stage: Stage, path: Path, iteration: int) -> None:
    """Write all that the next iteration depends on; raises RunError where it cannot, and keeps the file before."""
    checkpoint: dict[str, Any] = {"iteration": iteration, "rng": torch.get_rng_state()}
    # Networks with stochastic depth draw on their own device.
    if torch.cuda.is_initialized():
        checkpoint["cuda_rng"] = torch.cuda.get_rng_state()
    checkpoint["state"] = {name: part.state_dict() for name, part in stage.parts.items()}
    with atomic_path(path) as temporary:
        try:
            torch.save(checkpoint, temporary)
        except RuntimeError as error:  # torch's own for a failed write, most often a full disk
            raise RunError(f"{path}: could not be written; free some space and try again.") from error


def _resume(stage: Stage, path: Path) -> int:
    """Load a checkpoint and return its iteration, 0 if there is none; raises RunError if it is corrupt."""
    if not path.is_file():
        return 0
    device = stage.fabric.device
    try:
        loaded = torch.load(path, map_location=device, weights_only=True)
        torch.set_rng_state(loaded["rng"].cpu())
        if device.type == "cuda" and "cuda_rng" in loaded:
            torch.cuda.set_rng_state(loaded["cuda_rng"].cpu(), device)
        iteration, state = loaded["iteration"], loaded["state"]
    except (AttributeError, EOFError, IndexError, KeyError, RuntimeError, TypeError, pickle.UnpicklingError) as error:
        raise RunError(f"{path}: is corrupt; delete it to train this stage again.") from error
    if not stage.parts.keys() <= state.keys():
        raise RunError(f"{path}: is of another version; delete it to train this stage again.")
    for name, part in stage.parts.items():
        part.load_state_dict(state[name])
    return iteration


@contextmanager
def _logging(files: StageFolder, done: int, active: bool) -> Iterator[Callable[[int, str, dict[str, float]], None]]:
    """Yield what logs a stage's numbers, as lines of JSON and for TensorBoard; those after `done` are dropped."""
    if not active:
        yield lambda *_: None
        return
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    files.folder.mkdir(parents=True, exist_ok=True)
    kept = [line for line in files.read_log() if line["iteration"] <= done]
    files.log.write_text("".join(f"{json.dumps(line)}\n" for line in kept), encoding="utf-8")
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
