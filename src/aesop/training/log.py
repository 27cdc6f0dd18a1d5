"""A stage's log: numbers as lines of JSON, pictures as files, and both for the trackers that its recipe names."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from aesop.data.pictures import write_picture
from aesop.files import write_atomically
from aesop.run import StageFolder
from aesop.training.stage import Say
from aesop.training.trackers import Start, Tracker, numbers_of, start
from aesop.words import first_line


class Log:
    """The log of a stage. Without `files`, as in every process but the first, it writes nothing."""

    def __init__(self, files: StageFolder | None, trackers: dict[str, Tracker], say: Say) -> None:
        self.files, self.trackers, self.say = files, trackers, say
        self.started = time.monotonic()

    def __call__(self, iteration: int, kind: str, values: Mapping[str, Any]) -> None:
        """Log a line of this kind (`loss`, `validation`, ...)."""
        if self.files is None:
            return
        seconds = round(time.monotonic() - self.started, 3)
        line = {"iteration": iteration, "kind": kind, "seconds": seconds, **values}
        with self.files.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if numbers := numbers_of(line):
            self.tell(lambda tracker: tracker.numbers(iteration, numbers))

    def picture(self, iteration: int, picture: np.ndarray) -> None:
        """Log the picture of a validation: uint8, H x W x 3."""
        if self.files is not None:
            write_picture(self.files.picture(iteration), picture)
            self.tell(lambda tracker: tracker.picture(iteration, picture))

    def tell(self, what: Callable[[Tracker], None]) -> None:
        """Tell all trackers; one that fails, such as a server that is gone, is dropped and training continues."""
        for name, tracker in list(self.trackers.items()):
            try:
                what(tracker)
            except Exception as error:  # each package has its own errors
                del self.trackers[name]
                self.say(f"trackers: {name} failed; training continues without it ({first_line(error)})")


@contextmanager
def logging(
    files: StageFolder, done: int, trackers: Sequence[str], about: Mapping[str, Any], say: Say, *, active: bool
) -> Iterator[Log]:
    """Yield the log of a stage that resumes after iteration `done`; what was logged after it is dropped."""
    if not active:
        yield Log(None, {}, say)
        return
    files.folder.mkdir(parents=True, exist_ok=True)
    lines = files.read_log()
    kept = [line for line in lines if line["iteration"] <= done]
    logged = max((line["iteration"] for line in lines), default=0)
    write_atomically(files.log, "".join(f"{json.dumps(line)}\n" for line in kept))
    log = Log(files, start(trackers, Start(files, done, kept, logged, about)), say)
    finished = False
    try:
        yield log
        finished = True
    finally:
        log.tell(lambda tracker: tracker.finish(finished=finished))
