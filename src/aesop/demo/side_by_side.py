"""Independent trainings, each in a process of its own: a small network's layers are too short for threads to share."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from joblib import cpu_count

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
        """What the process prints; beside its run, which must be empty at first."""
        return self.stage.folder.parent.with_name(f"{self.stage.folder.parent.name}.log")

    def done(self) -> int:
        """The iteration of the last log line."""
        return min(self.iterations, logged_iterations(self.stage))

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


def logged_iterations(stage: StageFolder) -> int:
    """The last iteration of a stage's log."""
    return max((line["iteration"] for line in stage.read_log()), default=0)


def train_side_by_side(trainings: Sequence[Training]) -> None:
    """Run all trainings at once, the cores divided among them, and show how far they are together.

    Raises RunError if one fails, with what it says, and Interrupted after SIGINT or SIGTERM, each after all others have
    written their checkpoints.
    """
    if not trainings:
        return
    names = " and ".join(training.title for training in trainings)
    total, shown = (sum(counts) for counts in zip(*((t.iterations, t.done()) for t in trainings), strict=True))
    threads = max(1, cpu_count() // len(trainings))
    processes: list[subprocess.Popen[bytes]] = []
    with caught_signals() as interruption, progress(f"perceptual stage, {names}", total, shown) as advance:
        try:
            processes += [training.start(threads) for training in trainings]
            while any(process.poll() is None for process in processes):
                time.sleep(INTERVAL)
                done = [training.done() for training in trainings]
                note = ", ".join(f"{t.title} {d}/{t.iterations}" for t, d in zip(trainings, done, strict=True))
                # A resumed log is cut back to the checkpoint; the bar waits for it.
                if sum(done) > shown:
                    advance(sum(done) - shown, note)
                    shown = sum(done)
                if interruption.signum is not None or any(process.returncode for process in processes):
                    break
            # Before the others are stopped, which gives them a status.
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
