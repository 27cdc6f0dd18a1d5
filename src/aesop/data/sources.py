"""What a folder of pictures offers: HR alone, or HR and LR that pair by name."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from aesop.data.bicubic import resize
from aesop.data.pictures import find_pictures, read_picture, to_planes
from aesop.errors import DataError
from aesop.files import printable


@dataclass(frozen=True)
class Source:
    """An HR picture, its name (path inside its folder) and its LR picture; `lr` is None where LR is to be made.

    An `lr` that is no file is an LR picture that is missing: `read` says so.

    `stamp` changes whenever one of the files does (sizes and times of change).
    """

    name: str
    hr: Path
    lr: Path | None
    stamp: str

    def read(self, scale: int, shrink: int = 1) -> tuple[Tensor, Tensor]:
        """HR, (3, H, W), cropped at the right and bottom to multiples of `scale`, and LR, (3, H/scale, W/scale); uint8.

        HR is downscaled by the whole number `shrink` first. An LR picture that is made is the double-precision bicubic
        of the cropped HR picture, rounded to 8 bit.
        Raises DataError where a file is missing or cannot be read, HR is too small or LR is not of that size.
        """
        hr = to_planes(read_picture(self.hr))
        if shrink > 1:
            hr = resize(self._crop_to_multiple(hr, shrink), 1 / shrink)
        height, width = hr.shape[-2:]
        hr = self._crop_to_multiple(hr, scale)
        if self.lr is None:
            return hr, resize(hr, 1 / scale)
        if not self.lr.is_file():
            raise DataError(f"{self.hr}: has no LR picture {self.lr.stem} in {self.lr.parent}")
        lr = to_planes(read_picture(self.lr))
        if (lr.shape[-2] * scale, lr.shape[-1] * scale) != hr.shape[-2:]:
            raise DataError(
                f"{self.hr}: {width} x {height} pixels are not {scale} times those of its LR picture, "
                f"{lr.shape[-1]} x {lr.shape[-2]}"
            )
        return hr, lr

    def _crop_to_multiple(self, image: Tensor, multiple: int) -> Tensor:
        height, width = (length // multiple * multiple for length in image.shape[-2:])
        if 0 in (height, width):
            raise DataError(f"{self.hr}: {image.shape[-1]} x {image.shape[-2]} pixels are too few")
        return image[:, :height, :width].contiguous()


def find_sources(
    source: Path, scale: int, lr: Path | None = None, unreadable: list[str] | None = None
) -> tuple[list[Source], list[tuple[str, str]]]:
    """All HR pictures of `source` with their LR partners, and (name, reason) of those that lack one.

    HR pictures are those in `source`/HRx<scale> or `source`/HR, else all in `source`. LR pictures are those in `lr`,
    else those beside HR in LRx<scale>, LR/X<scale> or LR. Partners have the same path inside their folders, whatever
    the format; the LR name may end in x<scale>.

    `unreadable` is as of `find_pictures`. Raises DataError where there are no pictures, or HR or LR folders of other
    scales only.
    """
    hr, lr = _folders(source, scale, lr)
    pictures = find_pictures(hr, unreadable)
    partners = _by_stem(lr, unreadable) if lr else None
    found, missing = [], []
    for path in pictures:
        relative = path.relative_to(hr)
        name = printable(relative.as_posix())
        partner = None
        if partners is not None:
            stem = relative.with_suffix("").as_posix()
            candidates = partners.get(stem) or partners.get(f"{stem}x{scale}")
            if not candidates:
                stem = printable(stem)
                missing.append((name, f"has no LR picture {stem} or {stem}x{scale} in {lr}"))
                continue
            partner = next((p for p in candidates if p.suffix == path.suffix), candidates[0])
        stamp = _stamp(path)
        if partner is not None:
            stamp += f" {printable(partner.resolve())} {_stamp(partner)}"
        found.append(Source(name, path, partner, stamp))
    return found, missing


def _folders(source: Path, scale: int, lr: Path | None) -> tuple[Path, Path | None]:
    hr = _first_folder(source / f"HRx{scale}", source / "HR")
    if hr is not None:
        return hr, lr or _first_folder(source / f"LRx{scale}", source / "LR" / f"X{scale}", source / "LR")
    others = sorted(p.name for p in source.glob("*") if p.is_dir() and re.fullmatch(r"HRx\d+|LR(x\d+)?", p.name))
    if others:
        raise DataError(
            f"{source}: has {', '.join(others)}, but neither HRx{scale} nor HR for scale {scale}; "
            "add one of them or choose another scale."
        )
    return source, lr


def _first_folder(*candidates: Path) -> Path | None:
    return next((folder for folder in candidates if folder.is_dir()), None)


def _by_stem(folder: Path, unreadable: list[str] | None) -> dict[str, list[Path]]:
    stems: dict[str, list[Path]] = defaultdict(list)
    for path in find_pictures(folder, unreadable):
        stems[path.relative_to(folder).with_suffix("").as_posix()].append(path)
    return stems


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:  # a link that leads nowhere: reading it will say so
        return error.__class__.__name__
    return f"{status.st_size}:{status.st_mtime_ns}"
