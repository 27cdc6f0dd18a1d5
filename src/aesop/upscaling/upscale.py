"""`aesop.upscale`: a picture in memory, or files: whole trees of them, several in flight."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL import Image

from aesop.box import AUTO
from aesop.device import choose_device
from aesop.errors import AesopError, RunError
from aesop.files import os_errors_explained, remove_leftovers, require_writable
from aesop.heap import kept_heap
from aesop.networks.loading import LoadedGenerator
from aesop.progress import Advance, duration, progress
from aesop.upscaling.engines.choose import require_engine
from aesop.upscaling.fitting import generators_for
from aesop.upscaling.flight import Flight
from aesop.upscaling.groups import Group, left_to_do
from aesop.upscaling.in_memory import Picture, upscale_picture
from aesop.upscaling.pictures.formats import FORMATS
from aesop.upscaling.plan import Name, UpscaleReport, plan
from aesop.upscaling.room import held_bytes
from aesop.upscaling.targets import Target
from aesop.upscaling.tiles import Upscaler
from aesop.words import listed

#: What results are called.
NAME = "{stem}"
#: Seconds from which on the time that work will take is told before it.
LONG = 60
#: Bytes a pixel that an encoder takes which needs the whole picture, as measured with WebP.
ENCODED_WHOLE = 23
#: Takes pixels done, pixels in all, and the name of the picture at work.
Watch = Callable[[int, int, str], None]


@overload
def upscale(
    inputs: Path | str | Sequence[Path | str],
    model: LoadedGenerator | Path | str = ...,
    output: Path | str | None = ...,
    *,
    scale: float | None = ...,
    width: int | None = ...,
    height: int | None = ...,
    megapixels: float | None = ...,
    fidelity: float | None = ...,
    ensemble: bool = ...,
    tile: int | None = ...,
    device: str = ...,
    engine: str | None = ...,
    name: str = ...,
    format: str | None = ...,
    quality: int | None = ...,
    strip: bool = ...,
    overwrite: bool = ...,
    watch: Watch | None = ...,
) -> UpscaleReport: ...
@overload
def upscale(
    inputs: Picture,
    model: LoadedGenerator | Path | str = ...,
    *,
    scale: float | None = ...,
    width: int | None = ...,
    height: int | None = ...,
    megapixels: float | None = ...,
    fidelity: float | None = ...,
    ensemble: bool = ...,
    tile: int | None = ...,
    device: str = ...,
    engine: str | None = ...,
) -> Picture: ...
@os_errors_explained()
def upscale(
    inputs: Any,
    model: LoadedGenerator | Path | str = AUTO,
    output: Path | str | None = None,
    *,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    megapixels: float | None = None,
    fidelity: float | None = None,
    ensemble: bool = False,
    tile: int | None = None,
    device: str = "auto",
    engine: str | None = None,
    name: str = NAME,
    format: str | None = None,
    quality: int | None = None,
    strip: bool = False,
    overwrite: bool = False,
    watch: Watch | None = None,
) -> Any:
    """Upscale a picture in memory, and return one of the same kind; or picture files, into the folder `output`.

    Args:
        inputs: an array, a tensor or a PIL image, as of `upscale_picture`; or pictures' files and folders.
        model: a model file, a run folder or a generator that is loaded already; `auto` is the one in the box that fits
            each picture: `photo-x4` those of lossy formats (up to twice the size, `photo-x2`), `clean-x4` others; with
            `fidelity`, the dial of `clean-x4-aesop`.
        output: the folder for the results of files, unset `upscaled`. They keep grey, 16 bits, alpha (upscaled by
            bicubic), profile, EXIF, XMP and resolution.
        scale, width, height, megapixels: how large results are to be, by one of them (see `Target`); unset, the model's
            scale. The model runs as often as it takes, and an antialiased bicubic resize makes the rest.
        fidelity: between a run's perceptual network (0) and its fidelity network (1); `model` is its folder then.
        ensemble: the mean over the eight flips and rotations, for eight times the work.
        tile: a tile's side in pixels of the input; None cuts up large pictures only, as memory allows.
        device: `cpu`, `cuda`, `mps`, ...; `auto` is the best there is.
        engine: `auto` is the fastest at 50 dB or more from float32, `exact` at 100 dB or more; others are named in
            docs/upscaling.md. The first picture decides. Unset, `auto` for files, and `torch` for a picture in memory.
        name: of files, as all that follows: what results are called, without suffix: `{stem}`, `{model}` and `{scale}`
            are replaced.
        format: a key of FORMATS, for all results; None for what each input's suffix names (PNG for GIF, HEIC, JPEG XL).
        quality: 1 to 100, of JPEG, WebP and AVIF.
        strip: leave metadata out; colours become sRGB.
        overwrite: replace results that exist. Without it, those that another model made are an error.
        watch: is told how far the work has come; what it raises ends the work, and is raised here.

    Raises:
        AesopError: before anything is upscaled: for a missing input, a model that cannot be loaded, results that
            would replace an input or one another, a folder that cannot be written, an option of files that is given
            with a picture in memory.
        RunError: where the disk is full.
        ValueError: for a picture in memory of a type, shape or mode that is not upscaled.

    """
    picture = inputs  # of a type of its own, not of one of three
    if isinstance(inputs, Image.Image | np.ndarray | torch.Tensor):
        given = {"output": output, "format": format, "quality": quality, "watch": watch}
        given |= {"name": name != NAME, "strip": strip, "overwrite": overwrite}
        if wrong := [option for option, value in given.items() if value not in (None, False)]:
            raise AesopError(f"{listed(wrong)}: for files only; leave it out, a picture in memory is returned as one.")
        size: dict[str, Any] = {"scale": scale, "width": width, "height": height, "megapixels": megapixels}
        how: dict[str, Any] = {"fidelity": fidelity, "ensemble": ensemble, "tile": tile, "device": device}
        return upscale_picture(picture, model, engine=engine or "torch", **size, **how)
    inputs = list(inputs) if isinstance(inputs, Iterable) and not isinstance(inputs, str) else [inputs]
    if not all(isinstance(given, Path | str) for given in inputs):
        raise AesopError("aesop.upscale takes paths, or one picture: a PIL image, an array or a tensor.")
    inputs, output = [Path(given) for given in inputs], Path(output or "upscaled")
    report, engine, target = UpscaleReport(), engine or "auto", Target(scale, width, height, megapixels)
    hardware = choose_device(device)
    _check(format, quality, name, engine, hardware)
    generator_of = generators_for(model, fidelity, target)

    def called(source: Path) -> Name:
        generator = generator_of(source)
        known = None if target.by_size else target.factor(1, 1, generator.scale)
        return Name(name, generator.path.stem, known)

    jobs = plan(inputs, output, format, report, called)
    require_writable(output / "result.png", told=output)
    for folder in {result.parent for result in jobs.values()}:
        remove_leftovers(folder)
    varied = (f" fidelity {fidelity:g}" if fidelity not in (None, 0, 1) else "") + (" ensemble" if ensemble else "")
    groups: list[Group] = []
    for generator in {id(found): found for found in map(generator_of, jobs)}.values():
        made_by = f"{generator.path.stem} {generator.sha256[:12]}".strip() + varied
        own = {source: result for source, result in jobs.items() if generator_of(source) is generator}
        if to_do := list(left_to_do(own, target, generator.scale, made_by, report, overwrite=overwrite)):
            groups.append(
                Group(generator, Upscaler(generator.model.to(hardware), generator.scale, tile), made_by, to_do)
            )
    if groups:
        start = time.monotonic()
        with kept_heap(), ThreadPoolExecutor(1) as network:
            for group in groups:
                group.choose_engine(engine, hardware, network, ensemble=ensemble)
            _run(groups, target, report, watch, {"quality": quality, "strip": strip, "notes": report.notes})
        report.seconds = time.monotonic() - start
    return report


def _check(format: str | None, quality: int | None, name: str, engine: str, hardware: torch.device) -> None:
    """Raise AesopError for an option that nothing can be done with."""
    if format is not None and not (format in FORMATS and FORMATS[format].written):
        raise AesopError(f"--format {format}: choose one of {', '.join(k for k, f in FORMATS.items() if f.written)}.")
    if quality is not None and not 1 <= quality <= 100:
        raise AesopError(f"--quality must be from 1 to 100, not {quality}.")
    Name(name, scale=1)
    require_engine(engine, hardware)


def _run(
    groups: list[Group], target: Target, report: UpscaleReport, watch: Watch | None, options: dict[str, Any]
) -> None:
    """Upscale the pictures of all groups, told before and noted in the report."""
    names = [group.generator.path.stem for group in groups]
    engines = [group.engine for group in groups]
    report.engine = "; ".join(engines if len(groups) == 1 else map(": ".join, zip(names, engines, strict=True)))
    to_do = [job for group in groups for job in group.jobs]
    result_pixels = sum(job.steps.height * job.steps.width for job in to_do if job.steps)
    count = "1 picture" if len(to_do) == 1 else f"{len(to_do)} pictures"
    size = f"{max(result_pixels / 1e6, 0.1):,.1f} megapixels"
    seconds = sum(group.seconds for group in groups)
    needed = f"; about {duration(seconds)}{_memory(groups)}" if seconds >= LONG else ""
    print(f"upscale: {count} to {size} by {', '.join(names)}; {report.engine}{needed}", file=sys.stderr)
    work = max(sum(group.pixels for group in groups), 1)
    with progress("upscale", work, unit="MP", per=1_000_000) as bar:
        advance = bar if watch is None else _watched(bar, watch, work)
        try:
            for group in groups:
                flight = Flight(group.upscaler, target, group.made_by, advance, options)
                for job, outcome in flight.run(group.jobs, group.at_once):
                    if isinstance(outcome, str):
                        report.failed[job.source] = outcome
                    else:
                        report.written.append(job.result)
                        report.megapixels += outcome.height * outcome.width / 1e6
        except RunError as error:
            done = f"{len(report.written)} of {len(to_do)} pictures are written; the same command does the others."
            raise RunError(f"{error} {done}") from error
    report.seams = any(group.upscaler.seams for group in groups)


def _memory(groups: list[Group]) -> str:
    """Estimate this process's memory with the largest picture at work; empty where it cannot be told."""
    if (held := held_bytes()) is None:
        return ""
    most = 0.0
    for group in groups:
        largest = max(group.jobs, key=lambda job: job.pixels)
        if (steps := largest.steps) is not None:
            before = group.upscaler.scale ** (steps.passes - 1)  # the last pass has the largest picture
            sides = (math.ceil(side / steps.factor) * before for side in (steps.height, steps.width))
            whole = ENCODED_WHOLE * steps.height * steps.width if largest.result.suffix in (".webp", ".avif") else 0
            most = max(most, group.upscaler.memory(*sides) + whole)
    return f" and {(held + most) / 1e9:.1f} GB of memory"


def _watched(bar: Advance, watch: Watch, work: int) -> Advance:
    """Advance the bar, and tell `watch`."""
    done = 0

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal done
        done += steps
        bar(steps, note)
        watch(done, work, note)

    return advance
