"""Pictures and folders of pictures, upscaled: one by one or whole trees, several pictures in flight."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aesop.data.pictures import to_planes
from aesop.device import choose_device
from aesop.errors import AesopError
from aesop.files import os_errors_explained, remove_leftovers, require_writable
from aesop.heap import kept_heap
from aesop.networks.loading import LoadedGenerator
from aesop.progress import Advance, progress
from aesop.upscaling.batches import Batches, pays
from aesop.upscaling.engines.choose import LIMITS, choose_engine
from aesop.upscaling.engines.kinds import find_kind
from aesop.upscaling.ensemble import Ensemble
from aesop.upscaling.fitting import generators_for
from aesop.upscaling.flight import IN_BATCHES, IN_FLIGHT, Flight, PictureJob
from aesop.upscaling.formats import FORMATS
from aesop.upscaling.plan import Name, UpscaleReport, plan, sentence
from aesop.upscaling.source import open_source, picture_size, read_xmp
from aesop.upscaling.targets import Target, steps_to
from aesop.upscaling.tiles import Upscaler
from aesop.upscaling.xmp import Tag, tag_of

#: Takes pixels done, pixels in all, and the name of the picture at work.
Watch = Callable[[int, int, str], None]


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
        model: a model file, a run folder or a generator that is loaded already; `auto` is the one in the box that fits
            each picture: `photo-x4` those of lossy formats, `clean-x4` others and with `fidelity`.
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
    hardware = choose_device(device)
    if engine not in LIMITS:
        find_kind(engine, hardware)
    generator_of = generators_for(model, fidelity)

    def called(source: Path) -> Name:
        generator = generator_of(source)
        known = target.factor(1, 1, generator.scale) if target in (Target(), Target(scale)) else None
        return Name(name, generator.path.stem, known)

    jobs = plan(inputs, output, format, report, called)
    require_writable(output / "result.png")
    for folder in {result.parent for result in jobs.values()}:
        remove_leftovers(folder)
    how = (f" fidelity {fidelity:g}" if fidelity is not None else "") + (" ensemble" if ensemble else "")
    groups: list[_Group] = []
    for generator in {id(found): found for found in map(generator_of, jobs)}.values():
        made_by = f"{generator.path.stem} {generator.sha256[:12]}".strip() + how
        own = {source: result for source, result in jobs.items() if generator_of(source) is generator}
        if to_do := list(_left_to_do(own, target, generator.scale, made_by, report, overwrite=overwrite)):
            groups.append(
                _Group(generator, Upscaler(generator.model.to(hardware), generator.scale, tile), made_by, to_do)
            )
    if not groups:
        return report
    start, work = time.monotonic(), sum(group.pixels for group in groups)
    with kept_heap(), ThreadPoolExecutor(1) as network:
        engines = [group.choose_engine(engine, hardware, network, ensemble=ensemble) for group in groups]
        names = [group.generator.path.stem for group in groups]
        told = engines if len(groups) == 1 else map(": ".join, zip(names, engines, strict=True))
        report.engine = "; ".join(told)
        to_do = [job for group in groups for job in group.jobs]
        done = sum(job.steps.height * job.steps.width for job in to_do if job.steps)
        count = "1 picture" if len(to_do) == 1 else f"{len(to_do)} pictures"
        size = f"{max(done / 1e6, 0.1):,.1f} megapixels"
        print(f"upscale: {count} to {size} by {', '.join(names)}; {report.engine}", file=sys.stderr)
        with progress("upscale", max(work, 1), unit="MP", per=1_000_000) as bar:
            advance = bar if watch is None else _watched(bar, watch, max(work, 1))
            for group in groups:
                options = {"quality": quality, "strip": strip}
                flight = Flight(group.upscaler, target, group.made_by, advance, options)
                for job, outcome in flight.run(group.jobs, IN_BATCHES if pays(hardware) else IN_FLIGHT):
                    if isinstance(outcome, str):
                        report.failed[job.source] = outcome
                    else:
                        report.written.append(job.result)
                        report.megapixels += outcome.height * outcome.width / 1e6
    report.seams, report.seconds = any(group.upscaler.seams for group in groups), time.monotonic() - start
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


def _left_to_do(
    jobs: dict[Path, Path], target: Target, scale: int, made_by: str, report: UpscaleReport, *, overwrite: bool
) -> Iterator[PictureJob]:
    """What is not done yet; the rest is noted in the report."""
    for source, result in jobs.items():
        size = None
        with suppress(AesopError, OSError):  # told when its turn comes
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
        except (AesopError, OSError) as error:
            report.failed[source] = sentence(error, result)


@dataclass(frozen=True)
class _Group:
    """Pictures of one generator."""

    generator: LoadedGenerator
    upscaler: Upscaler
    made_by: str
    jobs: list[PictureJob]

    @property
    def pixels(self) -> int:
        return sum(job.pixels for job in self.jobs)

    def choose_engine(self, wanted: str, device: torch.device, network: ThreadPoolExecutor, *, ensemble: bool) -> str:
        """Choose what runs the model, by the first picture that can be read, in the thread `network`; tell what."""
        tile = torch.zeros(3, 32, 32, dtype=torch.uint8)
        for job in self.jobs:
            with suppress(AesopError, OSError):
                planes = to_planes(next(open_source(job.source).strips()))
                tile = planes[:3] if len(planes) > 2 else planes[:1].expand(3, -1, -1)
                break
        given = self.generator.model, self.generator.sha256, tile
        options: dict[str, Any] = {"pixels": self.pixels * (8 if ensemble else 1), "device": device}
        try:
            found = choose_engine(*given, wanted=wanted, **options)
        except RuntimeError:  # which each picture will tell
            found = choose_engine(*given, wanted="torch", **options)
        run = Ensemble(found.engine) if ensemble else found.engine
        batched = pays(device)
        self.upscaler.engine = Batches(run, network) if batched else lambda images: network.submit(run, images).result()
        return str(found)
