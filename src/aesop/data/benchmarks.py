"""Benchmarks: folders of HR pictures, with LR pictures or not, or of LR pictures alone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from aesop.data.known_benchmarks import KNOWN, KnownBenchmark, recognise
from aesop.data.layouts import Folders, find_folders, find_lr, is_lr_side, subfolders
from aesop.data.pairs import Pair, find_pairs
from aesop.data.pictures import Header, find_pictures, read_header, read_picture, to_planes
from aesop.errors import DataError
from aesop.files import printable
from aesop.words import first_few


@dataclass(frozen=True)
class Unreferenced:
    """An LR picture without ground truth."""

    name: str
    lr: Path

    @property
    def files(self) -> list[Path]:
        """The file to read."""
        return [self.lr]

    def read(self, _scale: int) -> tuple[None, Tensor]:
        """None for HR, and LR, uint8 (3, h, w); DataError where it cannot be read."""
        return None, to_planes(read_picture(self.lr))


Picture = Pair | Unreferenced


@dataclass(frozen=True)
class Benchmark:
    """A named set of pictures for one scale, in the order of their names (relative paths without suffix).

    Either all are pairs or none is. `remarks` tell a reader of the means how it was found.
    """

    name: str
    scale: int
    pictures: Sequence[Picture]
    known: KnownBenchmark | None = None
    remarks: tuple[str, ...] = ()

    @property
    def pairs(self) -> list[Pair]:
        """All pictures, if they have ground truth."""
        return [picture for picture in self.pictures if isinstance(picture, Pair)]


def open_sets(
    given: Sequence[Path | str | Folders | Benchmark], scale: int, folder: Path | None = None
) -> list[Benchmark]:
    """Open all benchmarks that `given` names.

    Each is the folder of a benchmark or of several known ones, the name of a known one in `folder`, a pair of folders
    from `aesop.data.layouts.named_folders`, or a benchmark for any scale.
    Raises DataError where one is missing, as `open_benchmark` does, and where two have one name.
    """
    unique = {str(one): one for one in given}.values()
    opened = [benchmark for one in unique for benchmark in _open_each(one, scale, folder)]
    names = [benchmark.name for benchmark in opened]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"--benchmark: two of them are called {twice}; evaluate them one at a time.")
    return opened


def _open_each(given: Path | str | Folders | Benchmark, scale: int, folder: Path | None) -> list[Benchmark]:
    if isinstance(given, Benchmark):
        return [replace(given, scale=scale)]
    if isinstance(given, Folders):
        name = printable(_own_name([*given.hr, *given.lr][0]))
        return [_with_pairs(name, scale, given) if given.hr else _unreferenced(name, scale, given.lr[0])]
    path = Path(given)
    if path.is_dir():
        inside = subfolders(path)
        several = [] if _recognise(path) else [sub for sub in inside if recognise(sub.name)]
        opened = [open_benchmark(one, scale) for one in several or [path]]
        if several and (others := [printable(sub.name) for sub in inside if sub not in several]):
            remark = f"{first_few(others)} beside it left out: no known benchmark; name it by itself"
            opened[-1] = replace(opened[-1], remarks=(*opened[-1].remarks, remark))
        return opened
    known = recognise(str(given))
    if known is None:
        names = ", ".join(benchmark.name for benchmark in KNOWN)
        raise DataError(f"{path}: no such benchmark folder; check the path (known by name are {names}).")
    if folder is None:
        raise DataError(
            f"{path}: no such folder; give the folder of {known.name} with --benchmarks-folder, "
            f"or {known.instructions()}."
        )
    found = [sub for sub in (subfolders(folder) if folder.is_dir() else []) if recognise(sub.name) == known]
    if not found:
        raise DataError(f"{known.name}: is not in {folder}; {known.instructions()}.")
    return [open_benchmark(found[0], scale)]


def open_benchmark(folder: Path, scale: int) -> Benchmark:
    """Find the pictures of the benchmark in `folder` by `aesop.data.layouts.LAYOUTS`; none is read yet.

    An LR folder without an HR folder is a set without ground truth; pictures without any folder are HR. An HR picture
    that lacks its LR, while others have theirs, is listed, and reading it fails.
    Raises DataError where the folder or its pictures are missing, two pictures have one name, no HR picture has its LR
    picture, or it is not clear which pictures are HR.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such benchmark folder; check the path.")
    known = _recognise(folder)
    name = known.name if known else printable(_own_name(folder))
    lr = find_lr(folder, scale) or (folder if known and known.unreferenced else None)
    if lr is not None:
        return _unreferenced(name, scale, lr, known)
    folders = find_folders(folder, scale, known.layouts if known else ())
    if known and known.real and not folders.lr:
        raise DataError(f"{folder}: {known.name} needs its LR pictures; {known.instructions()}.")
    guessed = folders.hr == [folder] and not folders.lr
    if guessed and (is_lr_side(folder) or any(path.parent != folder for path in find_pictures(folder))):
        why = "has the name of an LR folder" if is_lr_side(folder) else "has pictures in folders of no known layout"
        raise DataError(f"{folder}: {why}; name the folders of HR and LR pictures with --hr DIR and --lr DIR.")
    return _with_pairs(name, scale, folders, known, [sub for sub in subfolders(folder) if is_lr_side(sub)])


