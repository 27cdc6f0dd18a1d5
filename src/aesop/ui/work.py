"""What the page does with pictures: upscale them in a thread, tell how far that is, stop when asked, show results."""

from __future__ import annotations

import os
import queue
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from PIL import Image

from aesop.data.pictures import read_picture
from aesop.errors import AesopError
from aesop.files import explained, printable
from aesop.upscaling.pictures.source import picture_size
from aesop.upscaling.plan import UpscaleReport, plan
from aesop.upscaling.upscale import upscale
from aesop.words import one_line

#: Longest side of what the slider shows.
PREVIEW = 1600
#: Pixels of the largest result that is shown.
SHOWN = 60_000_000
#: Seconds between two looks at the work.
LOOK = 0.2
CANCELLED = "Cancelled."


class Cancelled(Exception):  # noqa: N818 - not an error
    """The user has given the work up."""


@dataclass
class Work:
    """Pictures that wait for their turn, or are being upscaled in a thread; `stop` may be set at any time."""

    folder: Path
    inputs: list[Path]
    settings: dict[str, Any]
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    report: UpscaleReport | None = None
    error: str = ""

    @classmethod
    def of(cls, uploads: Sequence[str], root: Path, **settings: Any) -> Work:
        """Collect the uploads in a new folder in `root`, by their names; of two of one name, the later is numbered."""
        folder = Path(mkdtemp(dir=root))
        (folder / "in").mkdir()
        inputs: list[Path] = []
        for upload in map(Path, uploads):
            names = (upload.name, *(f"{upload.stem} ({number}){upload.suffix}" for number in range(2, 1000)))
            used = {path.name.lower() for path in inputs}
            inputs.append(folder / "in" / next(name for name in names if name.lower() not in used))
            shutil.copyfile(upload, inputs[-1])
        return cls(folder, inputs, settings)

    def run(self) -> Iterator[tuple[float, str]]:
        """Work, and yield now and then the part that is done and the name of the picture at work."""
        if self.stop.is_set():  # while it waited for its turn
            self.error = CANCELLED
            return
        told: queue.Queue[tuple[float, str]] = queue.Queue()

        def watch(done: int, work: int, name: str) -> None:
            if self.stop.is_set():
                raise Cancelled
            told.put((done / work, name))

        def upscale_all() -> None:
            try:
                self.report = upscale(self.inputs, output=self.folder / "out", watch=watch, **self.settings)
            except Cancelled:
                self.error = CANCELLED
            except AesopError as error:
                self.error = str(error)
            except OSError as error:
                self.error = explained(error)
            except Exception as error:  # or else nobody would hear of it
                self.error = one_line(error) or type(error).__name__

        self.thread = threading.Thread(target=upscale_all, daemon=True)
        self.thread.start()
        last = (0.0, "")
        while self.thread.is_alive():
            self.thread.join(LOOK)
            while not told.empty():
                last = told.get()
            yield last

    @property
    def waits(self) -> bool:
        """Whether its turn is still to come."""
        return self.thread is None and not self.error

    @property
    def over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.report is not None or bool(self.error)

    def drop(self) -> None:
        """Give the work up, and remove its files as soon as nobody writes any."""
        self.stop.set()
        if self.thread is not None:
            self.thread.join()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def results(self) -> list[tuple[Path, Path]]:
        """Inputs and their results, those that are whole; after a cancellation, what was finished before it."""
        planned = plan(self.inputs, self.folder / "out", self.settings.get("format"), UpscaleReport())
        return [(source, result) for source, result in planned.items() if result.is_file()]

    def told(self) -> str:
        """Say what became of the pictures."""
        lines = [self.error.replace(f"{self.folder}{os.sep}", "")] if self.error else []
        if self.report is not None:
            failed = [f"{printable(path.name)}: {reason}" for path, reason in self.report.failed.items()]
            lines = [f"{len(self.report.written)} upscaled; {self.report.engine}"]
            lines += [line.replace(f"{self.folder}{os.sep}in{os.sep}", "") for line in failed]
            lines += [line.replace(f"{self.folder}{os.sep}out{os.sep}", "") for line in self.report.notes]
        return "\n".join(lines)


def preview(source: Path, result: Path) -> tuple[Image.Image, Image.Image] | None:
    """Return a picture by bicubic upscaling and its result, of one size for the screen; None of huge ones."""
    height, width = picture_size(result)
    if height * width > SHOWN:
        return None
    before, after = (Image.fromarray(read_picture(path)) for path in (source, result))
    if max(after.size) > PREVIEW:
        factor = PREVIEW / max(after.size)
        width, height = (max(1, round(length * factor)) for length in after.size)
        after = after.resize((width, height), Image.Resampling.LANCZOS)
    return before.resize(after.size, Image.Resampling.BICUBIC), after
