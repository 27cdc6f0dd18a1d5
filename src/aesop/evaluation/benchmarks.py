"""Benchmarks: folders of HR pictures, and of the LR pictures that belong to them, or of LR pictures alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from aesop.data.pictures import PICTURE_SUFFIXES, find_pictures, read_picture, read_size, to_planes, why_not_rgb
from aesop.data.sources import Source, find_sources
from aesop.errors import DataError
from aesop.evaluation.known_benchmarks import KNOWN, LAYOUTS, KnownBenchmark, recognise
from aesop.evaluation.results import Note
from aesop.files import printable


@dataclass(frozen=True)
class Unreferenced:
    """An LR picture without ground truth, and its name."""

    name: str
    lr: Path

    def read(self, scale: int) -> tuple[None, Tensor]:
        """None in HR's place, and LR, uint8 (3, h, w); DataError where it cannot be read."""
        del scale
        return None, to_planes(read_picture(self.lr))


Picture = Source | Unreferenced


@dataclass(frozen=True)
class Benchmark:
    """A named set of pictures for one scale, in the order of their names (relative paths without suffix).

    A set has HR pictures, in `pairs`, or it has none: then its LR pictures are `unreferenced`.
    """

    name: str
    scale: int
    pairs: list[Source]
    unreferenced: list[Unreferenced] = field(default_factory=list)
    known: KnownBenchmark | None = None

    @property
    def pictures(self) -> Sequence[Picture]:
        """All pictures, with ground truth or without."""
        return self.pairs or self.unreferenced


def open_benchmarks(given: Path | str, scale: int, folder: Path | None = None) -> list[Benchmark]:
    """Open the benchmark in the folder `given`, all known ones in it, or the known one of this name inside `folder`.

    Raises DataError where it is missing (for a known one with the place where it is had), and as `open_benchmark` does.
    """
    path = Path(given)
    if path.is_dir():
        inside = [] if recognise(path.resolve().name) else [sub for sub in _subfolders(path) if recognise(sub.name)]
        if inside and not any(_holds_pairs(sub.name, scale) for sub in _subfolders(path)):
            return [open_benchmark(sub, scale) for sub in inside]
        return [open_benchmark(path, scale)]
    known = recognise(str(given))
    if known is None:
        names = ", ".join(benchmark.name for benchmark in KNOWN)
        raise DataError(f"{path}: there is no such benchmark folder; check the path (known by name are {names}).")
    if folder is None:
        raise DataError(
            f"{path}: there is no such folder; name the one that holds {known.name} with --benchmarks-folder, "
            f"or {known.instructions()}."
        )
    found = [sub for sub in (_subfolders(folder) if folder.is_dir() else []) if recognise(sub.name) == known]
    if not found:
        raise DataError(f"{known.name}: is not in {folder}; {known.instructions()}.")
    return [open_benchmark(found[0], scale)]


