"""What libvips does not tell of a picture file: resolution as stored, animation, TIFF's EXIF, JPEG XL's header."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

#: How much of a file is searched for what stands before its pixels.
_HEAD = 1 << 20
#: Tags of a TIFF that describe the picture, not its storage: description, maker, model, software, date, artist, host,
#: copyright, rating; and those of the directories of EXIF and GPS.
TIFF_DESCRIBING = (270, 271, 272, 305, 306, 315, 316, 33432, 18246, 18249)
TIFF_DIRECTORIES = (34665, 34853)

Resolution = tuple[float, float]
#: No resolution is told beyond this, the largest that PNG and BMP can hold.
_FINEST = ((1 << 31) - 1) * 0.0254


def resolution(path: Path, key: str) -> Resolution | None:
    """Pixels per inch across and down as the file states them, outside of EXIF; None where it does not."""
    with path.open("rb") as file:
        if key == "jpeg":
            head = file.read(20)
            if head[6:11] == b"JFIF\0":
                unit, across, down = struct.unpack(">BHH", head[13:18])
                factor = {1: 1.0, 2: 2.54}.get(unit, 0)
                return _positive(across * factor, down * factor)
        elif key == "png":
            chunk = png_chunks(file.read(_HEAD)).get(b"pHYs", b"")
            if len(chunk) == 9 and chunk[8] == 1:
                across, down = struct.unpack(">II", chunk[:8])
                return _positive(across * 0.0254, down * 0.0254)
        elif key == "bmp":
            head = file.read(46)
            if len(head) == 46:
                across, down = struct.unpack_from("<ii", head, 38)
                return _positive(across * 0.0254, down * 0.0254)
        elif key == "tiff":
            tags = tiff_directory(file)
            factor = {2: 1.0, 3: 2.54}.get(tags.get(296, 2), 0)
            return _positive(float(tags.get(282, 0)) * factor, float(tags.get(283, 0)) * factor)
    return None


def png_chunks(head: bytes) -> dict[bytes, bytes]:
    """The chunks of a PNG before its pixels, the first of each kind."""
    chunks: dict[bytes, bytes] = {}
    place = 8
    while place + 8 <= len(head):
        length, kind = struct.unpack_from(">I4s", head, place)
        if kind == b"IDAT":
            break
        chunks.setdefault(kind, head[place + 8 : place + 8 + length])
        place += 12 + length
    return chunks


def is_animated(path: Path, key: str) -> bool:
    """Whether a PNG, AVIF or HEIC file has frames."""
    with path.open("rb") as file:
        if key == "png":
            return b"acTL" in png_chunks(file.read(_HEAD))
        return key in ("avif", "heic") and any(kind == b"moov" for kind, _ in _boxes(file))


def tiff_pages(path: Path, limit: int = 64) -> int:
    """The number of a TIFF's pages, without smaller versions of one; at most `limit`."""
    pages, seen = 0, set()
    with path.open("rb") as file:
        directory = _tiff_reader(file)
        while directory.next and directory.next not in seen and len(seen) < limit:
            seen.add(directory.next)
            file.seek(directory.next)
            directory.load(file)
            pages += not int(directory.get(254, 0)) & 1
    return pages


def tiff_exif(path: Path) -> bytes | None:
    """EXIF of what a TIFF says about its picture, with the EXIF and GPS directories; None where it says nothing."""
    from PIL import Image

    with path.open("rb") as file:
        if file.read(4)[2:] not in (b"*\0", b"\0*"):
            return None  # Pillow reads EXIF from files of the classic layout only
        file.seek(0)
        stored, kept = Image.Exif(), Image.Exif()
        stored.load_from_fp(file)
        describe(stored, kept)
    return kept.tobytes().removeprefix(b"Exif\0\0") if len(kept) else None