def _unreferenced(name: str, scale: int, folder: Path, known: KnownBenchmark | None = None) -> Benchmark:
    found = {printable(path.relative_to(folder).with_suffix("").as_posix()): path for path in find_pictures(folder)}
    return Benchmark(name, scale, [Unreferenced(stem, found[stem]) for stem in sorted(found)], known)


def _with_pairs(
    name: str, scale: int, folders: Folders, known: KnownBenchmark | None = None, not_taken: Sequence[Path] = ()
) -> Benchmark:
    """A benchmark of HR pictures; where LR is made, a remark names the LR folders that are `not_taken`."""
    found, without_hr = find_pairs(folders, scale)
    if folders.lr and not any(pair.lr and pair.lr.is_file() for pair in found):
        lacking = found[0].lr.stem if found and found[0].lr else ""
        raise DataError(
            f"{folders.hr[0]}: none of its pictures has an LR picture in {folders.lr[0]} ({lacking}, for instance); "
            "rename them or remove that folder."
        )
    end = folders.layout.hr_end.format(scale=scale)
    pairs: dict[str, Pair] = {}
    for pair in found:
        stem = Path(pair.name).with_suffix("").as_posix().removesuffix(end)
        if stem in pairs:
            raise DataError(f"{pairs[stem].hr} and {pair.hr} have one name; remove one of them.")
        pairs[stem] = replace(pair, name=stem)
    remarks = [f"LR pictures without HR: {first_few(without_hr)}, not measured"] if without_hr else []
    if not folders.lr:
        others = f" for this scale; {printable(first_few([sub.name for sub in not_taken]))} not taken"
        remarks.append(f"LR pictures made by bicubic downscaling (the folder has none{others if not_taken else ''})")
    return Benchmark(name, scale, [pairs[stem] for stem in sorted(pairs)], known, tuple(remarks))


def notes_on(benchmark: Benchmark) -> list[tuple[str | None, str]]:
    """Read the pictures' headers; return notes for a reader of the means: (picture, or None for the set; note).

    The set's remarks; another number of pictures or other sizes than published; greyscale among colour, 16 bit, alpha.
    Unreadable pictures are left to the measurement.
    """
    known, pictures = benchmark.known, benchmark.pictures
    notes: list[tuple[str | None, str]] = [(None, remark) for remark in benchmark.remarks]
    count = known.count_at(benchmark.scale) if known else None
    if count is not None and len(pictures) != count:
        notes.append((None, f"{len(pictures)} pictures instead of {count}; not comparable with others"))
    with ThreadPoolExecutor() as threads:
        hr = list(threads.map(_header, (pair.hr for pair in benchmark.pairs)))
        lr = list(threads.map(_header, (picture.lr for picture in pictures)))
    colour = any(header and not header.grey for header in (*hr, *lr))
    sides = (("", hr), ("its LR picture ", lr)) if hr else (("", lr),)
    for index, picture in enumerate(pictures):
        if known and hr and (own := hr[index]) and not known.has_size(own.height, own.width):
            notes.append((picture.name, f"has {own.width} x {own.height} pixels, unlike {known.name}'s"))
        reported: set[str] = set()
        for side, headers in sides:
            news = [oddity for oddity in _oddities(headers[index], colour) if oddity not in reported]
            notes += [(picture.name, side + oddity) for oddity in news]
            reported.update(news)
    return notes


def _oddities(header: Header | None, colour: bool) -> list[str]:
    found = header and {
        "is greyscale among colour; measured as RGB": header.grey and colour,
        "has an alpha channel, which is dropped": header.alpha,
        "has 16 bit; rounded to 8": header.deep,
    }
    return [text for text, is_so in (found or {}).items() if is_so]


def _header(path: Path | None) -> Header | None:
    try:
        return None if path is None else read_header(path)
    except DataError:
        return None


def _recognise(folder: Path) -> KnownBenchmark | None:
    """Return the known benchmark of a folder's name, or of its link's target."""
    return recognise(_own_name(folder)) or recognise(folder.resolve().name)


def _own_name(folder: Path) -> str:
    return folder.resolve().name if folder.name in ("", "..") else folder.name
