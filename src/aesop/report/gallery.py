"""The pictures of a report: LR, bicubic, every model's SR and HR of each, without loss, and no larger than allowed."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from aesop.analysis.regions import Region, detailed_regions, differing_region, thumbnail
from aesop.data.bicubic import resize
from aesop.data.pictures import to_picture
from aesop.evaluation.model_names import BICUBIC
from aesop.evaluation.pictures import EvaluatedPicture

#: Megabytes of all pictures together, as they stand in the page: what browsers open and mail takes without ado.
LIMIT = 25
#: The sides of the squares that stand for a picture that is too large, in HR pixels; each is tried in turn.
CROP_SIDES = (384, 256, 192, 128, 96, 64)
#: The side of the small square that the page shows of all sides at once, in HR pixels; pictures.js has it as well.
PATCH = 36
#: Lossy pictures would err by as much as models differ (WebP of quality 90: 39 dB). Quality and method are for speed
#: (they cost 5 % more bytes).
_LOSSLESS = {"lossless": True, "quality": 50, "method": 2}
#: The longer side of the small picture that says where a square is from, and the most of the room that it may take.
OVERVIEW, _OVERVIEW_SHARE = 200, 0.1
#: A picture that is larger than its share, but not by more than this factor, waits for what others leave.
_WAITING_SHARES = 4
#: What the format can hold.
_LONGEST = 16383


@dataclass(frozen=True)
class Side:
    """One state of a picture: its title, its WebP file (LR's is smaller than others by the scale) and its model."""

    title: str
    file: bytes
    model: str | None


@dataclass(frozen=True)
class Shown:
    """A picture of the report: its size in HR pixels, and its sides from LR to HR; none where there was no room.

    `crop` is the part that is shown, None for the whole, and `overview` a small WebP file of the whole picture, for
    finding one's way; `spot` is the patch of the part to look at first.
    """

    benchmark: str
    name: str
    height: int
    width: int
    sides: Sequence[Side] = ()
    crop: Region | None = None
    spot: Region | None = None
    overview: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(len(side.file) for side in self.sides) + len(self.overview)


class Gallery:
    """Collects an evaluation's pictures; their files take at most `limit` bytes in the page."""

    def __init__(self, limit: int = LIMIT * 10**6) -> None:
        self.limit = limit
        self.pictures: list[Shown] = []

    def fill(self, pictures: Iterable[EvaluatedPicture], count: int) -> None:
        """Add `count` pictures; each may take an equal share of what those before it have left.

        What is left at the end goes to those that were cut, the first ones first.
        """
        room = self.limit * 3 // 4  # base64
        better: dict[int, Shown] = {}
        kept = 0
        for index, picture in enumerate(pictures):
            share = room // max(count - index, 1)
            # More than a few shares will hardly be left; the bytes wait in memory.
            best = _whole(picture, min(_WAITING_SHARES * share, room))
            if best is None or best.size > share:
                if best is not None and (kept := kept + best.size) <= self.limit:
                    better[len(self.pictures)] = best
                best = _square(picture, share)
            room -= best.size
            self.pictures.append(best)
        for index, shown in better.items():
            if (extra := shown.size - self.pictures[index].size) <= room:
                self.pictures[index] = shown
                room -= extra


def _whole(picture: EvaluatedPicture, room: int) -> Shown | None:
    """The whole picture; None if it needs more bytes than there is room for."""
    height, width = _size(picture)
    sides = _sides(_tensors(picture), room) if max(height, width) <= _LONGEST else None
    if sides is None:
        return None
    return Shown(picture.benchmark, picture.name, height, width, sides, spot=_spot(picture))


def _square(picture: EvaluatedPicture, room: int) -> Shown:
    """The largest square of a picture that `room` bytes hold, or nothing of it."""
    height, width = _size(picture)
    overview = _webp(thumbnail(_tensors(picture)[-1][-1], OVERVIEW), lossless=False, quality=70)
    overview = overview if len(overview) <= _OVERVIEW_SHARE * room else b""
    for longest in CROP_SIDES:
        side = longest // picture.scale * picture.scale
        if side >= min(height, width):
            continue
        place = _telling_place(picture, side)
        part = _cut(picture, place)
        if (sides := _sides(_tensors(part), room - len(overview))) is not None:
            return Shown(picture.benchmark, picture.name, height, width, sides, place, _spot(part), overview)
    return Shown(picture.benchmark, picture.name, height, width)


def _cut(picture: EvaluatedPicture, place: Region) -> EvaluatedPicture:
    scale = picture.scale
    return EvaluatedPicture(
        picture.benchmark,
        picture.name,
        scale,
        None if picture.hr is None else place.cut(picture.hr),
        Region(place.top // scale, place.left // scale, place.side // scale).cut(picture.lr),
        # Bicubic of a part would differ from it at the edges.
        {title: place.cut(tensor) for title, tensor in _upscaled(picture).items()},
    )


def _size(picture: EvaluatedPicture) -> tuple[int, int]:
    height, width = picture.lr.shape[-2:]
    return height * picture.scale, width * picture.scale


def _spot(picture: EvaluatedPicture) -> Region:
    return _telling_place(picture, min(*_size(picture), max(PATCH // picture.scale, 1) * picture.scale))


def _telling_place(picture: EvaluatedPicture, side: int) -> Region:
    """Where networks differ most; with fewer than two of them, or equal ones, where downscaling loses most."""
    networks = [sr for model, sr in picture.sr.items() if model != BICUBIC]
    place = differing_region(networks, picture.scale, side) if len(networks) > 1 else None
    # Where there is no HR, the last network shows best where there is detail.
    last = _tensors(picture)[-1][-1]
    return place or detailed_regions(last, picture.lr, 1, side)[0]


def _tensors(picture: EvaluatedPicture) -> list[tuple[str, str | None, Tensor]]:
    """The title, model and picture of every side, from LR to HR."""
    sides: list[tuple[str, str | None, Tensor]] = [("LR", None, picture.lr)]
    for model, sr in _upscaled(picture).items():
        sides.append((f"{model} (model)" if model in ("LR", "HR") else model, model, sr))
    return sides if picture.hr is None else [*sides, ("HR", None, picture.hr)]


def _upscaled(picture: EvaluatedPicture) -> Mapping[str, Tensor]:
    """Bicubic first, though it be no model of the evaluation, and the models' SR."""
    return {BICUBIC: picture.sr.get(BICUBIC, resize(picture.lr, picture.scale))} | dict(picture.sr)


def _sides(tensors: Sequence[tuple[str, str | None, Tensor]], room: int) -> list[Side] | None:
    """Encode uint8 pictures, (3, H, W); None if they are more than `room` bytes together."""
    sides = []
    # HR, the largest file, first: it tells soonest that there is no room.
    for title, model, tensor in reversed(tensors):
        sides.append(Side(title, _webp(tensor, **_LOSSLESS), model))
        room -= len(sides[-1].file)
        if room < 0:
            return None
    return sides[::-1]


def _webp(tensor: Tensor, **options: object) -> bytes:
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray(to_picture(tensor)).save(written, "WEBP", **options)
    return written.getvalue()
