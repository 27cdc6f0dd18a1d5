"""HR pictures and the LR pictures that belong to them, for training and for benchmarks alike."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from torch import Tensor

from aesop.data.bicubic import resize
from aesop.data.pictures import find_pictures, is_picture, read_picture, to_planes
from aesop.errors import DataError
from aesop.files import printable
from aesop.words import listed


@dataclass(frozen=True)
class Pair:
    """An HR picture and its LR picture, which is made if `lr` is None.

    `name` is the HR picture's path in its folder; `stamp` changes whenever one of the files does.
    """

    name: str
    hr: Path
    lr: Path | None = None
    stamp: str = ""

    @property
    def files(self) -> list[Path]:
        """The files to read; raises DataError where the LR picture is missing."""
        if self.lr is not None and not self.lr.is_file():
            raise DataError(f"{self.hr}: has no LR picture {self.lr.stem} in {self.lr.parent}")
        return [self.hr] if self.lr is None else [self.hr, self.lr]

    def read(self, scale: int, shrink: int = 1) -> tuple[Tensor, Tensor]:
        """HR, (3, H, W), cropped at the right and bottom to multiples of `scale`, and LR, (3, H/scale, W/scale); uint8.

        HR is downscaled by the whole number `shrink` first. LR is made, where it is, by `resize` of the cropped HR.
        Raises DataError where a file is missing or unreadable, HR is too small or LR is not of that size.
        """
        hr, *lr = (to_planes(read_picture(path)) for path in self.files)
        if shrink > 1:
            hr = resize(self._crop_to_multiple(hr, shrink), 1 / shrink)
        height, width = hr.shape[-2:]
        hr = self._crop_to_multiple(hr, scale)
        if not lr:
            return hr, resize(hr, 1 / scale)
        rows, columns = lr[0].shape[-2:]
        if (rows * scale, columns * scale) != hr.shape[-2:]:
            size = f"{width} x {height} pixels"
            raise DataError(f"{self.hr}: {size} are not {scale} times those of its LR picture, {columns} x {rows}")
        return hr, lr[0]

    def _crop_to_multiple(self, image: Tensor, multiple: int) -> Tensor:
        height, width = (length // multiple * multiple for length in image.shape[-2:])
        if 0 in (height, width):
            raise DataError(f"{self.hr}: {image.shape[-1]} x {image.shape[-2]} pixels are too few")
        return image[:, :height, :width].contiguous()


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


def find_pairs(where: Folders, scale: int, unreadable: list[str] | None = None) -> tuple[list[Pair], list[str]]:
    """Pair the pictures of HR and LR folders by name; give the pairs and the names of LR pictures without HR.

    Partners have the same path inside their folders, apart from the layout's ends and the format, which decides among
    several. An HR picture without a partner gets the path where it should be. `unreadable` and errors are those of
    `aesop.data.pictures.find_pictures`.
    """
    hr_end, *lr_ends = (end.format(scale=scale) for end in (where.layout.hr_end, *where.layout.lr_ends))
    together = where.hr == where.lr
    partners: dict[str, list[Path]] = defaultdict(list)
    for folder in where.lr:
        for path in find_pictures(folder, unreadable):
            partners[_stem(path, folder)].append(path)
    pairs, used = [], set()
    for folder in where.hr:
        for path in find_pictures(folder, None if together else unreadable):
            stem = _stem(path, folder)
            if not stem.endswith(hr_end):
                continue
            partner = None
            if where.lr:
                expected = [stem.removesuffix(hr_end) + end for end in lr_ends]
                found = next((name for name in expected if name in partners), expected[0])
                used.add(found)
                candidates = partners.get(found, [])
                same = [lr for lr in candidates if lr.suffix == path.suffix] or candidates
                partner = same[0] if len(same) == 1 else (folder if together else where.lr[0]) / (found + path.suffix)
            stamp = _stamp(path)
            if partner is not None:
                stamp += f" {printable(partner.resolve())} {_stamp(partner)}"
            pairs.append(Pair(printable(path.relative_to(folder).as_posix()), path, partner, stamp))
    left = [name for name in partners if name not in used and (not together or name.endswith(tuple(lr_ends)))]
    return pairs, [printable(name) for name in sorted(left)]


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


def _stem(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:  # reading it will say so
        return error.__class__.__name__
    return f"{status.st_size}:{status.st_mtime_ns}"
