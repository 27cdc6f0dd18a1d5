"""Trainings that depend on no other, each in a process of its own.

One thread in each of two processes gets more done than two threads in one: a small network's layers are too short for
threads to share.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
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
        """The iteration of the last log line."""
        return min(self.iterations, max((line["iteration"] for line in self.stage.read_log()), default=0))

    def start(self, threads: int) -> subprocess.Popen[bytes]:
        """Start the training in a process of its own."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "aesop", "train", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
                # A Ctrl-C reaches this process alone, which then stops the others, once.
                start_new_session=True,
            )

    def failure(self, status: int) -> RunError:
        """Why the training ended with a status other than 0."""
        if status < 0:
            return RunError(
                f"{self.title}: its training was killed by signal {-status} (too little memory?); "
                "close other programs and run the same command again to resume."
            )
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        said = lines[-1].removeprefix("aesop: ") if lines else f"its training ended with status {status}"
        return RunError(f"{self.title}: {said} (all it said: {self.log})")


def cores() -> int:
    """How many cores this process may use."""
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
    names = " and ".join(training.title for training in trainings)
    total, shown = (sum(counts) for counts in zip(*((t.iterations, t.done()) for t in trainings), strict=True))
    threads = max(1, cores() // len(trainings))
    processes: list[subprocess.Popen[bytes]] = []
    with caught_signals() as interruption, progress(f"perceptual stage, {names}", total, shown) as advance:
        try:
            processes += [training.start(threads) for training in trainings]
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
            # Looked at before the others are stopped, which ends those with a status of their own.
            statuses = [process.poll() for process in processes]
        finally:
            for process in processes:  # asked to write their checkpoints
                if process.poll() is None:
                    process.terminate()
            for process in processes:
                process.wait()
    if interruption.signum is not None:
        raise Interrupted(interruption.signum, min(training.done() for training in trainings))
    for training, status in zip(trainings, statuses, strict=True):
        if status:
            raise training.failure(status)
