"""Folders of SR pictures that another program made, instead of a network: matches them with a benchmark's pictures."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from torch import Tensor

from aesop.data.benchmarks import Benchmark
from aesop.data.known_benchmarks import recognise
from aesop.data.layouts import subfolders
from aesop.data.pictures import PictureAccessError, find_pictures, read_picture, to_planes
from aesop.errors import DataError
from aesop.evaluation.cache import digest, sha256_of
from aesop.evaluation.model_names import BICUBIC
from aesop.files import printable
from aesop.run import Run
from aesop.words import first_few, listed

#: What programs put behind a name, one or several: `x4`, `_4x`, `_SR`, `-HR`, ...
_ENDS = r"(?:[-_ .]?x{scale}|[-_ .]?{scale}x|[-_ .](?:sr|hr|gt|out|output|result|upscaled))+"
#: What separates a name from a word behind it.
_SEPARATORS = "-_ ."


@dataclass(frozen=True)
class SRFolder:
    """A folder of SR pictures: files by benchmark and picture name, and by benchmark those that match none (`extras`).

    `hashes` are the SHA-256 of the files' bytes, None for one that cannot be read.
    """

    folder: Path
    pictures: Mapping[tuple[str, str], Path]
    extras: Mapping[str, Sequence[str]]
    hashes: Mapping[tuple[str, str], str | None]

    @property
    def sha256(self) -> str:
        """One digest of all of its pictures."""
        return digest(*sorted(filter(None, self.hashes.values()))) or ""

    def key_of(self, benchmark: str, picture: str) -> str | None:
        """The key of a picture's values; None where it is missing or cannot be read."""
        return self.hashes.get((benchmark, picture))

    def read(self, benchmark: str, picture: str, lr: Tensor, scale: int) -> Tensor:
        """Read the SR picture of LR (3, h, w): uint8 (3, h * scale, w * scale).

        Raises DataError where it is missing, unreadable or of another size.
        """
        path = self.pictures.get((benchmark, picture))
        if path is None:
            raise DataError(f"{self.folder}: has no picture for it")
        sr = to_planes(read_picture(path))
        (height, width), (rows, columns) = sr.shape[-2:], lr.shape[-2:]
        if (height, width) == (rows * scale, columns * scale):
            return sr
        if (height, width) == (height // rows * rows, height // rows * columns):
            raise DataError(f"{self.folder}: the picture is {height // rows} times its LR picture, not {scale} times")
        expected = f"HR's size, cropped to a multiple of {scale}, is {columns * scale} x {rows * scale}"
        raise DataError(f"{path}: has {width} x {height} pixels; {expected}")


def is_sr_folder(model: str) -> bool:
    """Whether a model is such a folder: any that is no run, and not bicubic interpolation."""
    return model != BICUBIC and Path(model).is_dir() and not Run(model).is_there()


def find_sr_folder(folder: Path, sets: Sequence[Benchmark]) -> SRFolder:
    """Match a folder's pictures with those of all benchmarks, by name.

    A benchmark's pictures are in the subfolder of its name, or else, if it is the only one, in the folder itself. They
    are called as HR or LR pictures are, with or without ends such as `x4` and `_SR`, or all with one other end.

    Raises DataError where no picture matches, and where several match one.
    """
    pictures: dict[tuple[str, str], Path] = {}
    extras: dict[str, Sequence[str]] = {}
    for benchmark in sets:
        where = _place(folder, benchmark, alone=len(sets) == 1)
        paths: dict[str, list[Path]] = defaultdict(list)
        for path in _pictures_in(where):
            paths[printable(path.relative_to(where or folder).with_suffix("").as_posix())].append(path)
        for name, stems in _match(benchmark, list(paths)).items():
            found = [path for stem in stems for path in paths.pop(stem)]
            if len(found) > 1:
                named = listed([printable(path.name) for path in found])
                raise DataError(f"{where}: {named} are all named like {name} of {benchmark.name}; keep one of them.")
            pictures[benchmark.name, name] = found[0]
        if paths:
            extras[benchmark.name] = list(paths)
    if not pictures:
        raise DataError(f"{folder}: {_no_match(folder, sets, extras)}")
    with ThreadPoolExecutor() as threads:
        hashes = dict(zip(pictures, threads.map(_hash, pictures.values()), strict=True))
    return SRFolder(folder, pictures, extras, hashes)


def _place(folder: Path, benchmark: Benchmark, *, alone: bool) -> Path | None:
    """Find the folder of a benchmark's pictures in a folder; None if there is none."""
    for sub in subfolders(folder):
        known = benchmark.known is not None and recognise(sub.name) == benchmark.known
        if known or printable(sub.name).casefold() == benchmark.name.casefold():
            return sub
    return folder if alone else None


def _pictures_in(folder: Path | None) -> list[Path]:
    """The pictures in a folder, if there are any; raises PictureAccessError where it cannot be listed."""
    try:
        return [] if folder is None else find_pictures(folder)
    except PictureAccessError:
        raise
    except DataError:
        return []


def _hash(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except OSError:  # the measurement reports it
        return None


def _no_match(folder: Path, sets: Sequence[Benchmark], extras: Mapping[str, Sequence[str]]) -> str:
    """Why no picture of a folder is one of the benchmarks', and the mend."""
    for benchmark in sets:
        if found := extras.get(benchmark.name):
            wanted = first_few([picture.name for picture in benchmark.pictures])
            return f"none of its pictures ({first_few(found)}) is named like one of {benchmark.name} ({wanted})."
    if not _pictures_in(folder):
        return f"has no pictures, and is not a run folder (no {Run(folder).record_file.name}); name another."
    names = listed([benchmark.name for benchmark in sets])
    return f"has no pictures in subfolders called {names}; with several benchmarks each needs its own."


def _match(benchmark: Benchmark, stems: Sequence[str]) -> dict[str, list[str]]:
    """Map names of a benchmark's pictures to the `stems` that match: one, or several equally good ones."""
    ends = re.compile(_ENDS.format(scale=benchmark.scale), re.IGNORECASE)
    names = {picture.name: picture.name for picture in benchmark.pictures}
    bases = dict(names)
    for picture in benchmark.pictures:  # programs that are given LR pictures keep their names
        if picture.lr is not None:
            bases.setdefault(PurePosixPath(picture.name).with_name(printable(picture.lr.stem)).as_posix(), picture.name)
    for base, name in list(bases.items()):  # `a_HR` becomes `a_SR`
        bases.setdefault(re.sub(f"{ends.pattern}$", "", base, flags=re.IGNORECASE), name)

    behind = {stem: [(base, stem[len(base) :]) for base in bases if stem.startswith(base)] for stem in stems}
    usual = {stem: [b for b, end in found if not end or ends.fullmatch(end)] for stem, found in behind.items()}
    if not any(usual.values()):  # `a_NETWORK`, `b_NETWORK`, ...: the end that most have
        counts = Counter(end for found in behind.values() for _, end in found if end[0] in _SEPARATORS)
        most = max(counts.values(), default=0)
        # One alone may have it by chance.
        common = {end for end, count in counts.items() if count == most >= min(2, len(names))}
        usual = {stem: [b for b, end in found if end in common] for stem, found in behind.items()}
    matched: dict[str, list[str]] = defaultdict(list)
    for stem, found in usual.items():
        if found:
            matched[bases[max(found, key=len)]].append(stem)
    return {name: [name] if name in found else found for name, found in matched.items()}
