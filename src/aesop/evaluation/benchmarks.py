"""Benchmarks: folders of HR pictures, and of the LR pictures that belong to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from aesop.data.sources import Source, find_sources
from aesop.errors import DataError
from aesop.files import printable


@dataclass(frozen=True)
class Benchmark:
    """A named set of pictures for one scale, in the order of their names (relative paths without suffix)."""

    name: str
    scale: int
    pairs: list[Source]


def open_benchmark(folder: Path, scale: int) -> Benchmark:
    """Find the pictures of the benchmark in `folder` as `find_sources` does; none is read yet.

    Raises DataError where the folder or its pictures are missing, two pictures have one name, or an LR folder lacks the
    picture of an HR one: a mean over some of a benchmark's pictures would not compare.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such benchmark folder; check the path.")
    _refuse_folder_of_benchmarks(folder, scale)
    sources, missing = find_sources(folder, scale)
    if missing:
        name, reason = missing[0]
        raise DataError(f"{folder}: {name} {reason}; add it or remove that folder.")
    pairs: dict[str, Source] = {}
    for source in sources:
        name = Path(source.name).with_suffix("").as_posix()
        if name in pairs:
            raise DataError(f"{folder}: {pairs[name].hr.name} and {source.name} are one name; remove one of them.")
        pairs[name] = replace(source, name=name)
    return Benchmark(printable(folder.resolve().name), scale, list(pairs.values()))


def _refuse_folder_of_benchmarks(folder: Path, scale: int) -> None:
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    if any(path.name in ("HR", f"HRx{scale}") for path in inside):
        return
    for path in inside:
        if any(found.is_dir() for found in path.glob("HR*")):
            raise DataError(f"{folder}: holds several benchmarks; name one, such as {path}.")
