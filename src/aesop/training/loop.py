"""The one loop of all stages: batches in; log lines, validations, snapshots and checkpoints out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from aesop.errors import Interrupted, RunError
from aesop.networks.state_dicts import write_state
from aesop.progress import duration, progress
from aesop.run import STAGES, Run, StageFolder
from aesop.training.checkpoint import resume, save_checkpoint
from aesop.training.interruption import Agreement
from aesop.training.log import Log, logging
from aesop.training.recipe import StageConfig
from aesop.training.snapshots import prune
from aesop.training.stage import WAITS, Pairs, Say, Stage
from aesop.training.tally import Tally
from aesop.training.validation import best_of

Batches = Callable[[int, int], Iterable[tuple[Tensor, Tensor]]]

#: After this many skipped iterations in a row, training has diverged.
MOST_SKIPPED = 10
#: After this many iterations, a training says how long it will take if that is more than LONG seconds.
RATED, LONG = 20, 600


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
    pictures: Callable[[int], Sequence[str]] = lambda _: (),
    trackers: Sequence[str] = ("tensorboard",),
) -> dict[str, float]:
    """Train `stage` to the end, from its checkpoint if there is one; return its last validation.

    `batches(first, last)` yields the (LR, HR) batches, in [0, 1], of iterations first to last-1, the same ones however
    often training was resumed; `pictures` names those of iteration 1, 2, ... `caught` receives the signals that ask to
    stop. Numbers go to the log and to `trackers`. Raises Interrupted after a signal, with a checkpoint written;
    RunError if training has diverged, or files cannot be written.
    """
    fabric, config = stage.fabric, stage.config
    done, kept = resume(stage, files, say)
    tally, agreement = Tally(**kept), Agreement(fabric, caught, done)

    def export(path: Path, iteration: int, measured: dict[str, float]) -> None:
        write_state(path, stage.result.state_dict(), {**metadata, "iteration": iteration, "measured": measured})

    measured: dict[str, float] = {}
    first, began = fabric.is_global_zero, time.monotonic()
    with (
        logging(files, done, trackers, metadata, say, active=first) as log,
        progress(stage.name, iterations, done, shown=first) as advance,
    ):
        for iteration, (lr, hr) in enumerate(batches(done, iterations), start=done + 1):
            _set_learning_rates(stage, iteration, iterations)
            tally.add(iteration, stage.step(lr, hr), stage.skipped)
            stop = agreement.stop(iteration)
            logs, validates, saves = (
                iteration % every == 0 or iteration == iterations
                for every in (config.log_every, config.validate_every, config.checkpoint_every)
            )
            if logs or saves or stop or fabric.device.type == "cpu":  # where looking costs nothing
                _report_skipped(stage, files, tally, pictures, log, say)
            note = ""
            if logs:
                if means := tally.means():
                    log(iteration, "loss", means)
                note = " ".join(f"{name} {value:.4g}" for name, value in means.items())
                tally = Tally(streak=tally.streak)
                if first and (warning := stage.warning(files.read_log())):
                    say(f"{stage.name}: iteration {iteration}: {warning}")
                    log(iteration, "warning", {"why": warning})
            advance(note=note)
            if iteration == done + 1:  # which may compile
                began = time.monotonic()
            if iteration == done + RATED:
                left = (iterations - iteration) * (time.monotonic() - began) / (RATED - 1)
                if left > LONG:
                    say(f"{stage.name}: about {duration(left)} to go, by the first {RATED} iterations")
            if validates:
                if first:
                    measured = stage.validate(pairs)
                if fabric.broadcast(any(map(math.isnan, measured.values()))):
                    raise _diverged(files, f"the network's output is nan after iteration {iteration}")
                if first:
                    log(iteration, "validation", measured)
                    log.picture(iteration, stage.picture)
                    export(files.snapshot(iteration), iteration, measured)
                    best = best_of(files.read_log(), config.best)
                    if best is not None and best["iteration"] == iteration:
                        log(iteration, "best", {config.best: best[config.best]})
                fabric.barrier()
            # Amid skipped iterations the checkpoint before is the better one, as long as there is a choice.
            if (saves and not tally.streak) or iteration == iterations or stop:
                _require_finite(stage, files, iteration)
                save_checkpoint(stage, files, iteration, tally.state())
                if first:
                    prune(files, config, iteration)
                fabric.barrier()
            if stop and iteration < iterations:
                raise Interrupted(stop, iteration)
    if first:
        if not measured:
            measured = stage.validate(pairs)
        export(files.network, iterations, measured)
    fabric.barrier()
    return measured


def _set_learning_rates(stage: Stage, iteration: int, iterations: int) -> None:
    """Set the learning rate of iteration 1, 2, ...; parameters that still wait get 0."""
    rate = learning_rate(stage.config, iteration - 1, iterations)
    for group in (group for optimizer in stage.optimizers for group in optimizer.param_groups):
        group["lr"] = 0.0 if iteration <= group.get(WAITS, 0) else rate


def _report_skipped(
    stage: Stage, files: StageFolder, tally: Tally, pictures: Callable[[int], Sequence[str]], log: Log, say: Say
) -> None:
    """Report the iterations skipped since the last call, with their pictures; RunError after too many in a row."""
    for number, why in tally.skipped(alone=stage.fabric.world_size == 1):
        batch = ", ".join(dict.fromkeys(pictures(number)))
        say(f"{files.folder.name}: iteration {number} was skipped: {why}{f' ({batch})' if batch else ''}")
        log(number, "skipped", {"why": why})
        if tally.streak == MOST_SKIPPED:
            raise _diverged(files, f"{why} in iteration {number}, as in the {MOST_SKIPPED - 1} before it")


def _require_finite(stage: Stage, files: StageFolder, iteration: int) -> None:
    """Raise RunError if a weight is not finite."""
    total = torch.stack([weight.float().sum() for weight in stage.result.parameters()]).sum()
    if not total.isfinite():
        raise _diverged(files, f"the network became {float(total)} before iteration {iteration}")


def _diverged(files: StageFolder, what: str) -> RunError:
    """Say how to go on after `what`, and how to keep the stages that are finished."""
    name, run = files.folder.name, Run(files.folder.parent)
    networks = {other: run.stage(other).network for other in STAGES if other != name}
    snapshots = files.snapshot(0).parent
    earlier = f" (earlier networks: {snapshots})" if snapshots.is_dir() and any(snapshots.iterdir()) else ""
    kept = " ".join(f"{other}.weights={network}" for other, network in networks.items() if network.is_file())
    return RunError(
        f"{name}: {what}; train into a new run folder with a lower {name}.learning_rate or other loss weights"
        f"{f', keeping what is finished by {kept}' if kept else ''}{earlier}."
    )
