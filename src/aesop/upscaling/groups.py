"""The pictures that one generator has to upscale, and the engine that runs it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aesop.data.pictures import to_planes
from aesop.errors import AesopError
from aesop.files import require_writable
from aesop.networks.loading import LoadedGenerator
from aesop.upscaling.batches import Batches, pays
from aesop.upscaling.engines.choose import choose_engine
from aesop.upscaling.ensemble import Ensemble
from aesop.upscaling.flight import IN_BATCHES, IN_FLIGHT, PictureJob
from aesop.upscaling.pictures.source import open_source, picture_size, read_xmp
from aesop.upscaling.pictures.xmp import Tag, tag_of
from aesop.upscaling.plan import UpscaleReport, sentence
from aesop.upscaling.planes import colours_of
from aesop.upscaling.targets import Target, steps_to
from aesop.upscaling.tiles import Upscaler


def left_to_do(
    jobs: dict[Path, Path], target: Target, scale: int, made_by: str, report: UpscaleReport, *, overwrite: bool
) -> Iterator[PictureJob]:
    """What is not done yet; the rest is noted in the report."""
    for source, result in jobs.items():
        size = None
        with suppress(Exception):  # told when its turn comes
            size = picture_size(source)
        try:
            steps = steps_to(target, *size, scale) if size else None
            if overwrite or not result.exists():
                require_writable(result)
                yield PictureJob(source, result, steps)
                continue
            found = tag_of(read_xmp(result))
            tag = Tag(made_by, steps.factor if steps else found.scale if found else 0)
            if found in (None, Tag(made_by, float(f"{tag.scale:g}"))):
                report.skipped.append(result)
            else:
                other = f"{found.model}, scale {found.scale:g}"
                mend = "--overwrite replaces it, or choose another --output."
                report.failed[source] = f"{result}: is of {other}; {mend}"
        except Exception as error:  # must not end the others
            report.failed[source] = sentence(error, result)


@dataclass
class Group:
    """Pictures of one generator.

    `engine` tells what runs it, `seconds` about how long that will take (0: not known), `at_once` how many pictures may
    be in flight.
    """

    generator: LoadedGenerator
    upscaler: Upscaler
    made_by: str
    jobs: list[PictureJob]
    engine: str = ""
    seconds: float = 0.0
    at_once: int = IN_FLIGHT

    @property
    def pixels(self) -> int:
        """How many the network has to take in."""
        return sum(job.pixels for job in self.jobs)

    def choose_engine(self, wanted: str, device: torch.device, network: ThreadPoolExecutor, *, ensemble: bool) -> None:
        """Choose what runs the model, by the first picture that can be read."""
        tile = torch.zeros(3, 32, 32, dtype=torch.uint8)
        for job in self.jobs:
            with suppress(Exception):  # told when its turn comes
                tile = colours_of(to_planes(next(open_source(job.source).strips())))
                break
        given = self.generator.model, self.generator.sha256, tile
        pixels = self.pixels * (8 if ensemble else 1)
        options: dict[str, Any] = {"pixels": pixels, "device": device}
        try:
            found = choose_engine(*given, wanted=wanted, **options)
        except AesopError:
            raise
        except Exception:  # which each picture will tell
            found = choose_engine(*given, wanted="torch", **options)
        run = Ensemble(found.engine) if ensemble else found.engine
        if pays(device):
            self.upscaler.engine, self.at_once = Batches(run, network), IN_BATCHES
        else:
            self.upscaler.engine = lambda images: network.submit(run, images).result()
        self.engine, self.seconds = str(found), found.seconds * pixels
