"""Progress of long work: a live bar on a terminal, a plain line from time to time elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

#: Seconds between two lines where no terminal shows a bar.
LINE_INTERVAL = 30.0


class Advance(Protocol):
    """Call it after every finished step; `note` stands behind the bar (losses, a file's name)."""

    def __call__(self, steps: int = 1, note: str = "") -> None:
        """Count `steps` more as done."""
        ...


@contextmanager
def progress(
    description: str, total: int, completed: int = 0, unit: str = "it", shown: bool = True
) -> Iterator[Advance]:
    """Show how far `total` steps have come, with rate and remaining time, on standard error.

    `completed` steps that an earlier call finished count for the bar, not for the rate. Of many processes that train
    together, one has it `shown`.
    """
    if not shown:
        yield _silence
    elif sys.stderr.isatty():
        with _bar(description, total, completed, unit) as advance:
            yield advance
    else:
        yield _lines(description, total, completed, unit)


def _silence(steps: int = 1, note: str = "") -> None:
    del steps, note


def duration(seconds: float) -> str:
    """`5s`, `3m20s`, `2h05m`: a length of time for people."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


@contextmanager
def _bar(description: str, total: int, completed: int, unit: str) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    started, done = time.monotonic(), 0
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total, completed=completed, rate="", note="")

        def advance(steps: int = 1, note: str = "") -> None:
            nonlocal done
            done += steps
            rate = f"{done / max(time.monotonic() - started, 1e-9):.2f} {unit}/s"
            bar.update(task, advance=steps, rate=rate)
            if note:
                bar.update(task, note=note)

        yield advance


def _lines(description: str, total: int, completed: int, unit: str) -> Advance:
    started = last = time.monotonic()
    done, latest_note = completed, ""

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal done, last, latest_note
        done += steps
        latest_note = note or latest_note
        now = time.monotonic()
        if now - last >= LINE_INTERVAL or done >= total:
            last = now
            rate = (done - completed) / max(now - started, 1e-9)
            left = duration((total - done) / rate) if rate else "?"
            line = f"{description}: {done}/{total}, {rate:.2f} {unit}/s, {left} left"
            print(f"{line}, {latest_note}" if latest_note else line, file=sys.stderr, flush=True)

    return advance
