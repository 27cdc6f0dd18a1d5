"""The pictures of a report: LR, bicubic, every model's SR and HR of each, without loss, and no larger than allowed."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from aesop.analysis.regions import Region, detailed_regions, differing_region, thumbnail
from aesop.data.bicubic import resize
from aesop.data.pictures import to_picture
from aesop.evaluation.model_names import BICUBIC
from aesop.evaluation.pictures import EvaluatedPicture

#: The sides of the squares shown of a picture that is too large, in HR pixels, in the order they are tried.
CROP_SIDES = (384, 256, 192, 128, 96, 64)
#: The side of the small square that the page shows of all sides at once, in HR pixels.
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
class ShownPicture:
    """A picture of the report: its size in HR pixels, and its sides from LR to HR; none where there was no room.

    `crop` is the part that is shown, None for the whole, and `overview` a small WebP file of the whole picture;
    `spot` is the patch of the part to look at first.
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

    @property
    def how(self) -> str:
        """How it is shown."""
        if not self.sides:
            return "not shown for lack of space"
        return "whole" if self.crop is None else "only the square where networks differ or downscaling loses most"


def show(pictures: Iterable[EvaluatedPicture], count: int, limit: int) -> list[ShownPicture]:
    """Encode `count` pictures; each may take an equal share of what those before it have left of `limit` bytes.

    What is left at the end goes to those that were cut, the first ones first.
    """
    room = limit * 3 // 4  # base64
    shown: list[ShownPicture] = []
    better: dict[int, ShownPicture] = {}
    kept = 0
    for index, picture in enumerate(pictures):
        share = room // max(count - index, 1)
        # More than a few shares will hardly be left; the bytes wait in memory.
        best = _whole(picture, min(_WAITING_SHARES * share, room))
        if best is None or best.size > share:
            if best is not None and (kept := kept + best.size) <= limit:
                better[index] = best
            best = _square(picture, share)
        room -= best.size
        shown.append(best)
    for index, best in better.items():
        if (extra := best.size - shown[index].size) <= room:
            shown[index] = best
            room -= extra
    return shown


def _whole(picture: EvaluatedPicture, room: int) -> ShownPicture | None:
    """The whole picture; None if it needs more bytes than there is room for."""
    height, width = _size(picture)
    sides = _sides(_tensors(picture), room) if max(height, width) <= _LONGEST else None
    if sides is None:
        return None
    return ShownPicture(picture.benchmark, picture.name, height, width, sides, spot=_spot(picture))


def _square(picture: EvaluatedPicture, room: int) -> ShownPicture:
    """The largest square of a picture that `room` bytes hold, or nothing of it."""
    shown = ShownPicture(picture.benchmark, picture.name, *_size(picture))
    overview = _webp(thumbnail(_tensors(picture)[-1][-1], OVERVIEW), lossless=False, quality=70)
    overview = overview if len(overview) <= _OVERVIEW_SHARE * room else b""
    for longest in CROP_SIDES:
        side = longest // picture.scale * picture.scale
        if side >= min(shown.height, shown.width):
            continue
        region = _telling_region(picture, side)
        part = _cut(picture, region)
        if (sides := _sides(_tensors(part), room - len(overview))) is not None:
            return replace(shown, sides=sides, crop=region, spot=_spot(part), overview=overview)
    return shown


def _cut(picture: EvaluatedPicture, region: Region) -> EvaluatedPicture:
    scale = picture.scale
    return replace(
        picture,
        hr=None if picture.hr is None else region.cut(picture.hr),
        lr=Region(region.top // scale, region.left // scale, region.side // scale).cut(picture.lr),
        # Bicubic of a part would differ from it at the edges.
        sr={title: region.cut(tensor) for title, tensor in _upscaled(picture).items()},
    )


def _size(picture: EvaluatedPicture) -> tuple[int, int]:
    height, width = picture.lr.shape[-2:]
    return height * picture.scale, width * picture.scale


def _spot(picture: EvaluatedPicture) -> Region:
    return _telling_region(picture, min(*_size(picture), max(PATCH // picture.scale, 1) * picture.scale))


def _telling_region(picture: EvaluatedPicture, side: int) -> Region:
    """Find where networks differ most; with fewer than two, or equal ones, where downscaling loses most."""
    networks = [sr for model, sr in picture.sr.items() if model != BICUBIC]
    region = differing_region(networks, picture.scale, side) if len(networks) > 1 else None
    # Where there is no HR, the last network shows best where there is detail.
    return region or detailed_regions(_tensors(picture)[-1][-1], picture.lr, 1, side)[0]


def _tensors(picture: EvaluatedPicture) -> list[tuple[str, str | None, Tensor]]:
    """The title, model and picture of every side, from LR to HR."""
    sides: list[tuple[str, str | None, Tensor]] = [("LR", None, picture.lr)]
    for model, sr in _upscaled(picture).items():
        sides.append((f"{model} (model)" if model in ("LR", "HR") else model, model, sr))
    return sides if picture.hr is None else [*sides, ("HR", None, picture.hr)]


def _upscaled(picture: EvaluatedPicture) -> Mapping[str, Tensor]:
    """Bicubic first, even if the evaluation has no such model, then the models' SR."""
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
