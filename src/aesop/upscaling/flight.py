"""Several pictures at a time on their way from file to file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aesop.data.pictures import to_picture, to_planes
from aesop.data.strips import ahead
from aesop.errors import RunError
from aesop.progress import Advance
from aesop.upscaling.pictures.formats import SUFFIXES
from aesop.upscaling.pictures.sink import open_sink, require_holdable
from aesop.upscaling.pictures.source import open_source
from aesop.upscaling.pictures.xmp import Tag
from aesop.upscaling.plan import sentence
from aesop.upscaling.planes import upscale_to
from aesop.upscaling.targets import Steps, Target, steps_to
from aesop.upscaling.tiles import WHOLE_PIXELS, Upscaler

#: Pictures that are read, run or written at one time: the network runs one of them, or some in a batch.
IN_FLIGHT, IN_BATCHES = 3, 12
#: Rows of a result that are written at once.
_ROWS = 256


@dataclass(frozen=True)
class PictureJob:
    """A picture to upscale; `steps` is None where its header cannot be read."""

    source: Path
    result: Path
    steps: Steps | None

    @property
    def pixels(self) -> int:
        """How many the network has to take in."""
        return self.steps.pixels if self.steps else 0


class _Stopped(Exception):  # noqa: N818 - not an error
    """The work was given up."""


class Flight:
    """Several pictures at a time: one in the network, others being read or written; of large ones, one in all."""

    def __init__(self, upscaler: Upscaler, target: Target, made_by: str, advance: Advance, how: dict[str, Any]) -> None:
        self.upscaler, self.target, self.made_by, self.how = upscaler, target, made_by, how
        self._advance, self._counting = advance, threading.Lock()
        self._large, self._stopped = threading.Lock(), threading.Event()

    def run(self, jobs: list[PictureJob], at_once: int) -> Iterator[tuple[PictureJob, Steps | str]]:
        """Yield every job, in order, with the steps that were taken or what failed; raises RunError."""
        with ThreadPoolExecutor(at_once) as pool:
            try:
                futures = [pool.submit(self._one, job) for job in jobs]
                for job, future in zip(jobs, futures, strict=True):
                    yield job, future.result()
            finally:
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def _one(self, job: PictureJob) -> Steps | str:
        done = 0

        def advance(pixels: int) -> None:
            nonlocal done
            if self._stopped.is_set():
                raise _Stopped
            done += pixels
            try:
                with self._counting:
                    self._advance(pixels if job.pixels else 0, job.source.name)
            except Exception as error:  # who watches ends the work, not this picture
                raise _Stopped from error

        try:
            with self._large if job.pixels > WHOLE_PIXELS else nullcontext():
                return self._upscale(job, advance)
        except _Stopped as stopped:
            raise stopped.__cause__ or stopped from None
        except RunError:
            raise
        except Exception as error:  # of whatever kind, the other pictures are done
            return sentence(error, job.source)
        finally:
            if done < job.pixels and not self._stopped.is_set():
                with self._counting:
                    self._advance(job.pixels - done, job.source.name)

    def _upscale(self, job: PictureJob, advance: Callable[[int], None]) -> Steps:
        source = open_source(job.source)
        size = source.info.height, source.info.width
        steps = steps_to(self.target, *size, self.upscaler.scale)
        info = source.info.resized(steps.height, steps.width)
        key = SUFFIXES[job.result.suffix.lower()]
        require_holdable(job.result, info, key)
        dtype = torch.uint8 if info.dtype == np.uint8 else torch.uint16
        strips = map(to_planes, source.strips())
        results = upscale_to(steps, strips, info.bands, *size, self.upscaler, dtype=dtype, advance=advance)
        if job.pixels > WHOLE_PIXELS:  # smaller ones overlap with one another
            results = ahead(results)
        tag = Tag(self.made_by, steps.factor)
        with open_sink(job.result, info, key, tag=tag, **self.how) as write:
            for result in results:
                for part in result.split(_ROWS, dim=1):
                    write(to_picture(part))
        return steps
