"""Pictures and folders of them, upscaled with any model: what `aesop upscale` does.

Originals are never touched, a picture that cannot be read or upscaled is named and left out, and every finished
picture is on disk at once. A picture whose output exists already is skipped, so that the same call goes on where an
interrupted one stopped; `overwrite` makes it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from aesop.data.bicubic import resize
from aesop.data.pictures import PICTURE_SUFFIXES, find_pictures, read_picture, to_picture, to_planes, write_picture
from aesop.device import choose_device
from aesop.errors import AesopError, DataError, RunError
from aesop.networks.loading import load_generator
from aesop.progress import Advance, progress
from aesop.upscaling.tiles import Upscaler


@dataclass
class Upscaled:
    """What became of every picture, and whether the seams of tiles may show in them."""

    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    seams: bool = False


def upscale(
    inputs: Sequence[Path],
    model: Path,
    output: Path,
    *,
    tile: int | None = None,
    device: str = "auto",
    keep_format: bool = False,
    overwrite: bool = False,
) -> Upscaled:
    """Upscale pictures, and all those in folders (nested, same relative names), into the folder `output`.

    Outputs are PNG, or of the input's format with `keep_format`. `tile` is a tile's side in pixels of the input; None
    cuts up large pictures only. Transparency is kept: the alpha channel is upscaled by bicubic.

    Raises AesopError, before anything is upscaled, for a missing input, a model that cannot be loaded, outputs that
    would replace an input or one another; RunError where the disk is full.
    """
    jobs = _plan(inputs, output, keep_format)
    chosen = choose_device(device)
    generator = load_generator(model)
    upscaler = Upscaler(generator.model.to(chosen), generator.scale, tile)
    report = Upscaled()
    to_do = {source: target for source, target in jobs.items() if overwrite or not target.exists()}
    report.skipped = [target for source, target in jobs.items() if source not in to_do]
    with progress("upscale", len(to_do), unit="pictures") as advance:
        for source, target in to_do.items():
            try:
                _upscale_one(source, target, upscaler, advance)
                report.written.append(target)
            except RunError:
                raise
            except (torch.OutOfMemoryError, MemoryError):
                report.failed[source] = "not enough memory; take a smaller --tile."
            except (AesopError, RuntimeError, OSError) as error:
                report.failed[source] = _first_line(error)
            advance(1, source.name)
    report.seams = upscaler.seams
    return report


def _upscale_one(source: Path, target: Path, upscaler: Upscaler, advance: Advance) -> None:
    pixels = to_planes(read_picture(source, alpha=True))

    def tile_done(done: int, tiles: int) -> None:
        if tiles > 1:
            advance(0, f"{source.name}, tile {done} of {tiles}")

    result = upscaler(pixels[:3], tile_done)
    if len(pixels) == 4:
        result = torch.cat([result, resize(pixels[3:], upscaler.scale)])
    write_picture(target, to_picture(result))


def _plan(inputs: Sequence[Path], output: Path, keep_format: bool) -> dict[Path, Path]:
    """Inputs and their outputs; DataError where these would replace an input or one another."""
    if not output.is_dir() and (output.exists() or output.suffix.lower() in PICTURE_SUFFIXES):
        raise DataError(f"{output}: --output is the folder for the results, not a picture; name a folder.")
    jobs: dict[Path, Path] = {}
    for given in inputs:
        if given.is_dir():
            if given.resolve() == output.resolve():
                raise DataError(f"{output}: is an input folder; choose another --output.")
            found = [path for path in find_pictures(given) if output.resolve() not in path.resolve().parents]
            names = {path: path.relative_to(given) for path in found}
        elif given.is_file():
            names = {given: Path(given.name)}
        else:
            raise DataError(f"{given}: there is no such picture or folder; check the path.")
        for source, name in names.items():
            keep = keep_format and source.suffix.lower() in PICTURE_SUFFIXES
            jobs[source] = output / (name if keep else name.with_suffix(".png"))

    originals = {source.resolve() for source in jobs}
    makers: dict[Path, Path] = {}
    for source, target in jobs.items():
        if target.resolve() in originals:
            raise DataError(f"{target}: would replace an original; choose another --output.")
        if (other := makers.setdefault(target, source)) != source:
            mend = "give their folders one by one" if keep_format or other.suffix == source.suffix else "--keep-format"
            raise DataError(f"{other} and {source} would both become {target}; {mend}.")
    return jobs


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
