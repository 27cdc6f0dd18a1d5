"""Benchmarks: folders of HR pictures, and of the LR pictures that belong to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from aesop.data.bicubic import resize
from aesop.data.pictures import find_pictures, read_picture
from aesop.errors import DataError


@dataclass(frozen=True)
class Pair:
    """One picture of a benchmark; without `lr` the LR picture is made."""

    name: str
    hr: Path
    lr: Path | None

    def read(self, scale: int) -> tuple[Tensor, Tensor]:
        """HR, (3, H, W), cropped at the right and bottom to multiples of `scale`, and LR, (3, H/scale, W/scale); uint8.

        An LR picture that is made is the double-precision bicubic of the cropped HR picture, rounded to 8 bit.
        Raises DataError where a file is corrupt, or LR is not of that size.
        """
        hr = _pixels(self.hr)
        height, width = (side // scale * scale for side in hr.shape[-2:])
        if min(height, width) == 0:
            raise DataError(f"{self.hr}: is smaller than {scale}x{scale} pixels; leave it out.")
        hr = hr[:, :height, :width].contiguous()
        if self.lr is None:
            return hr, resize(hr, 1 / scale)
        lr = _pixels(self.lr)
        if (lr.shape[-2] * scale, lr.shape[-1] * scale) != (height, width):
            raise DataError(
                f"{self.lr}: has {lr.shape[-1]}x{lr.shape[-2]} pixels, {width // scale}x{height // scale} belong to "
                f"its HR picture at scale {scale}; make it anew."
            )
        return hr, lr


@dataclass(frozen=True)
class Benchmark:
    """A named set of pictures for one scale, in the order of their names."""

    name: str
    scale: int
    pairs: list[Pair]


def open_benchmark(folder: Path, scale: int) -> Benchmark:
    """Find the pictures of the benchmark in `folder`; none is read yet.

    HR pictures are those in `HRx4` (for scale 4), else in `HR`, else in `folder` itself. LR pictures are those of the
    same names (or `NAMEx4`) in `LRx4`, `LR/X4` or `LR`; without any such folder they are made.

    Raises DataError where the folder or its pictures are missing, or an LR folder lacks the picture of an HR one.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such benchmark folder; check the path.")
    hr_folder = _first_folder(folder / f"HRx{scale}", folder / "HR")
    if hr_folder is None:
        _refuse_folders_of_something_else(folder, scale)
    lr_folder = _first_folder(folder / f"LRx{scale}", folder / "LR" / f"X{scale}", folder / "LR")
    if hr_folder is None and lr_folder is not None:
        raise DataError(f"{folder}: has LR pictures but no folder HRx{scale} or HR; add one.")
    hr_folder = hr_folder or folder

    lr_files = {} if lr_folder is None else _by_name(lr_folder)
    pairs = []
    for name, hr in _by_name(hr_folder).items():
        lr = lr_files.get(name) or lr_files.get(f"{name}x{scale}")
        if lr_folder is not None and lr is None:
            raise DataError(f"{lr_folder}: has no LR picture for {hr.name}; add it or remove the folder.")
        pairs.append(Pair(name, hr, lr))
    return Benchmark(folder.resolve().name, scale, pairs)


def _first_folder(*folders: Path) -> Path | None:
    return next((folder for folder in folders if folder.is_dir()), None)


def _refuse_folders_of_something_else(folder: Path, scale: int) -> None:
    """Raise DataError where `folder` holds HR pictures of other scales, or benchmarks: it is no folder of pictures."""
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    other = [path.name for path in inside if path.name.startswith("HRx")]
    if other:
        raise DataError(f"{folder}: has no folder HRx{scale} or HR, but {', '.join(other)}; choose another --scale.")
    benchmarks = [path.name for path in inside if any(path.glob("HR*/"))]
    if benchmarks:
        raise DataError(f"{folder}: holds several benchmarks; name one, such as {folder / benchmarks[0]}.")


def _by_name(folder: Path) -> dict[str, Path]:
    """Pictures below `folder` by their relative names without suffix."""
    named: dict[str, Path] = {}
    for path in find_pictures(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in named:
            raise DataError(f"{folder}: {named[name].name} and {path.name} are one name; remove one of them.")
        named[name] = path
    return named


def _pixels(path: Path) -> Tensor:
    return torch.from_numpy(read_picture(path)).permute(2, 0, 1).contiguous()
