"""Benchmarks: folders of HR pictures, and of the LR pictures that belong to them, or of LR pictures alone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from aesop.data.pictures import Header, find_pictures, read_header, read_picture, to_planes
from aesop.data.sources import Source
from aesop.errors import DataError
from aesop.evaluation import layouts
from aesop.evaluation.known_benchmarks import KNOWN, KnownBenchmark, recognise
from aesop.evaluation.results import Note
from aesop.files import printable
from aesop.words import first_few


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

    A set has HR pictures, in `pairs`, or it has none: then its LR pictures are `unreferenced`. `remarks` are what a
    reader of the means must know of how it was found.
    """

    name: str
    scale: int
    pairs: list[Source]
    unreferenced: list[Unreferenced] = field(default_factory=list)
    known: KnownBenchmark | None = None
    remarks: tuple[str, ...] = ()

    @property
    def pictures(self) -> Sequence[Picture]:
        """All pictures, with ground truth or without."""
        return self.pairs or self.unreferenced


def open_sets(given: Sequence[Path | str], scale: int, folder: Path | None = None) -> list[Benchmark]:
    """Open all of the benchmarks that `given` names, as `open_benchmarks` does each, what is named twice once.

    Raises DataError as `open_benchmarks` does, and where two folders are one benchmark by name.
    """
    places: dict[str, str] = {}
    sets = []
    for one in dict.fromkeys(map(str, given)):
        for benchmark in open_benchmarks(one, scale, folder):
            if benchmark.name in places:
                raise DataError(
                    f"--benchmark: {benchmark.name} is in {places[benchmark.name]} and in {one}; take them one by one."
                )
            places[benchmark.name] = one
            sets.append(benchmark)
    return sets


def open_benchmarks(given: Path | str, scale: int, folder: Path | None = None) -> list[Benchmark]:
    """Open the benchmark in the folder `given`, all benchmarks in it, or the known one of this name inside `folder`.

    Raises DataError where it is missing (for a known one with the place where it is had), and as `open_benchmark` does.
    """
    path = Path(given)
    if path.is_dir():
        return _open_inside(path, scale) if _holds_benchmarks(path) else [open_benchmark(path, scale)]
    known = recognise(str(given))
    if known is None:
        names = ", ".join(benchmark.name for benchmark in KNOWN)
        raise DataError(f"{path}: there is no such benchmark folder; check the path (known by name are {names}).")
    if folder is None:
        raise DataError(
            f"{path}: there is no such folder; name the one that holds {known.name} with --benchmarks-folder, "
            f"or {known.instructions()}."
        )
    found = [sub for sub in (layouts.subfolders(folder) if folder.is_dir() else []) if recognise(sub.name) == known]
    if not found:
        raise DataError(f"{known.name}: is not in {folder}; {known.instructions()}.")
    return [open_benchmark(found[0], scale)]


