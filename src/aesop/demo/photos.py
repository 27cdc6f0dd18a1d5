"""The demo's pictures: photographs that scikit-image's package carries, or one's own."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from aesop.data.bicubic import resize
from aesop.data.pictures import find_pictures, read_picture, write_picture
from aesop.errors import DataError, MissingExtraError, RunError
from aesop.progress import progress

TRAINING = (
    "coffee.png",
    "motorcycle_left.png",
    "ihc.png",
    "brick.png",
    "grass.png",
    "gravel.png",
    "camera.png",
    "rocket.jpg",
    "hubble_deep_field.jpg",
    "retina.jpg",
)
HELD_OUT = ("astronaut.png", "chelsea.png")
#: How the photographs that come with a package are called.
PACKAGE = "scikit-image"

#: Of one's own pictures no more are taken: a few minutes of training see no more anyway.
MOST = 40
FEWEST = 4
#: Own pictures are shrunk by a whole number until neither side is longer; that also rids them of JPEG artefacts.
LONGEST = 1024


@dataclass(frozen=True)
class Photos:
    """Where a demo's pictures stand, and where they are from."""

    training: Path
    held_out: Path
    source: str


def gather(run: Path, source: Path | None, smallest: int, say: Callable[[str], None]) -> Photos:
    """Put pictures to train on and held-out ones into the folder `run`/photos; what an earlier call put there stays.

    Args:
        run: the demo's folder.
        source: folder of one's own pictures; None takes scikit-image's.
        smallest: pixels a side that a picture must have.
        say: receives the name of every picture that is left out, with the reason.

    Raises:
        DataError: too few usable pictures.
        MissingExtraError: scikit-image is not installed.
        RunError: `run` holds something else, or a demo with other pictures.

    """
    origin = PACKAGE if source is None else str(source.resolve())
    folder = run / "photos"
    photos = Photos(folder / "train", folder / "validation", origin)
    if folder.is_dir():
        _require_same(run, folder / "source.json", origin)
        return photos
    unfinished = run / "photos.part"
    if run.exists() and (not run.is_dir() or any(entry != unfinished for entry in run.iterdir())):
        raise RunError(f"{run}: is not empty and not a demo; name a new folder with --run.")
    found = None if source is None else find_pictures(source)
    if unfinished.exists():
        shutil.rmtree(unfinished)
    parts = Photos(unfinished / "train", unfinished / "validation", origin)
    try:
        for part in (parts.training, parts.held_out):
            part.mkdir(parents=True)
        if source is None or found is None:
            _copy_package_photos(parts)
        else:
            _convert(source, found, parts, smallest, say)
        (unfinished / "source.json").write_text(json.dumps({"source": origin}), encoding="utf-8")
    except OSError as error:
        raise RunError(f"{run}: cannot be written ({error.strerror}); name another folder with --run.") from error
    unfinished.replace(folder)
    return photos


def _require_same(run: Path, record: Path, origin: str) -> None:
    try:
        before = json.loads(record.read_text(encoding="utf-8"))["source"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{run}: is not a demo's folder; name a new folder with --run.") from error
    if before != origin:
        raise RunError(f"{run}: is a demo with the pictures of {before}; name a new folder with --run.")


def _copy_package_photos(photos: Photos) -> None:
    package = find_spec("skimage")
    if package is None or package.origin is None:
        raise MissingExtraError("aesop demo", "demo")
    data = Path(package.origin).parent / "data"
    for folder, names in ((photos.training, TRAINING), (photos.held_out, HELD_OUT)):
        for name in names:
            if not (data / name).is_file():
                raise DataError(f"{data / name}: this scikit-image lacks the picture; use your own with --photos DIR.")
            shutil.copyfile(data / name, folder / name)


def _convert(source: Path, found: Sequence[Path], photos: Photos, smallest: int, say: Callable[[str], None]) -> None:
    """Write at most MOST of the pictures `found` as PNG files of moderate size; hold a few of them out."""
    step = max(1.0, len(found) / MOST)
    chosen = [found[int(number * step)] for number in range(min(len(found), MOST))]
    usable: list[tuple[Path, Path]] = []
    with progress("pictures", len(chosen), unit="pictures") as advance:
        for number, path in enumerate(chosen):
            try:
                picture = _shrink(read_picture(path))
            except DataError as error:
                say(f"left out: {error}")
            else:
                height, width = picture.shape[1:]
                if min(height, width) < smallest:
                    say(f"left out: {path}: is only {width} x {height} pixels large, {smallest} a side are needed")
                else:
                    target = photos.training / f"{number:03d} {_printable(path.stem)}.png"
                    write_picture(target, picture.permute(1, 2, 0).contiguous().numpy())
                    usable.append((path, target))
            advance(note=_printable(path.name))
    if len(usable) < FEWEST:
        raise DataError(
            f"{source}: {len(usable)} usable pictures are too few, some to train on and some to hold out; "
            f"add pictures ({FEWEST} at least, better 10 or more)."
        )
    # By hash, so that which are held out depends on names alone, and not on their order: neighbours are often alike.
    usable.sort(key=lambda paths: hashlib.sha256(os.fsencode(paths[0].relative_to(source))).digest())
    for _, target in usable[: min(4, max(2, len(usable) // 8))]:
        target.replace(photos.held_out / target.name)


def _shrink(picture: object) -> torch.Tensor:
    """Shrink an H x W x 3 array by a whole number to at most LONGEST pixels a side: uint8 (3, H, W)."""
    pixels = torch.as_tensor(picture).permute(2, 0, 1)
    factor = math.ceil(max(pixels.shape[1:]) / LONGEST)
    if factor == 1:
        return pixels
    height, width = (length // factor * factor for length in pixels.shape[1:])
    if 0 in (height, width):
        raise DataError(f"a picture of {pixels.shape[2]} x {pixels.shape[1]} pixels is too narrow; leave it out.")
    return resize(pixels[:, :height, :width].contiguous(), 1 / factor)


def _printable(name: str) -> str:
    """Make a name of a file that every file system and page can hold, still recognisable."""
    shown = name.encode("utf-8", "replace").decode()
    return "".join(character if character.isprintable() else "?" for character in shown)[:60].rstrip()
