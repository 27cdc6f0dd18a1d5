"""Pictures and folders of them, upscaled with any model: what `aesop upscale` does.

Inputs are never changed. What cannot be read or upscaled is named and left out. A picture whose result exists is
skipped, so that an interrupted call can be repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from aesop.data.bicubic import resize
from aesop.data.pictures import (
    PICTURE_SUFFIXES,
    PictureAccessError,
    find_pictures,
    read_picture,
    to_picture,
    to_planes,
    write_picture,
)  # fmt: skip
from aesop.device import choose_device
from aesop.errors import AesopError, DataError, RunError
from aesop.files import explained, os_errors_explained, require_writable
from aesop.networks.loading import LoadedGenerator, load_generator
from aesop.progress import Advance, progress
from aesop.upscaling.tiles import Upscaler


@dataclass
class UpscaleReport:
    """What became of every picture.

    `unreadable` describes folders that could not be listed; `renamed` are results that kept their input's suffix
    (`a.bmp.png`), since another's had the name; `seams` says whether the seams of tiles may show.
    """

    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    renamed: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    seams: bool = False


@os_errors_explained()
def upscale(
    inputs: Path | str | Sequence[Path | str],
    model: Path | str | LoadedGenerator,
    output: Path | str,
    *,
    tile: int | None = None,
    device: str = "auto",
    keep_format: bool = False,
    overwrite: bool = False,
) -> UpscaleReport:
    """Upscale pictures, and all those in folders (nested, same relative names), into the folder `output`.

    Args:
        inputs: pictures and folders.
        model: a model file, a run folder or a generator that is loaded already.
        output: the folder for the results. An alpha channel is kept, upscaled by bicubic.
        tile: a tile's side in pixels of the input; None cuts up large pictures only.
        device: `cpu`, `cuda`, `mps`, ...; `auto` is the best there is.
        keep_format: write each input's format, instead of PNG.
        overwrite: replace results that exist.

    Raises:
        AesopError: before anything is upscaled: for a missing input, a model that cannot be loaded, results that
            would replace an input or one another, a folder that cannot be written.
        RunError: where the disk is full.

    """
    inputs = [Path(given) for given in ([inputs] if isinstance(inputs, Path | str) else inputs)]
    output = Path(output)
    report = UpscaleReport()
    jobs = _plan(inputs, output, keep_format, report)
    chosen = choose_device(device)
    generator = model if isinstance(model, LoadedGenerator) else load_generator(model)
    upscaler = Upscaler(generator.model.to(chosen), generator.scale, tile)
    require_writable(output / "result.png")
    to_do = {}
    for source, target in jobs.items():
        try:
            if overwrite or not target.exists():
                require_writable(target)
                to_do[source] = target
            else:
                report.skipped.append(target)
        except (AesopError, OSError) as error:
            report.failed[source] = _sentence(error, target)
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
                report.failed[source] = _sentence(error, source)
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


def _plan(inputs: list[Path], output: Path, keep_format: bool, report: UpscaleReport) -> dict[Path, Path]:
    """Inputs and their results; DataError where these would replace an input or one another."""
    if not output.is_dir() and (output.exists() or output.suffix.lower() in PICTURE_SUFFIXES):
        raise DataError(f"{output}: --output is the folder for the results, not a picture; name a folder.")
    names: dict[Path, Path] = {}
    for given in inputs:
        if given.is_dir():
            if given.resolve() == output.resolve():
                raise DataError(f"{output}: is an input folder; choose another --output.")
            try:
                for path in find_pictures(given, report.unreadable):
                    if output.resolve() not in path.resolve().parents:
                        names[path] = path.relative_to(given)
            except PictureAccessError as error:
                report.unreadable.append(str(error))
        elif given.is_file():
            names[given] = Path(given.name)
        else:
            raise DataError(f"{given}: no such picture or folder; check the path.")
    if not names and report.unreadable:
        raise DataError(report.unreadable[0])
    targets = {}
    for source, name in names.items():
        keep = keep_format and name.suffix.lower() in PICTURE_SUFFIXES
        targets[source] = output / (name if keep else name.with_suffix(".png"))
    taken, originals = Counter(targets.values()), {source.resolve() for source in targets}
    makers: dict[Path, Path] = {}
    for source, target in targets.items():
        if taken[target] > 1 and target.name != source.name:  # a.bmp beside a.png
            target = target.with_name(f"{source.name}.png")
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
