"""Pictures and folders of pictures, upscaled: one by one or whole trees, several pictures in flight."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aesop.data.pictures import to_picture, to_planes
from aesop.data.strips import ahead
from aesop.device import choose_device
from aesop.errors import AesopError, RunError
from aesop.files import os_errors_explained, remove_leftovers, require_writable
from aesop.heap import kept_heap
from aesop.networks.interpolate import load_between
from aesop.networks.loading import LoadedGenerator, load_generator
from aesop.progress import Advance, progress
from aesop.upscaling.batches import Batches, pays
from aesop.upscaling.engines.choose import LIMITS, choose_engine
from aesop.upscaling.engines.kinds import find_kind
from aesop.upscaling.ensemble import Ensemble
from aesop.upscaling.formats import FORMATS, SUFFIXES
from aesop.upscaling.plan import Name, UpscaleReport, plan, sentence
from aesop.upscaling.planes import upscale_to
from aesop.upscaling.sink import open_sink, require_holdable
from aesop.upscaling.source import open_source, picture_size, read_xmp
from aesop.upscaling.targets import Steps, Target, steps_to
from aesop.upscaling.tiles import WHOLE_PIXELS, Upscaler
from aesop.upscaling.xmp import Tag, tag_of

#: Takes pixels done, pixels in all, and the name of the picture at work.
Watch = Callable[[int, int, str], None]

#: Rows of a result that are written at once.
_ROWS = 256
#: Pictures that are read, run or written at one time: the network runs one of them, or some in a batch.
_IN_FLIGHT, _IN_BATCHES = 3, 12


@dataclass(frozen=True)
class _Job:
    """A picture to upscale; `steps` is None where its header cannot be read."""

    source: Path
    result: Path
    steps: Steps | None

    @property
    def pixels(self) -> int:
        return self.steps.pixels if self.steps else 0


@os_errors_explained()
def upscale(
    inputs: Path | str | Sequence[Path | str],
    model: Path | str | LoadedGenerator,
    output: Path | str,
    *,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    megapixels: float | None = None,
    fidelity: float | None = None,
    ensemble: bool = False,
    name: str = "{stem}",
    tile: int | None = None,
    device: str = "auto",
    format: str | None = None,
    quality: int | None = None,
    strip: bool = False,
    engine: str = "auto",
    overwrite: bool = False,
    watch: Watch | None = None,
) -> UpscaleReport:
    """Upscale pictures, and all those in folders (nested, same relative names), into the folder `output`.

    Args:
        inputs: pictures and folders.
        model: a model file, a run folder or a generator that is loaded already.
        output: the folder for the results. They keep grey, 16 bits, alpha (upscaled by bicubic), profile, EXIF, XMP
            and resolution.
        scale, width, height, megapixels: how large results are to be, by one of them (see `Target`); unset, the model's
            scale. The model runs as often as it takes, and an antialiased bicubic resize makes the rest.
        fidelity: between a run's perceptual network (0) and its fidelity network (1); `model` is its folder then.
        ensemble: the mean over the eight flips and rotations, for eight times the work.
        name: what results are called, without suffix: `{stem}`, `{model}` and `{scale}` are replaced.
        tile: a tile's side in pixels of the input; None cuts up large pictures only, as memory allows.
        device: `cpu`, `cuda`, `mps`, ...; `auto` is the best there is.
        engine: `auto` is the fastest at 50 dB or more from float32, `exact` at 100 dB or more; others are named in
            docs/upscaling.md. The first picture decides.
        format: a key of FORMATS, for all results; None for each input's format (PNG for GIF, HEIC and JPEG XL).
        quality: 1 to 100, of JPEG, WebP and AVIF.
        strip: leave metadata out; colours become sRGB.
        overwrite: replace results that exist. Without it, those that another model made are an error.
        watch: is told how far the work has come; what it raises ends the work, and is raised here.

    Raises:
        AesopError: before anything is upscaled: for a missing input, a model that cannot be loaded, results that
            would replace an input or one another, a folder that cannot be written.
        RunError: where the disk is full.

    """
    inputs = [Path(given) for given in ([inputs] if isinstance(inputs, Path | str) else inputs)]
    output, report, target = Path(output), UpscaleReport(), Target(scale, width, height, megapixels)
    if format is not None and not (format in FORMATS and FORMATS[format].written):
        raise AesopError(f"--format {format}: choose one of {', '.join(k for k, f in FORMATS.items() if f.written)}.")
    if quality is not None and not 1 <= quality <= 100:
        raise AesopError(f"--quality must be from 1 to 100, not {quality}.")
    Name(name, scale=1)
    chosen = choose_device(device)
    if engine not in LIMITS:
        find_kind(engine, chosen)
    generator = _loaded(model, fidelity)
    known = target.factor(1, 1, generator.scale) if target in (Target(), Target(scale)) else None
    called = Name(name, generator.path.stem, known)
    jobs = plan(inputs, output, format, report, called)
    upscaler = Upscaler(generator.model.to(chosen), generator.scale, tile)
    require_writable(output / "result.png")
    for folder in {result.parent for result in jobs.values()}:
        remove_leftovers(folder)
    made_by = f"{generator.path.stem} {generator.sha256[:12]}".strip()
    made_by += (f" fidelity {fidelity:g}" if fidelity is not None else "") + (" ensemble" if ensemble else "")
    to_do = list(_left_to_do(jobs, target, upscaler.scale, made_by, report, overwrite=overwrite))
    if not to_do:
        return report
    start, work = time.monotonic(), sum(job.pixels for job in to_do)
    with kept_heap(), ThreadPoolExecutor(1) as network:
        run, report.engine = _engine(to_do, generator, engine, chosen, work * (8 if ensemble else 1))
        if ensemble:
            run = Ensemble(run)
        upscaler.engine = Batches(run, network) if pays(chosen) else lambda images: network.submit(run, images).result()
        done = sum(job.steps.height * job.steps.width for job in to_do if job.steps)
        count = "1 picture" if len(to_do) == 1 else f"{len(to_do)} pictures"
        print(f"upscale: {count} to {max(done / 1e6, 0.1):,.1f} megapixels; {report.engine}", file=sys.stderr)
        with progress("upscale", max(work, 1), unit="MP", per=1_000_000) as bar:
            advance = bar if watch is None else _watched(bar, watch, max(work, 1))
            flight = _Flight(upscaler, target, made_by, advance, {"quality": quality, "strip": strip})
            for job, outcome in flight.run(to_do, _IN_BATCHES if pays(chosen) else _IN_FLIGHT):
                if isinstance(outcome, str):
                    report.failed[job.source] = outcome
                else:
                    report.written.append(job.result)
                    report.megapixels += outcome.height * outcome.width / 1e6
    report.seams, report.seconds = upscaler.seams, time.monotonic() - start
    return report


def _watched(bar: Advance, watch: Watch, work: int) -> Advance:
    """Advance the bar, and tell `watch`."""
    done = 0

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal done
        done += steps
        bar(steps, note)
        watch(done, work, note)

    return advance


def _loaded(model: Path | str | LoadedGenerator, fidelity: float | None) -> LoadedGenerator:
    if fidelity is None:
        return model if isinstance(model, LoadedGenerator) else load_generator(model)
    if not 0 <= fidelity <= 1:
        raise AesopError(f"--fidelity must be from 0 to 1, not {fidelity:g}.")
    if isinstance(model, LoadedGenerator):
        raise AesopError("--fidelity needs a run's folder as the model, with a fidelity and a perceptual network.")
    return load_between(model, 1 - fidelity)


def _left_to_do(
    jobs: dict[Path, Path], target: Target, scale: int, made_by: str, report: UpscaleReport, *, overwrite: bool
) -> Iterator[_Job]:
    """What is not done yet; the rest is noted in the report."""
    for source, result in jobs.items():
        size = None
        with suppress(AesopError, OSError):  # told when its turn comes
            size = picture_size(source)
        try:
            steps = steps_to(target, *size, scale) if size else None
            if overwrite or not result.exists():
                require_writable(result)
                yield _Job(source, result, steps)
                continue
            found = tag_of(read_xmp(result))
            tag = Tag(made_by, steps.factor if steps else found.scale if found else 0)
            if found in (None, Tag(made_by, float(f"{tag.scale:g}"))):
                report.skipped.append(result)
            else:
                other = f"{found.model}, scale {found.scale:g}"
                mend = "--overwrite replaces it, or choose another --output."
                report.failed[source] = f"{result}: is of {other}; {mend}"
        except (AesopError, OSError) as error:
            report.failed[source] = sentence(error, result)


def _engine(
    jobs: list[_Job], generator: LoadedGenerator, wanted: str, device: torch.device, pixels: int
) -> tuple[Callable[[Tensor], Tensor], str]:
    """Choose what runs the model, by the first picture that can be read; and tell what it is."""
    tile = torch.zeros(3, 32, 32, dtype=torch.uint8)
    for job in jobs:
        with suppress(AesopError, OSError):
            planes = to_planes(next(open_source(job.source).strips()))
            tile = planes[:3] if len(planes) > 2 else planes[:1].expand(3, -1, -1)
            break
    try:
        found = choose_engine(generator.model, generator.sha256, tile, wanted=wanted, pixels=pixels, device=device)
    except RuntimeError:  # which each picture will tell
        found = choose_engine(generator.model, generator.sha256, tile, wanted="torch", pixels=pixels, device=device)
    return found.engine, str(found)


class _Stopped(Exception):  # noqa: N818 - not an error
    """The work was given up."""


class _Flight:
    """Several pictures at a time: one in the network, others being read or written; of large ones, one in all."""

    def __init__(self, upscaler: Upscaler, target: Target, made_by: str, advance: Advance, how: dict[str, Any]) -> None:
        self.upscaler, self.target, self.made_by, self.how = upscaler, target, made_by, how
        self._advance, self._counting = advance, threading.Lock()
        self._large, self._stopped = threading.Lock(), threading.Event()

    def run(self, jobs: list[_Job], at_once: int) -> Iterator[tuple[_Job, Steps | str]]:
        """Yield every job, in order, with the steps that were taken or what failed; raises RunError."""
        with ThreadPoolExecutor(at_once) as pool:
            try:
                futures = [pool.submit(self._one, job) for job in jobs]
                for job, future in zip(jobs, futures, strict=True):
                    yield job, future.result()
            finally:
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def _one(self, job: _Job) -> Steps | str:
        done = 0

        def advance(pixels: int) -> None:
            nonlocal done
            if self._stopped.is_set():
                raise _Stopped
            done += pixels
            with self._counting:
                self._advance(pixels if job.pixels else 0, job.source.name)

        try:
            with self._large if job.pixels > WHOLE_PIXELS else nullcontext():
                return self._upscale(job, advance)
        except RunError:
            raise
        except (torch.OutOfMemoryError, MemoryError):
            return "not enough memory; close other programs, or take another --device."
        except (AesopError, RuntimeError, OSError) as error:
            return sentence(error, job.source)
        finally:
            if done < job.pixels and not self._stopped.is_set():
                with self._counting:
                    self._advance(job.pixels - done, job.source.name)

    def _upscale(self, job: _Job, advance: Callable[[int], None]) -> Steps:
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
