"""How benchmarks lie in their folders, and which LR picture belongs to which HR picture."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aesop.data.pictures import PICTURE_SUFFIXES, find_pictures
from aesop.data.sources import Source
from aesop.errors import DataError
from aesop.files import printable


@dataclass(frozen=True)
class Layout:
    """Folders of HR and of LR pictures, inside a benchmark's folder, and what the pictures' names end in.

    Upper and lower case are the same in folders' names. `{scale}` stands for the scale, `{multiple}` for a multiple of
    it, `{name}` for any text (the same one in `hr` and `lr`), `*` for all folders there are.
    """

    hr: str
    #: The first of these that is there holds the LR pictures; if none is, they are to be made.
    lr: tuple[str, ...]
    #: Alternatives of what HR and LR names end in, behind what they share; a picture with none of them is not HR.
    ends: tuple[tuple[str, str], ...] = (("", ""), ("", "x{scale}"))

    @property
    def together(self) -> bool:
        """Whether HR and LR lie in one folder and are told apart by the ends of their names."""
        return self.lr == (self.hr,)


@dataclass(frozen=True)
class Place:
    """Where a benchmark's HR and LR folders are; without LR folders LR is to be made."""

    layout: Layout
    hr: Sequence[Path]
    lr: Sequence[Path]


@dataclass(frozen=True)
class Paired:
    """HR pictures with their LR pictures, by name, and the names of LR pictures that have no HR picture."""

    sources: list[Source]
    without_hr: list[str]


def _together(folder: str, *ends: tuple[str, str]) -> Layout:
    return Layout(folder, (folder,), ends)


_LR = ("LRx{scale}", "LR/X{scale}", "LR_bicubic/X{scale}", "LRbicx{scale}", "X{scale}", "LR", "LQ")
_REALSR = (("_HR", "_LR{scale}"), ("_HR", "_LR"))
_SELFEXSR = ("_SRF_{scale}_HR", "_SRF_{scale}_LR")
_DREALSR = (("_x1", "_x{scale}"), ("", ""), ("", "x{scale}"))
#: Published folders that carry the name of their set.
_NAMED = (
    Layout("test_HR", ("test_LR",), _DREALSR),
    Layout("{name}_HR", ("{name}_LR_bicubic/X{scale}", "{name}_LR_x{scale}", "{name}_LRx{scale}", "{name}_LR", *_LR)),
)

#: How benchmarks are published, and how toolboxes (BasicSR, HAT, EDSR) want them; the first that fits is taken.
LAYOUTS = (
    Layout("HRx{scale}", _LR),
    Layout("GTmod{scale}", ("LRbicx{scale}", *_LR)),
    Layout("GTmod{multiple}", ("LRbicx{scale}", *_LR)),
    Layout("HR", _LR),
    Layout("GT", _LR),
    Layout("original", _LR),
    _together("image_SRF_{scale}", _SELFEXSR),
    _together("*/Test/{scale}", *_REALSR),
    _together("Test/{scale}", *_REALSR),
    _together(".", _SELFEXSR, *_REALSR),
    Layout("Test_x{scale}/test_HR", ("Test_x{scale}/test_LR",), _DREALSR),
    *_NAMED,
)

_TAIL = r"(?:(?:x|mod)?\d+|[_-].*|bic.*)?"
_HR_LIKE = re.compile(rf"(?:.+[_-])?(?:HR|HQ|GT){_TAIL}|original", re.IGNORECASE)
_LR_LIKE = re.compile(rf"(?:.+[_-])?(?:LR|LQ){_TAIL}|X\d+", re.IGNORECASE)
_END = re.compile(r"(?:_SRF_\d+)?(?:_HR|_LRx?\d*|_?x\d+)$", re.IGNORECASE)


def is_hr_like(folder: Path) -> bool:
    """Whether a folder is called as those of HR pictures are, of any scale."""
    return _HR_LIKE.fullmatch(folder.name) is not None


