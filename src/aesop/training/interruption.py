"""Ctrl-C and SIGTERM: finish the iteration, write a checkpoint, then stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interruption:
    """The signal that asked to stop, once one did."""

    signum: int | None = None


@contextmanager
def caught_signals() -> Iterator[Interruption]:
    """Note SIGINT and SIGTERM instead of dying of them; a second one kills as usual."""
    noted = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}

    def note(signum: int, _frame: object) -> None:
        noted.signum = signum
        signal.signal(signum, before[signal.Signals(signum)])

    for signum in before:
        signal.signal(signum, note)
    try:
        yield noted
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