def describe(stored: Any, kept: Any) -> None:
    """Copy what a TIFF's EXIF says of its picture, a Pillow Exif, to another directory of Pillow's.

    Damaged values, which Pillow cannot read or write, are left out.
    """
    for tag in TIFF_DESCRIBING:
        with suppress(Exception):  # whatever Pillow makes of damage
            if tag in stored and _writable(tag, stored[tag]):
                kept[tag] = stored[tag]
    for tag in TIFF_DIRECTORIES:
        with suppress(Exception):
            values = {inner: value for inner, value in stored.get_ifd(tag).items() if _writable(inner, value, tag)}
            if values:
                kept[tag] = values


def _writable(tag: int, value: Any, group: int | None = None) -> bool:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    directory = ImageFileDirectory_v2(group=group)
    with suppress(Exception):
        directory[tag] = value
        return bool(directory.tobytes())
    return False


def _tiff_reader(file: BinaryIO) -> Any:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    head = file.read(8)
    if head[2:4] in (b"+\0", b"\0+"):
        head += file.read(8)
    return ImageFileDirectory_v2(head)


def tiff_directory(file: BinaryIO) -> Any:
    """The first directory of a TIFF, Pillow's."""
    directory = _tiff_reader(file)
    file.seek(directory.next)
    directory.load(file)
    return directory


def _positive(across: float, down: float) -> Resolution | None:
    return (min(across, _FINEST), min(down, _FINEST)) if 0 < across < math.inf and 0 < down < math.inf else None


class _Bits:
    """Bits of JPEG XL's header, least significant first."""

    def __init__(self, data: bytes) -> None:
        self.value, self.place, self.length = int.from_bytes(data, "little"), 0, len(data) * 8

    def take(self, count: int) -> int:
        if self.place + count > self.length:
            raise ValueError("the header is cut short")
        self.place += count
        return self.value >> (self.place - count) & ((1 << count) - 1)

    def choose(self, *widths: tuple[int, int]) -> int:
        """A number of one of four widths, plus what that width begins at."""
        count, start = widths[self.take(2)]
        return start + self.take(count)


_SIZE = ((9, 1), (13, 1), (18, 1), (30, 1))
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def jxl_header(path: Path) -> tuple[int, int, int, bool]:
    """Height, width, bits a channel and whether there are frames, of a JPEG XL file (ISO/IEC 18181-1, annex D)."""
    with path.open("rb") as file:
        bits = _Bits(_jxl_codestream(file)[2:66])
    height, width = _jxl_size(bits)
    if bits.take(1):  # all as usual
        return height, width, 8, False
    animated = False
    if bits.take(1):
        orientation = 1 + bits.take(3)
        if orientation > 4:
            height, width = width, height
        if bits.take(1):
            _jxl_size(bits)
        if bits.take(1):  # a preview, whose size only hides what follows
            raise ValueError("JPEG XL with a preview")
        animated = bool(bits.take(1))
        if animated:
            return height, width, 8, True
    if bits.take(1):
        return height, width, 32, animated
    return height, width, bits.choose((0, 8), (0, 10), (0, 12), (6, 1)), animated


def _jxl_size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)
    height = (bits.take(5) + 1) * 8 if small else bits.choose(*_SIZE)
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio - 1]
        return height, height * across // down
    return height, (bits.take(5) + 1) * 8 if small else bits.choose(*_SIZE)


def _jxl_codestream(file: BinaryIO) -> bytes:
    if (start := file.read(2)) == b"\xff\x0a":
        return start + file.read(64)
    file.seek(0)
    for kind, _ in _boxes(file):
        if kind in (b"jxlc", b"jxlp"):
            return file.read(72)[4 * (kind == b"jxlp") :]
    raise ValueError("no picture inside")


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The outer boxes of an ISO media file, kind and length; at each, `file` stands where its content begins."""
    place = 0
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        yield kind, length
        if length < 8:  # 0: to the end of the file
            break
        place += length
        file.seek(place)