def is_lr_like(folder: Path) -> bool:
    """Whether a folder is called as those of LR pictures are, of any scale."""
    return _LR_LIKE.fullmatch(folder.name) is not None


def subfolders(folder: Path) -> list[Path]:
    """The folders in `folder` that are not hidden, sorted."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    return [folder / name for name in names]


def find_place(folder: Path, scale: int, published: Sequence[Layout] = ()) -> Place | None:
    """Find HR and LR folder of the benchmark in `folder` by the first of `published` and LAYOUTS that fits.

    None if there is no HR folder for this scale. Raises DataError where several fit one layout.
    """
    for layout in (*published, *LAYOUTS):
        found = _folders(folder, layout.hr, scale)
        if not found or (layout.together and not _holds_both(layout, [hr for hr, _ in found], scale)):
            continue
        if len(found) > 1 and "*" not in layout.hr:
            names = " and ".join(printable(hr.relative_to(folder).as_posix()) for hr, _ in found)
            raise DataError(f"{folder}: {names} may each hold the HR pictures; leave one, or name one by itself.")
        return Place(layout, [hr for hr, _ in found], _lr_folders(folder, layout, scale, found[0][1]))
    return _beside(folder, scale)


def find_lr(folder: Path, scale: int) -> Path | None:
    """The folder of LR pictures of a set without HR pictures; None if there is none, or HR may lie beside it."""
    if _pictures_in(folder) or any(is_hr_like(sub) for sub in subfolders(folder)):
        return None
    found = _lr_folders(folder, Layout("", _LR), scale)
    return found[0] if found else None


def pair(place: Place, scale: int) -> Paired:
    """Pair the HR and LR pictures that have one path inside their folders, the layout's ends aside.

    An HR picture without a partner has, as LR, the path where it should be: it cannot be read.
    Raises DataError where a folder is empty, two pictures have one name, or no HR picture has a partner.
    """
    layout = place.layout
    ends = [(hr.format(scale=scale), lr.format(scale=scale)) for hr, lr in layout.ends]
    hr_pictures = list_pictures(place.hr)
    lr_pictures = hr_pictures if layout.together else list_pictures(place.lr) if place.lr else {}
    sources: dict[str, Source] = {}
    found, lacking = set(), []
    for stem, path in hr_pictures.items():
        fitting = [(hr, lr) for hr, lr in ends if stem.endswith(hr)]
        if not fitting:
            continue
        name = stem.removesuffix(fitting[0][0])
        if name in sources:
            raise _one_name(path.parent, sources[name].hr, path)
        lr = None
        if place.lr:
            stems = [stem.removesuffix(hr) + end for hr, end in fitting]
            partner = next((candidate for candidate in stems if candidate in lr_pictures), None)
            if partner is None:
                expected = stems[0] + path.suffix
                lr = path.with_name(PurePosixPath(expected).name) if layout.together else place.lr[0] / expected
                lacking.append(f"for {path.name} there is no {' or '.join(stems)}")
            else:
                lr = lr_pictures[partner]
                found.add(partner)
        sources[name] = Source(name, path, lr, "")
    if lacking and not found:
        raise DataError(
            f"{place.hr[0]}: none of its pictures has an LR picture in {place.lr[0]} ({printable(lacking[0])}); "
            "rename them or remove that folder."
        )
    left = [stem for stem in lr_pictures if stem not in found]
    if layout.together:
        left = [stem for stem in left if any(stem.endswith(lr) for _, lr in ends)]
    return Paired([sources[name] for name in sorted(sources)], sorted(left))


def hr_alone(folder: Path, scale: int) -> list[Source]:
    """All pictures in `folder` and below as HR pictures.

    Raises DataError where HR and LR pictures, or several benchmarks, may lie among them.
    """
    understood = f"HRx{scale} nor HR (GT, GTmod{scale}, original, ..._HR)"
    mend = f"call the folder of HR pictures HR, that of LR pictures LRx{scale}"
    inside = subfolders(folder)
    if sides := [printable(sub.name) for sub in inside if is_hr_like(sub) or is_lr_like(sub)]:
        raise DataError(
            f"{folder}: has {', '.join(sides)}, but neither {understood} for scale {scale}; {mend}, "
            "or choose another scale."
        )
    if is_lr_like(folder.absolute()):
        raise DataError(
            f"{folder}: is called as LR pictures are; name the benchmark's folder, or rename this one if it is HR."
        )
    if benchmark := next((sub for sub in inside if any(is_hr_like(found) for found in subfolders(sub))), None):
        raise DataError(f"{folder}: holds several benchmarks; name one, such as {printable(benchmark)}.")
    pictures = list_pictures([folder])
    bare: dict[str, str] = {}
    for stem, path in pictures.items():
        name = printable(path.relative_to(folder))
        other = bare.setdefault(_END.sub("", PurePosixPath(stem).name), name)
        if other != name:
            raise DataError(f"{folder}: {other} and {name} may be HR and LR of one picture; {mend}.")
    return [Source(name, path, None, "") for name, path in pictures.items()]


def list_pictures(folders: Iterable[Path]) -> dict[str, Path]:
    """The pictures in `folders` and below by their path in there without suffix, sorted by it.

    Raises DataError where a folder has none, or two pictures have one name.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        for path in find_pictures(folder):
            stem = printable(path.relative_to(folder).with_suffix("").as_posix())
            if stem in found:
                raise _one_name(folder, found[stem], path)
            found[stem] = path
    return dict(sorted(found.items()))


