"""HR pictures and the LR pictures that belong to them, for training and for benchmarks alike."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from aesop.data.bicubic import resize
from aesop.data.layouts import Folders
from aesop.data.pictures import find_pictures, read_picture, to_planes
from aesop.errors import DataError
from aesop.files import printable


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


def _stem(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:  # reading it reports the error
        return error.__class__.__name__
    return f"{status.st_size}:{status.st_mtime_ns}"