def open_benchmark(folder: Path, scale: int) -> Benchmark:
    """Find the pictures of the benchmark in `folder` by the layouts that benchmarks come in; none is read yet.

    A folder that has LR pictures, but no HR folder, is a set without ground truth; one that has neither holds HR
    pictures. An HR picture that lacks its LR picture, though others have theirs, is there and cannot be read.

    Raises DataError where the folder or its pictures are missing, two pictures have one name, no HR picture has its LR
    picture, or it is not clear which pictures are HR.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such benchmark folder; check the path.")
    known = _recognise(folder)
    name = known.name if known else printable(_own_name(folder))
    place = layouts.find_place(folder, scale, known.layouts if known else ())
    if place is None:
        lr = layouts.find_lr(folder, scale) or (folder if known and known.unreferenced else None)
        if lr is not None:
            found = layouts.list_pictures([lr])
            return Benchmark(name, scale, [], [Unreferenced(stem, path) for stem, path in found.items()], known)
    if known and known.real and (place is None or not place.lr):
        raise DataError(f"{folder}: {known.name} is nothing without its LR pictures; {known.instructions()}.")
    if place is None:
        return Benchmark(name, scale, layouts.hr_alone(folder, scale), known=known, remarks=(_made([]),))
    paired = layouts.pair(place, scale)
    remarks = [] if place.lr else [_made([sub for sub in layouts.subfolders(folder) if layouts.is_lr_like(sub)])]
    if paired.without_hr:
        remarks.append(f"LR pictures without HR: {printable(first_few(paired.without_hr))}, not measured")
    return Benchmark(name, scale, paired.sources, known=known, remarks=tuple(remarks))


def look_at(benchmark: Benchmark) -> list[Note]:
    """Look at the headers of all pictures and note what a reader of the means must know.

    Where LR pictures come from, and those that no HR picture belongs to; another number of pictures or other sizes than
    the benchmark is published with; greyscale pictures among colour, 16 bit, alpha. Pictures that cannot be read are
    left to the measurement to name.
    """
    known, pictures = benchmark.known, benchmark.pictures
    notes = [Note(benchmark.name, None, remark) for remark in benchmark.remarks]
    count = known.count_at(benchmark.scale) if known else None
    if count is not None and len(pictures) != count:
        text = f"{len(pictures)} pictures instead of {count}; not comparable with others"
        notes.append(Note(benchmark.name, None, text))
    with ThreadPoolExecutor() as threads:
        hr = list(threads.map(_header, (pair.hr for pair in benchmark.pairs)))
        lr = list(threads.map(_header, (picture.lr for picture in pictures)))
    colour = any(header is not None and not header.grey for header in (*hr, *lr))
    for index, picture in enumerate(pictures):
        own = hr[index] if hr else lr[index]
        if known and hr and own and not known.has_size(own.height, own.width):
            size = f"{own.width} x {own.height} pixels"
            notes.append(Note(benchmark.name, picture.name, f"has {size}, unlike {known.name}'s"))
        told = _oddities(own, colour) if own else []
        notes += [Note(benchmark.name, picture.name, oddity) for oddity in told]
        if hr and (partner := lr[index]):
            news = [oddity for oddity in _oddities(partner, colour) if oddity not in told]
            notes += [Note(benchmark.name, picture.name, f"its LR picture {oddity}") for oddity in news]
    return notes


def _oddities(header: Header, colour: bool) -> list[str]:
    """What is unusual about a picture, if there are colour pictures beside it."""
    found = {
        "is greyscale among colour; measured as RGB": header.grey and colour,
        "has an alpha channel, which is dropped": header.alpha,
        "has 16 bit; rounded to 8": header.deep,
    }
    return [text for text, is_so in found.items() if is_so]


def _header(path: Path | None) -> Header | None:
    """What the header of a picture says; None where there is none that can be read."""
    try:
        return None if path is None else read_header(path)
    except DataError:
        return None


def _holds_benchmarks(folder: Path) -> bool:
    """Whether `folder` holds known benchmarks, and is none itself."""
    inside = layouts.subfolders(folder)
    return (
        _recognise(folder) is None
        and any(recognise(sub.name) for sub in inside)
        and not any(layouts.is_hr_like(sub) and "_" not in sub.name for sub in inside)  # DIV2K_train_HR is a set's own
    )


def _open_inside(folder: Path, scale: int) -> list[Benchmark]:
    """All known benchmarks in `folder`, and others that have an HR or LR folder; what is left out is remarked upon."""
    opened, remarks = [], []
    for sub in layouts.subfolders(folder):
        if recognise(sub.name):
            opened.append(open_benchmark(sub, scale))
        elif not layouts.is_lr_like(sub) and _holds_pictures(sub):  # LR folders belong to DIV2K_valid_HR and its like
            try:
                if not any(layouts.is_hr_like(side) or layouts.is_lr_like(side) for side in layouts.subfolders(sub)):
                    raise DataError("has no folder HR; name it by itself")
                opened.append(open_benchmark(sub, scale))
            except DataError as error:
                remarks.append(f"{printable(sub.name)} beside it was left out ({error})")
    opened[-1] = replace(opened[-1], remarks=(*opened[-1].remarks, *remarks))
    return opened


def _holds_pictures(folder: Path) -> bool:
    try:
        return bool(find_pictures(folder))
    except DataError:
        return False


def _recognise(folder: Path) -> KnownBenchmark | None:
    """The known benchmark that a folder, or what a link leads to, is called by."""
    return recognise(_own_name(folder)) or recognise(folder.resolve().name)


def _own_name(folder: Path) -> str:
    return folder.resolve().name if folder.name in ("", "..") else folder.name


def _made(not_taken: Sequence[Path]) -> str:
    why = "the folder has none"
    if not_taken:
        why += f" for this scale; {printable(first_few([sub.name for sub in not_taken]))} not taken"
    return f"LR pictures made by bicubic downscaling ({why})"
