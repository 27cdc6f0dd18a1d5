"""Trainings that depend on no other, each in a process of its own.

One thread in each of two processes gets more done than two threads in one: a small network's layers are too short for
threads to share.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aesop.errors import Interrupted, RunError
from aesop.progress import progress
from aesop.run import StageFolder
from aesop.training.interruption import caught_signals

#: Seconds between two looks at how far the trainings are.
INTERVAL = 0.5


@dataclass(frozen=True)
class Training:
    """A call of `aesop train` and the stage whose progress is shown."""

    title: str
    arguments: tuple[str, ...]
    stage: StageFolder
    iterations: int

    @property
    def log(self) -> Path:
        """What the process prints; beside its run, since a run folder must be empty at first."""
        return self.stage.folder.parent.with_name(f"{self.stage.folder.parent.name}.log")

    def done(self) -> int:
        """Return the iteration of the last log line."""
        return min(self.iterations, max((line["iteration"] for line in self.stage.read_log()), default=0))


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def train_side_by_side(trainings: Sequence[Training]) -> None:
    """Run all trainings at once, the cores divided among them, and show how far they are together.

    Raises:
        RunError: if one fails, with what it says; the others are stopped, with checkpoints.
        Interrupted: after SIGINT or SIGTERM, when all have written their checkpoints.

    """
    if not trainings:
        return
    total = sum(training.iterations for training in trainings)
    names = " and ".join(training.title for training in trainings)
    with caught_signals() as interruption, _processes(trainings) as processes:
        shown = sum(training.done() for training in trainings)
        with progress(f"perceptual stage, {names}", total, shown) as advance:
            while any(process.poll() is None for process in processes):
                time.sleep(INTERVAL)
                done = [training.done() for training in trainings]
                note = ", ".join(f"{t.title} {d}/{t.iterations}" for t, d in zip(trainings, done, strict=True))
                # After a resume the logs are cut back to the checkpoint; the bar waits until they catch up.
                if sum(done) > shown:
                    advance(sum(done) - shown, note)
                    shown = sum(done)
                if interruption.signum is not None or any(process.returncode for process in processes):
                    break
        if interruption.signum is not None:
            _stop(processes)
            raise Interrupted(interruption.signum, min(training.done() for training in trainings))
        # Looked at before the others are stopped, which ends those with a status of their own.
        statuses = [process.poll() for process in processes]
    for training, status in zip(trainings, statuses, strict=True):
        if status:
            raise RunError(_reason(training, status))


@contextmanager
def _processes(trainings: Sequence[Training]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start all processes; however the block is left, none of them stays behind."""
    threads = str(max(1, cores() // len(trainings)))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for training in trainings:
            training.log.parent.mkdir(parents=True, exist_ok=True)
            with training.log.open("wb") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "aesop", "train", *training.arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    # A Ctrl-C reaches this process alone, which then stops the others, once.
                    start_new_session=True,
                )
            processes.append(process)
        yield processes
    finally:
        _stop(processes)


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask the processes that still run to write their checkpoints, and wait until they have."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        process.wait()


def _reason(training: Training, status: int) -> str:
    if status < 0:
        return (
            f"{training.title}: its training was killed by signal {-status} (too little memory?); "
            "close other programs and run the same command again to resume."
        )
    lines = training.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = lines[-1].removeprefix("aesop: ") if lines else f"its training ended with status {status}"
    return f"{training.title}: {said} (all it said: {training.log})"