def _one_name(folder: Path, first: Path, second: Path) -> DataError:
    names = [printable(p.name if first.parent == second.parent else p) for p in (first, second)]
    return DataError(f"{folder}: {names[0]} and {names[1]} are one name; remove one of them.")


def _folders(root: Path, pattern: str, scale: int, name: str | None = None) -> list[tuple[Path, str | None]]:
    """The folders in `root` that fit a pattern, each with what `{name}` stands for in it."""
    found = [(root, name)]
    for part in PurePosixPath(pattern).parts:
        regex = _regex(part, scale, name)
        found = [
            (sub, match.groupdict().get("name", known))
            for folder, known in found
            for sub in subfolders(folder)
            if (match := regex.fullmatch(sub.name)) and int(match.groupdict().get("multiple", 0)) % scale == 0
        ]
    return found


def _regex(part: str, scale: int, name: str | None) -> re.Pattern[str]:
    meaning = {
        "{scale}": str(scale),
        "{multiple}": r"(?P<multiple>\d+)",
        "{name}": "(?P<name>.+)" if name is None else re.escape(name),
        "*": ".+",
    }
    pieces = re.split(r"(\{\w+\}|\*)", part)
    return re.compile("".join(meaning.get(piece, re.escape(piece)) for piece in pieces), re.IGNORECASE)


def _lr_folders(folder: Path, layout: Layout, scale: int, name: str | None = None) -> list[Path]:
    for pattern in layout.lr:
        if found := [lr for lr, _ in _folders(folder, pattern, scale, name)]:
            return found if "*" in pattern else found[:1]
    return []


def _beside(folder: Path, scale: int) -> Place | None:
    """`folder` itself as an HR folder such as DIV2K_valid_HR, if its LR folder lies beside it."""
    absolute = folder.absolute()
    for layout in _NAMED:
        for hr, name in _folders(absolute.parent, layout.hr, scale):
            if hr == absolute and (lr := _lr_folders(absolute.parent, layout, scale, name)):
                return Place(layout, [folder], lr)
    return None


def _holds_both(layout: Layout, folders: Sequence[Path], scale: int) -> bool:
    """Whether pictures with an HR end lie in the folders, and some with an LR end."""
    pictures = [path for folder in folders for path in _pictures_in(folder)]
    return all(
        any(path.stem.endswith(end.format(scale=scale)) for path in pictures for end in ends)
        for ends in zip(*layout.ends, strict=True)
    )


def _pictures_in(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and not p.name.startswith(".")]
