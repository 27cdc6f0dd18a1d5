"""Progress of long work: a live bar on a terminal, a plain line from time to time elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TimeRemainingColumn

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Seconds between two lines where no terminal shows a bar.
LINE_INTERVAL = 30.0


class Advance(Protocol):
    """Call it after every finished step; `note` stands behind the bar (losses, a file's name)."""

    def __call__(self, steps: int = 1, note: str = "") -> None:
        """Count `steps` more as done."""


@contextmanager
def progress(
    description: str, total: int, completed: int = 0, unit: str = "it", shown: bool = True, per: int = 1
) -> Iterator[Advance]:
    """Show how far `total` steps have come, with rate and remaining time, on standard error; `per` steps are a `unit`.

    `completed` steps that an earlier call finished count for the bar, not for the rate. Of several processes that train
    together, only the first has it `shown`.
    """
    terminal = shown and sys.stderr.isatty()
    started = last = time.monotonic()
    done, latest_note = 0, ""

    def reached_of() -> str:
        both = completed + done, total
        return "/".join(f"{steps / per:.1f}" if per > 1 else str(steps) for steps in both)

    columns = "{task.description}", BarColumn(), "{task.fields[reached]}", "{task.fields[rate]}", TimeRemainingColumn()
    bar = Progress(*columns, "{task.fields[note]}", console=Console(stderr=True))
    task = bar.add_task(description, total=total, completed=completed, reached=reached_of(), rate="", note="")

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal done, last, latest_note
        done, latest_note, now = done + steps, note or latest_note, time.monotonic()
        per_second = done / max(now - started, 1e-9)
        rate, reached = f"{per_second / per:.2f} {unit}/s", completed + done
        if terminal:
            bar.update(task, advance=steps, reached=reached_of(), rate=rate, note=latest_note)
        elif shown and (now - last >= LINE_INTERVAL or reached >= total):
            last = now
            left = duration((total - reached) / per_second) if per_second else "?"
            line = f"{description}: {reached_of()}, {rate}, {left} left"
            print(f"{line}, {latest_note}" if latest_note else line, file=sys.stderr, flush=True)

    with bar if terminal else nullcontext():
        yield advance


def in_threads(
    description: str, work: Callable[[Item], Result], items: Mapping[str, Item], completed: int = 0, shown: bool = True
) -> Iterator[tuple[str, Result]]:
    """Do `work` on pictures by name, in threads on all cores, showing progress; yield (name, result) as each is done.

    An error or Ctrl-C does not wait for those that have not begun.
    """
    with (
        ThreadPoolExecutor(os.cpu_count()) as executor,
        progress(description, completed + len(items), completed, unit="pictures", shown=shown) as advance,
    ):
        futures = {executor.submit(work, item): name for name, item in items.items()}
        try:
            for future in as_completed(futures):
                name = futures.pop(future)
                yield name, future.result()
                advance(note=name)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def duration(seconds: float) -> str:
    """`5s`, `3m20s`, `2h05m`: a length of time for people."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
