"""The pictures of a report: LR, bicubic, every model's SR and HR of each, small enough for one file together."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from aesop.data.bicubic import resize
from aesop.data.pictures import to_picture
from aesop.evaluation.evaluate import Upscaled
from aesop.evaluation.model_names import BICUBIC
from aesop.evaluation.places import Place, detailed_places

#: Bytes of all pictures together, as they stand in the page: what browsers open and mail takes without ado.
LIMIT = 25 << 20
#: The sides of the crops that stand for a picture that is too large, in HR pixels; each is tried in turn.
CROP_SIDES = (384, 256, 128)
#: Without loss; quality and method are for speed (they cost 5 % more bytes).
_LOSSLESS = {"lossless": True, "quality": 50, "method": 2}
#: A third to three quarters of the bytes without loss, and nothing that one sees at normal size.
LOSSY_QUALITY = 90
#: A picture that is larger than its share, but not by more than this factor, waits for what others leave.
_WAITING_SHARES = 4
#: What the format can hold.
_LONGEST = 16383


@dataclass(frozen=True)
class Side:
    """One state of a picture: its title and its WebP file; LR's is smaller than the others by the scale."""

    title: str
    file: bytes


@dataclass(frozen=True)
class Shown:
    """A picture of the report: its size in HR pixels, and its sides from LR to HR; none where there was no room.

    `crop` is the part that is shown, None for the whole; `lossless` is whether every pixel is as it was measured.
    """

    benchmark: str
    name: str
    height: int
    width: int
    sides: Sequence[Side]
    crop: Place | None = None
    lossless: bool = True

    @property
    def size(self) -> int:
        """Bytes of all sides."""
        return sum(len(side.file) for side in self.sides)


class Gallery:
    """Collects the pictures that `evaluate` hands out, and keeps only their files."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.pictures: list[Shown] = []

    def fill(self, pictures: Iterable[Upscaled], count: int) -> None:
        """Add `count` pictures; each may take an equal share of what those before it have left.

        What is left at the end goes to those that were cut, the first ones first.
        """
        room = self.limit * 3 // 4  # base64
        better: dict[int, Shown] = {}
        kept = 0
        for index, picture in enumerate(pictures):
            share = room // max(count - index, 1)
            # More than a few shares will hardly be left; the bytes wait in memory.
            best = _whole(picture, min(_WAITING_SHARES * share, room), lossless=True)
            if best is None or best.size > share:
                if best is not None and (kept := kept + best.size) <= self.limit:
                    better[len(self.pictures)] = best
                best = _cut(picture, share)
            room -= best.size
            self.pictures.append(best)
        for index, shown in better.items():
            if (extra := shown.size - self.pictures[index].size) <= room:
                self.pictures[index] = shown
                room -= extra


def _tensors(picture: Upscaled) -> dict[str, Tensor]:
    """Every side by its title, from LR to HR."""
    bicubic = resize(picture.lr, picture.scale)
    titles = {model: f"{model} (model)" if model in ("LR", "HR") else model for model in picture.sr}
    tensors = {"LR": picture.lr, BICUBIC: bicubic} | {titles[model]: sr for model, sr in picture.sr.items()}
    return tensors if picture.hr is None else {**tensors, "HR": picture.hr}


def _whole(picture: Upscaled, room: int, lossless: bool) -> Shown | None:
    """The whole picture; None if it needs more bytes than there is room for."""
    tensors = _tensors(picture)
    height, width = tensors[BICUBIC].shape[-2:]
    sides = _sides(tensors, room, lossless) if max(height, width) <= _LONGEST else None
    if sides is None:
        return None
    return Shown(picture.benchmark, picture.name, height, width, sides, None, lossless)


def _cut(picture: Upscaled, room: int) -> Shown:
    """The most of a picture that `room` bytes hold: whole with some loss, a crop, nothing."""
    if (whole := _whole(picture, room, lossless=False)) is not None:
        return whole
    tensors, scale = _tensors(picture), picture.scale
    height, width = tensors[BICUBIC].shape[-2:]
    for longest in CROP_SIDES:
        side = longest // scale * scale
        if side >= min(height, width):
            continue
        # Where there is no HR, the last network shows best where there is detail.
        place = detailed_places(list(tensors.values())[-1], picture.lr, 1, side)[0]
        small = Place(place.top // scale, place.left // scale, side // scale)
        crops = {title: (small if title == "LR" else place).cut(tensor) for title, tensor in tensors.items()}
        if (sides := _sides(crops, room, lossless=True)) is not None:
            return Shown(picture.benchmark, picture.name, height, width, sides, place)
    return Shown(picture.benchmark, picture.name, height, width, ())


def _sides(tensors: Mapping[str, Tensor], room: int, lossless: bool) -> list[Side] | None:
    """Encode uint8 pictures, (3, H, W); None if they are more than `room` bytes together."""
    sides = []
    # HR, the largest file, first: it tells soonest that there is no room.
    for title, tensor in reversed(list(tensors.items())):
        sides.append(Side(title, _webp(tensor, lossless)))
        room -= len(sides[-1].file)
        if room < 0:
            return None
    return sides[::-1]


def _webp(tensor: Tensor, lossless: bool) -> bytes:
    from PIL import Image

    written = io.BytesIO()
    options = _LOSSLESS if lossless else {"quality": LOSSY_QUALITY}
    Image.fromarray(to_picture(tensor)).save(written, "WEBP", **options)
    return written.getvalue()