def open_benchmark(folder: Path, scale: int) -> Benchmark:
    """Find the pictures of the benchmark in `folder`, those of a known one by the layouts it is published in.

    None is read yet. A folder that has LR pictures (LRx<scale>, LR/X<scale> or LR), but no folder HR, is a set without
    ground truth.

    Raises DataError where the folder or its pictures are missing, two pictures have one name, or an LR folder lacks the
    picture of an HR one: a mean over some of a benchmark's pictures would not compare.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such benchmark folder; check the path.")
    known = recognise(folder.resolve().name)
    name = known.name if known else printable(folder.resolve().name)
    if (lr := _without_ground_truth(folder, scale, known)) is not None:
        found = {path.relative_to(lr).with_suffix("").as_posix(): path for path in find_pictures(lr)}
        return Benchmark(name, scale, [], [Unreferenced(printable(n), path) for n, path in found.items()], known)
    if known and (published := _as_published(folder, scale)):
        return Benchmark(name, scale, published, known=known)
    _refuse_folder_of_benchmarks(folder, scale)
    sources, missing = find_sources(folder, scale)
    if missing:
        picture, reason = missing[0]
        raise DataError(f"{folder}: {picture} {reason}; add it or remove that folder.")
    if known and known.real and sources[0].lr is None:
        raise DataError(f"{folder}: {known.name} is nothing without its LR pictures; {known.instructions()}.")
    return Benchmark(name, scale, _by_name(folder, sources), known=known)


def look_at(benchmark: Benchmark) -> list[Note]:
    """Look at the headers of all pictures and note what a reader of the means must know.

    Another number of pictures or other sizes than the benchmark is published with; greyscale pictures among colour,
    16 bit, alpha. Pictures that cannot be read are left to the measurement to name.
    """
    notes = []
    known, pictures = benchmark.known, benchmark.pictures
    if known and len(pictures) != known.count:
        notes.append(
            Note(benchmark.name, None, f"{len(pictures)} pictures instead of {known.count}; not comparable with others")
        )
    with ThreadPoolExecutor() as threads:
        headers = list(threads.map(_header, (p.hr if isinstance(p, Source) else p.lr for p in pictures)))
    grey = sum(header is not None and header[1] == "is greyscale" for header in headers)
    for picture, header in zip(pictures, headers, strict=True):
        if header is None:
            continue
        longer, not_rgb, deep = header
        if known and known.longer and not known.longer[0] <= longer <= known.longer[1]:
            notes.append(Note(benchmark.name, picture.name, f"has {longer} pixels a side, unlike {known.name}'s"))
        if not_rgb == "is greyscale" and grey < len(pictures):
            notes.append(Note(benchmark.name, picture.name, "is greyscale among colour; measured as RGB"))
        elif not_rgb == "has an alpha channel":
            notes.append(Note(benchmark.name, picture.name, "has an alpha channel, which is dropped"))
        if deep:
            notes.append(Note(benchmark.name, picture.name, "has 16 bit; rounded to 8"))
    return notes


def _header(path: Path) -> tuple[int, str | None, bool] | None:
    """The longer side, why it is not RGB, and whether it has more than 8 bit; None for what cannot be read."""
    try:
        return max(read_size(path)), why_not_rgb(path), _is_deep(path)
    except DataError:
        return None


def _is_deep(path: Path) -> bool:
    if path.suffix.lower() == ".bmp":
        return False
    import pyvips

    return pyvips.Image.new_from_file(str(path)).format != "uchar"


def _without_ground_truth(folder: Path, scale: int, known: KnownBenchmark | None) -> Path | None:
    """The folder of LR pictures, if `folder` has no HR pictures."""
    if any(sub.name.startswith("HR") for sub in _subfolders(folder)):
        return None
    candidates = [folder / f"LRx{scale}", folder / "LR" / f"X{scale}", folder / "LR"]
    lr = next((sub for sub in candidates if sub.is_dir()), None)
    return folder if lr is None and known and known.unreferenced else lr


def _as_published(folder: Path, scale: int) -> list[Source]:
    """Pairs as one of LAYOUTS has them; empty if none fits."""
    root = folder.parent if folder.name == "DIV2K_valid_HR" else folder
    for hr_pattern, lr_pattern in LAYOUTS:
        if hr_pattern == "GTmod12/*" and 12 % scale:
            continue
        hr, lr = (_pictures(root, pattern.format(scale=scale)) for pattern in (hr_pattern, lr_pattern))
        if not hr or not (lr or hr_pattern in ("GTmod12/*", "DIV2K_valid_HR/*", "val1/HR/val/*", "HR/val/*")):
            continue
        if lr and (lacking := sorted(hr.keys() - lr.keys())):
            raise DataError(f"{folder}: {lacking[0]} has no LR picture; add it or get the set anew.")
        return [Source(name, path, lr.get(name), "") for name, path in sorted(hr.items())]
    return []


def _pictures(folder: Path, pattern: str) -> dict[str, Path]:
    """Pictures by their name without what tells HR from LR."""
    found = [path for path in sorted(folder.glob(pattern)) if path.suffix.lower() in PICTURE_SUFFIXES]
    return {printable(re.sub(r"(_SRF_\d+)?(_HR|_LR\d*|_?x\d)$", "", path.stem)): path for path in found}


def _by_name(folder: Path, sources: Sequence[Source]) -> list[Source]:
    pairs: dict[str, Source] = {}
    for source in sources:
        name = Path(source.name).with_suffix("").as_posix()
        if name in pairs:
            raise DataError(f"{folder}: {pairs[name].hr.name} and {source.name} are one name; remove one of them.")
        pairs[name] = replace(source, name=name)
    return list(pairs.values())


def _refuse_folder_of_benchmarks(folder: Path, scale: int) -> None:
    inside = _subfolders(folder)
    if any(_holds_pairs(path.name, scale) for path in inside):
        return
    for path in inside:
        if any(found.is_dir() for found in path.glob("HR*")):
            raise DataError(f"{folder}: holds several benchmarks; name one, such as {path}.")


def _holds_pairs(name: str, scale: int) -> bool:
    return name in ("HR", f"HRx{scale}")


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
