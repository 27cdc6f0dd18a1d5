"""Ctrl-C and SIGTERM: finish the iteration, write a checkpoint, then stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from aesop.training.fabric import Fabric

#: Many processes ask each other whether to stop after about so many seconds, but at least once in so many iterations.
REACTION, AT_MOST = 5.0, 10


@contextmanager
def caught_signals() -> Iterator[list[int]]:
    """Yield a list that collects SIGINT and SIGTERM instead of ending the process; a second one ends it as usual."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}

    def note(signum: int, _frame: object) -> None:
        caught.append(signum)
        signal.signal(signum, before[signal.Signals(signum)])

    for signum in before:
        signal.signal(signum, note)
    try:
        yield caught
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


class Agreement:
    """Whether to stop, on which all processes agree: asking each other means waiting for the device, so now and then.

    When to ask next depends on numbers alone that they have exchanged, and is the same iteration for all of them.
    """

    def __init__(self, fabric: Fabric, caught: Sequence[int], done: int) -> None:
        self._fabric, self._caught = fabric, caught
        self._asked = self._next = done
        self._time = time.monotonic()

    def stop(self, iteration: int) -> int:
        """Return the signal that any process was sent, 0 if none is known of after this iteration."""
        if self._fabric.world_size == 1:
            return max(self._caught, default=0)
        if iteration < self._next:
            return 0
        now = time.monotonic()
        pace = (now - self._time) / (iteration - self._asked)
        mine = torch.tensor([float(max(self._caught, default=0)), pace], device=self._fabric.device)
        heard, pace = self._fabric.all_reduce(mine, reduce_op="max").tolist()  # pyright: ignore[reportAttributeAccessIssue]
        self._asked, self._time = iteration, now
        self._next = iteration + max(1, min(AT_MOST, int(REACTION / max(pace, 1e-9))))
        return int(heard)
