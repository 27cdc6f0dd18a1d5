"""The demo's pictures: photographs of the package scikit-image, or one's own."""

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

from aesop.data.bicubic import resize
from aesop.data.pictures import find_pictures, read_picture, to_picture, to_planes, write_picture
from aesop.errors import DataError, MissingExtraError, RunError
from aesop.files import printable
from aesop.progress import progress

TRAINING = (
    "brick.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "moon.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
#: Five, so that means and differences have intervals; the networks in the box were not trained on them either.
HELD_OUT = ("astronaut.png", "camera.png", "coins.png", "ihc.png", "motorcycle_left.png")
PACKAGE = "scikit-image"

#: How many of one's own pictures are taken: a few minutes of training see no more anyway.
MOST, FEWEST = 40, 4
#: Own pictures are shrunk by a whole number until neither side is longer; that also rids them of JPEG artefacts.
LONGEST = 1024


@dataclass(frozen=True)
class Photos:
    """The folders of a demo's pictures, and where they are from."""

    training: Path
    held_out: Path
    source: str


def gather(run: Path, source: Path | None, smallest: int, say: Callable[[str], None]) -> Photos:
    """Put pictures to train on and held-out ones into the folder `run`/photos; what an earlier call put there stays.

    `source` is a folder of one's own pictures, None takes scikit-image's; each needs `smallest` pixels a side; `say`
    receives the name of every picture that is left out, with the reason.
    Raises DataError where too few pictures are usable, MissingExtraError without scikit-image, RunError where `run`
    holds something else or a demo with other pictures.
    """
    origin = PACKAGE if source is None else printable(source.resolve())
    folder, unfinished = run / "photos", run / "photos.part"
    if folder.is_dir():
        try:
            before = json.loads((folder / "source.json").read_text(encoding="utf-8"))["source"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{run}: is not a demo's folder; name a new folder with --run.") from error
        if before != origin:
            raise RunError(f"{run}: is a demo with the pictures of {before}; name a new folder with --run.")
        return Photos(folder / "train", folder / "validation", origin)
    if run.exists() and (not run.is_dir() or any(entry != unfinished for entry in run.iterdir())):
        raise RunError(f"{run}: is not empty and not a demo; name a new folder with --run.")
    found = find_pictures(source) if source else []
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        for part in ("train", "validation"):
            (unfinished / part).mkdir(parents=True)
        if source is None:
            _copy_package_photos(unfinished)
        else:
            _convert(source, found, unfinished, smallest, say)
        (unfinished / "source.json").write_text(json.dumps({"source": origin}), encoding="utf-8")
        unfinished.replace(folder)
    except OSError as error:
        raise RunError(f"{run}: cannot be written ({error.strerror}); name another folder with --run.") from error
    return Photos(folder / "train", folder / "validation", origin)


def _copy_package_photos(folder: Path) -> None:
    package = find_spec("skimage")
    if package is None or package.origin is None:
        raise MissingExtraError("aesop demo", "demo")
    data = Path(package.origin).parent / "data"
    for part, names in (("train", TRAINING), ("validation", HELD_OUT)):
        for name in names:
            if not (data / name).is_file():
                raise DataError(f"{data / name}: this scikit-image lacks the picture; use your own with --photos DIR.")
            shutil.copyfile(data / name, folder / part / name)


def _convert(source: Path, found: Sequence[Path], folder: Path, smallest: int, say: Callable[[str], None]) -> None:
    """Write at most MOST of the pictures `found` as PNG files of moderate size; hold half of them out, five at most."""
    step = max(1.0, len(found) / MOST)
    chosen = [found[int(number * step)] for number in range(min(len(found), MOST))]
    usable: list[tuple[Path, Path]] = []
    with progress("pictures", len(chosen), unit="pictures") as advance:
        for number, path in enumerate(chosen):
            try:
                planes = to_planes(read_picture(path))
                factor = math.ceil(max(planes.shape[1:]) / LONGEST)
                height, width = (length // factor * factor for length in planes.shape[1:])
                if min(height, width) < smallest * factor:
                    size = f"{width // factor} x {height // factor}"
                    raise DataError(f"{path}: is only {size} pixels large, {smallest} a side are needed")
                picture = resize(planes[:, :height, :width].contiguous(), 1 / factor) if factor > 1 else planes
            except DataError as error:
                say(f"left out: {error}")
            else:
                target = folder / "train" / f"{number:03d} {_short(path.stem)}.png"
                write_picture(target, to_picture(picture))
                usable.append((path, target))
            advance(note=_short(path.name))
    if len(usable) < FEWEST:
        raise DataError(
            f"{source}: {len(usable)} usable pictures are too few, some to train on and some to hold out; "
            f"add pictures ({FEWEST} at least, better 10 or more)."
        )
    # By hash, as neighbours are often alike.
    usable.sort(key=lambda paths: hashlib.sha256(os.fsencode(paths[0].relative_to(source))).digest())
    held_out = usable[: len(usable) // 2][: len(HELD_OUT)]
    if len(held_out) < len(HELD_OUT):
        say(f"{len(held_out)} pictures are held out, too few for intervals; of 10 or more, {len(HELD_OUT)} are.")
    for _, target in held_out:
        target.replace(folder / "validation" / target.name)


def _short(name: str) -> str:
    """A recognisable name that every file system and page can hold."""
    return "".join(character if character.isprintable() else "?" for character in printable(name))[:60].rstrip()
