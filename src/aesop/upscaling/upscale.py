"""Pictures and folders of them, upscaled with any model: what `aesop upscale` does.

Inputs are never changed. What cannot be read or upscaled is named and left out. A picture whose result exists is
skipped, so that an interrupted call can be repeated. Results keep all that the input's file holds (`source`, `sink`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aesop.data.pictures import PictureAccessError, find_pictures, to_picture, to_planes
from aesop.device import choose_device
from aesop.errors import AesopError, DataError, RunError
from aesop.files import explained, os_errors_explained, remove_leftovers, require_writable
from aesop.networks.loading import LoadedGenerator, load_generator
from aesop.progress import Advance, progress
from aesop.upscaling.engines.choose import LIMITS, choose_engine
from aesop.upscaling.engines.kinds import find_kind
from aesop.upscaling.formats import FORMATS, SUFFIXES, default_format
from aesop.upscaling.planes import upscale_planes
from aesop.upscaling.sink import open_sink, require_holdable
from aesop.upscaling.source import open_source, read_xmp
from aesop.upscaling.tiles import Upscaler
from aesop.upscaling.xmp import Tag, tag_of

#: Rows of a result that are written at once.
_ROWS = 256


@dataclass
class UpscaleReport:
    """What became of every picture.

    `unreadable` describes folders that could not be listed; `renamed` are results that kept their input's suffix
    (`a.bmp.png`), since another's had the name; `seams` says whether the seams of tiles may show; `engine` tells what
    ran the model.
    """

    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    renamed: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    seams: bool = False
    engine: str = ""


@os_errors_explained()
def upscale(
    inputs: Path | str | Sequence[Path | str],
    model: Path | str | LoadedGenerator,
    output: Path | str,
    *,
    tile: int | None = None,
    device: str = "auto",
    format: str | None = None,
    quality: int | None = None,
    strip: bool = False,
    engine: str = "auto",
    overwrite: bool = False,
) -> UpscaleReport:
    """Upscale pictures, and all those in folders (nested, same relative names), into the folder `output`.

    Args:
        inputs: pictures and folders.
        model: a model file, a run folder or a generator that is loaded already.
        output: the folder for the results. They keep grey, 16 bits, alpha (upscaled by bicubic), profile, EXIF, XMP
            and resolution.
        tile: a tile's side in pixels of the input; None cuts up large pictures only.
        device: `cpu`, `cuda`, `mps`, ...; `auto` is the best there is.
        engine: `auto` is the fastest at 50 dB or more from float32, `exact` at 100 dB or more; others are named in
            docs/upscaling.md. The first picture decides.
        format: a key of FORMATS, for all results; None for each input's format (PNG for GIF, HEIC and JPEG XL).
        quality: 1 to 100, of JPEG, WebP and AVIF.
        strip: leave metadata out; colours become sRGB.
        overwrite: replace results that exist. Without it, those that another model made are an error.

    Raises:
        AesopError: before anything is upscaled: for a missing input, a model that cannot be loaded, results that
            would replace an input or one another, a folder that cannot be written.
        RunError: where the disk is full.

    """
    inputs = [Path(given) for given in ([inputs] if isinstance(inputs, Path | str) else inputs)]
    output = Path(output)
    report = UpscaleReport()
    if format is not None and not (format in FORMATS and FORMATS[format].written):
        raise AesopError(f"--format {format}: choose one of {', '.join(k for k, f in FORMATS.items() if f.written)}.")
    if quality is not None and not 1 <= quality <= 100:
        raise AesopError(f"--quality must be from 1 to 100, not {quality}.")
    jobs = _plan(inputs, output, format, report)
    chosen = choose_device(device)
    if engine not in LIMITS:
        find_kind(engine, chosen)
    generator = model if isinstance(model, LoadedGenerator) else load_generator(model)
    upscaler = Upscaler(generator.model.to(chosen), generator.scale, tile)
    require_writable(output / "result.png")
    for folder in {target.parent for target in jobs.values()}:
        remove_leftovers(folder)
    tag = Tag(f"{generator.path.stem} {generator.sha256[:12]}".strip(), generator.scale)
    to_do = {}
    for source, target in jobs.items():
        try:
            if overwrite or not target.exists():
                require_writable(target)
                to_do[source] = target
            elif (made_by := tag_of(read_xmp(target))) is None or made_by == tag:
                report.skipped.append(target)
            else:
                other = f"{made_by.model}, scale {made_by.scale:g}"
                mend = "--overwrite replaces it, or choose another --output."
                report.failed[source] = f"{target}: is of {other}; {mend}"
        except (AesopError, OSError) as error:
            report.failed[source] = _sentence(error, target)
    with progress("upscale", len(to_do), unit="pictures") as advance:
        for source, target in to_do.items():
            try:
                if not report.engine:
                    opened = open_source(source)
                    planes = to_planes(next(opened.strips()))
                    work = opened.info.height * opened.info.width * len(to_do)  # as if all were of one size
                    tile = planes[:3] if len(planes) > 2 else planes[:1].expand(3, -1, -1)
                    found = choose_engine(
                        generator.model, generator.sha256, tile, wanted=engine, pixels=work, device=chosen
                    )
                    upscaler.engine, report.engine = found.engine, str(found)
                _upscale_one(source, target, upscaler, advance, tag=tag, quality=quality, strip=strip)
                report.written.append(target)
            except RunError:
                raise
            except (torch.OutOfMemoryError, MemoryError):
                report.failed[source] = "not enough memory; close other programs, or take another --device."
            except (AesopError, RuntimeError, OSError) as error:
                report.failed[source] = _sentence(error, source)
            advance(1, source.name)
    report.seams = upscaler.seams
    return report


def _upscale_one(path: Path, target: Path, upscaler: Upscaler, advance: Advance, *, tag: Tag, **how: Any) -> None:
    source, scale = open_source(path), upscaler.scale
    info = source.info.resized(source.info.height * scale, source.info.width * scale)
    key = SUFFIXES[target.suffix.lower()]
    require_holdable(target, info, key)

    dtype = torch.uint8 if info.dtype == np.uint8 else torch.uint16
    size = info.bands, source.info.height, source.info.width
    done, whole = 0, source.info.height * source.info.width

    def tile_done(pixels: int) -> None:
        nonlocal done
        done += pixels
        if done < whole:
            advance(0, f"{path.name}, {done / whole:.0%}")

    results = upscale_planes(map(to_planes, source.strips()), *size, upscaler, dtype=dtype, advance=tile_done)
    with open_sink(target, info, key, tag=tag, **how) as write:
        for strip in results:
            for part in strip.split(_ROWS, dim=1):
                write(to_picture(part))


def _plan(inputs: list[Path], output: Path, key: str | None, report: UpscaleReport) -> dict[Path, Path]:
    """Inputs and their results; DataError where these would replace an input or one another."""
    if not output.is_dir() and (output.exists() or output.suffix.lower() in SUFFIXES):
        raise DataError(f"{output}: --output is the folder for the results, not a picture; name a folder.")
    names: dict[Path, Path] = {}
    for given in inputs:
        try:
            if given.is_dir():
                if given.resolve() == output.resolve():
                    raise DataError(f"{output}: is an input folder; choose another --output.")
                for path in find_pictures(given, report.unreadable, SUFFIXES):
                    if output.resolve() not in path.resolve().parents:
                        names[path] = path.relative_to(given)
            elif given.is_file():
                names[given] = Path(given.name)
            else:
                raise DataError(f"{given}: no such picture or folder; check the path.")
        except (PictureAccessError, PermissionError) as error:
            report.unreadable.append(_sentence(error, given))
    if not names and report.unreadable:
        raise DataError(report.unreadable[0])
    targets = {}
    for source, name in names.items():
        promised = SUFFIXES.get(name.suffix.lower(), "png")
        wanted = key or default_format(promised)
        same = wanted == promised and name.suffix.lower() in SUFFIXES
        targets[source] = output / (name if same else name.with_suffix(FORMATS[wanted].suffixes[0]))
    taken, originals = Counter(targets.values()), {source.resolve() for source in targets}
    makers: dict[Path, Path] = {}
    for source, target in targets.items():
        if taken[target] > 1 and target.name != source.name:  # a.bmp beside a.png
            target = target.with_name(f"{source.name}{target.suffix}")
            report.renamed.append(target)
        if target.resolve() in originals:
            raise DataError(f"{target}: would replace an original; choose another --output.")
        if (other := makers.setdefault(target, source)) != source:
            raise DataError(f"{other} and {source} would both become {target}; give their folders one by one.")
    return {source: target for target, source in makers.items()}


def _sentence(error: Exception, path: Path) -> str:
    if isinstance(error, OSError):
        return explained(error, path)
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
