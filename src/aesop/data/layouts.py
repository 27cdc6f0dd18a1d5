"""Where the HR and LR pictures of a folder are: how pairs are published, and how toolboxes keep them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from aesop.data.pictures import is_picture
from aesop.errors import DataError
from aesop.words import listed


class Layout(NamedTuple):
    """Folders of HR and LR pictures, perhaps the same, and what the pictures' names end in.

    `{scale}` stands for the scale, `*` for every folder; case is ignored.
    """

    hr: str
    lr: str
    hr_end: str = ""
    lr_ends: tuple[str, ...] = ("", "x{scale}")


#: Any pictures, with LR pictures of the same names.
ANY = Layout(".", ".")

HR_FOLDERS = ("HRx{scale}", "GTmod{scale}", "GTmod12", "HR", "GT", "original")
LR_FOLDERS = ("LRx{scale}", "LR/X{scale}", "LR_bicubic/X{scale}", "LRbicx{scale}", "X{scale}", "LR", "LQ")

#: How pairs are published, and how toolboxes (BasicSR, HAT, EDSR) keep them; the first that is there is taken.
LAYOUTS = (
    *(Layout(hr, lr) for hr in HR_FOLDERS for lr in LR_FOLDERS),
    Layout("image_SRF_{scale}", "image_SRF_{scale}", "_SRF_{scale}_HR", ("_SRF_{scale}_LR",)),
    Layout("*/Test/{scale}", "*/Test/{scale}", "_HR", ("_LR{scale}", "_LR")),  # RealSR
    Layout("Test/{scale}", "Test/{scale}", "_HR", ("_LR{scale}", "_LR")),
    Layout(".", ".", "_SRF_{scale}_HR", ("_SRF_{scale}_LR",)),
    Layout(".", ".", "_HR", ("_LR{scale}", "_LR")),
    Layout("Test_x{scale}/test_HR", "Test_x{scale}/test_LR", "_x1", ("_x{scale}",)),  # DRealSR
    Layout("Test_x{scale}/test_HR", "Test_x{scale}/test_LR"),
    Layout("test_HR", "test_LR", "_x1", ("_x{scale}",)),
    Layout("test_HR", "test_LR"),
)


def _sides(patterns: Iterable[str]) -> frozenset[str]:
    """The names of these layouts' outermost folders at any scale, in lower case."""
    names = {PurePosixPath(pattern).parts[0] for pattern in patterns if pattern != "."}
    return frozenset(name.format(scale=scale).casefold() for name in names - {"*"} for scale in range(2, 9))


_HR_SIDES, _LR_SIDES = _sides(one.hr for one in LAYOUTS), _sides(one.lr for one in LAYOUTS)


@dataclass(frozen=True)
class Folders:
    """Folders of HR and of LR pictures; without the latter LR is made."""

    hr: list[Path]
    lr: list[Path]
    layout: Layout = ANY


def named_folders(hr: Path | None, lr: Path | None = None) -> Folders:
    """Name the folders of HR and LR pictures; LR pictures alone have no ground truth."""
    return Folders([hr] if hr else [], [lr] if lr else [])


def find_folders(folder: Path, scale: int, published: tuple[Layout, ...] = ()) -> Folders:
    """Find the HR and LR folders in `folder` by the first of `published` and LAYOUTS that is there.

    Next come HR folders without LR folders; a folder without either holds HR pictures itself.
    Raises DataError where it is missing, or has folders for HR or LR pictures of no layout at this scale.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; check the path.")
    # BasicSR's pictures, cropped to multiples of 12, are not whole at other scales.
    layouts = [one for one in (*published, *LAYOUTS) if one.hr != "GTmod12" or 12 % scale == 0]
    by_name = [one for one in layouts if one.hr != "." and not one.hr_end]
    for layout in layouts:
        hr, lr = (_folders(folder, pattern, scale) for pattern in layout[:2])
        if hr and lr and (layout in by_name or _has_ends(layout, hr, lr, scale)):
            return Folders(hr, lr, layout)
    for layout in by_name:
        if hr := _folders(folder, layout.hr, scale):
            return Folders(hr, [], layout)
    if sides := [sub.name for sub in subfolders(folder) if sub.name.casefold() in _HR_SIDES | _LR_SIDES]:
        raise DataError(
            f"{folder}: has {listed(sides)}, which is no known layout for scale {scale}; "
            "name the folders with --hr DIR and --lr DIR, or choose another scale."
        )
    return Folders([folder], [])


def find_lr(folder: Path, scale: int) -> Path | None:
    """The folder of LR pictures in a folder without HR pictures; None if there is none or HR may be there."""
    if any(sub.name.casefold() in _HR_SIDES for sub in subfolders(folder)) or _pictures_in(folder):
        return None
    return next((lr for pattern in LR_FOLDERS for lr in _folders(folder, pattern, scale)), None)


def is_lr_side(folder: Path) -> bool:
    """Whether a folder has the name of an LR folder of any scale."""
    return folder.absolute().name.casefold() in _LR_SIDES - _HR_SIDES


def subfolders(folder: Path) -> list[Path]:
    """The folders in `folder` that are not hidden, sorted; none where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []
    return [folder / name for name in names]


def _folders(root: Path, pattern: str, scale: int) -> list[Path]:
    found = [root]
    for part in PurePosixPath(pattern.format(scale=scale)).parts:
        if part == "..":
            found = [folder.absolute().parent for folder in found]
            continue
        inside = [sub for folder in found for sub in subfolders(folder)]
        found = [sub for sub in inside if part == "*" or part.casefold() == sub.name.casefold()]
    return found


def _has_ends(layout: Layout, hr: list[Path], lr: list[Path], scale: int) -> bool:
    """Whether the folders `hr` hold pictures with an HR end, and `lr` with an LR end."""
    return all(
        any(path.stem.endswith(tuple(end.format(scale=scale) for end in ends)) for path in _pictures_in(*folders))
        for ends, folders in (((layout.hr_end,), hr), (layout.lr_ends, lr))
    )


def _pictures_in(*folders: Path) -> list[Path]:
    return [p for folder in folders for p in folder.iterdir() if is_picture(p)]
