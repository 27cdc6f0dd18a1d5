"""Metadata as the bytes of each format, put where they belong in what libvips encodes without any.

libvips' own writing of EXIF drops what it does not know and makes up a resolution.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from aesop.upscaling.pictures.headers import Resolution, describe
from aesop.upscaling.pictures.strip_stream import png_chunk

_SEGMENT = 65_533  # bytes that one segment of a JPEG can hold
_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
#: Bytes of EXIF and XMP that a JPEG can hold.
JPEG_EXIF, JPEG_XMP = _SEGMENT - 6, _SEGMENT - len(_XMP_NAME)


@dataclass(frozen=True)
class Metadata:
    """What goes into a file beside pixels."""

    profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    resolution: Resolution | None = None
    notes: bytes | None = None  # blocks of the file's format


def jpeg_head(head: bytes, metadata: Metadata) -> bytes | None:
    """The beginning of a JPEG with `metadata`; None where `head` is too short to hold what it replaces."""
    if len(head) < 20:
        return None
    across, down = metadata.resolution or (1, 1)
    whole = [min(max(round(value), 1), 65_535) for value in (across, down)]
    jfif = struct.pack(">5sHBHHBB", b"JFIF\0", 0x0101, bool(metadata.resolution), *whole, 0, 0)
    segments = [(0xE0, jfif)]
    if metadata.exif:
        segments.append((0xE1, b"Exif\0\0" + metadata.exif))
    if metadata.xmp:
        segments.append((0xE1, _XMP_NAME + metadata.xmp))
    profile, size = metadata.profile or b"", _SEGMENT - 14
    parts = [profile[start : start + size] for start in range(0, len(profile), size)]
    segments += [(0xE2, b"ICC_PROFILE\0" + bytes((n, len(parts))) + part) for n, part in enumerate(parts, 1)]
    written = b"".join(struct.pack(">BBH", 0xFF, kind, len(data) + 2) + data for kind, data in segments)
    written += metadata.notes or b""
    rest = 4 + int.from_bytes(head[4:6], "big") if head[2:4] == b"\xff\xe0" else 2  # without another JFIF segment
    return head[:2] + written + head[rest:]


def png_head(head: bytes, metadata: Metadata) -> bytes | None:
    """The beginning of a PNG with `metadata`; None where `head` does not reach to the pixels yet."""
    pixels = head.find(b"IDAT", 33) - 4
    if pixels < 0:
        return None
    chunks = []
    if metadata.profile:
        chunks.append(png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.profile)))
    if metadata.resolution:
        per_metre = [round(value / 0.0254) for value in metadata.resolution]
        chunks.append(png_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if metadata.exif:
        chunks.append(png_chunk(b"eXIf", metadata.exif))
    if metadata.xmp:
        chunks.append(png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp))
    chunks.append(metadata.notes or b"")
    return head[:33] + b"".join(chunks) + head[pixels:]


def webp_with(webp: bytes, metadata: Metadata, height: int, width: int, *, alpha: bool) -> bytes:
    """A WebP file with `metadata`, made of one without."""
    start = 30 if webp[12:16] == b"VP8X" else 12
    chunks = webp[start:]
    flags = 16 * alpha
    if metadata.profile:
        flags |= 32
        chunks = _riff(b"ICCP", metadata.profile) + chunks
    for flag, kind, data in ((8, b"EXIF", metadata.exif), (4, b"XMP ", metadata.xmp)):
        if data:
            flags |= flag
            chunks += _riff(kind, data)
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBP" + _riff(b"VP8X", struct.pack("<I", flags) + size) + chunks
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _riff(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def add_to_tiff(file: BinaryIO, metadata: Metadata) -> None:
    """Give a TIFF, open for reading and writing, `metadata` in place of what its directory says of resolution."""
    file.seek(0)
    order = "<" if file.read(2) == b"II" else ">"
    big = struct.unpack(order + "H", file.read(2))[0] == 43
    word, number = ("Q", "Q") if big else ("I", "H")  # of offsets, and of a directory's length
    inline, entry_size = struct.calcsize(word), 20 if big else 12
    link = 8 if big else 4
    file.seek(link)
    file.seek(struct.unpack(order + word, file.read(inline))[0])
    count = struct.unpack(order + number, file.read(struct.calcsize(number)))[0]
    entries = {}
    for _ in range(count):
        entry = file.read(entry_size)
        entries[struct.unpack(order + "H", entry[:2])[0]] = entry
    for tag in (282, 283, 296):
        entries.pop(tag, None)

    def append(data: bytes) -> int:
        place = file.seek(0, 2)
        if place % 8:
            place += file.write(bytes(8 - place % 8))
        file.write(data)
        return place

    def add(tag: int, kind: int, length: int, data: bytes) -> None:
        stored = data if len(data) <= inline else struct.pack(order + word, append(data))
        entries[tag] = struct.pack(order + "HH" + word, tag, kind, length) + stored.ljust(inline, b"\0")

    if metadata.resolution:
        for tag, value in zip((282, 283), metadata.resolution, strict=True):
            add(tag, 5, 1, struct.pack(order + "II", min(round(value * 10_000), (1 << 32) - 1), 10_000))
        add(296, 3, 1, struct.pack(order + "H", 2))
    if metadata.xmp:
        add(700, 1, len(metadata.xmp), metadata.xmp)
    if metadata.notes:  # IPTC, in whole words of 32 bits, as libtiff expects it
        size = -(-len(metadata.notes) // 4)
        add(33723, 4, size, metadata.notes.ljust(4 * size, b"\0"))
    if metadata.profile:
        add(34675, 7, len(metadata.profile), metadata.profile)
    entries |= _exif_tags(metadata.exif, order, append, big=big)
    directory = b"".join(entries[tag] for tag in sorted(entries))
    place = append(struct.pack(order + number, len(entries)) + directory + bytes(inline))
    file.seek(link)
    file.write(struct.pack(order + word, place))


def _exif_tags(exif: bytes | None, order: str, append: Callable[[bytes], int], *, big: bool) -> dict[int, bytes]:
    """Entries, by tag, for a TIFF's first directory: what `exif` says of the picture; their values are appended."""
    from PIL import Image
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    if not exif:
        return {}
    stored = Image.Exif()
    with suppress(Exception):  # what of it is damaged is left out
        stored.load(exif)
    magic = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "H", 43 if big else 42)
    directory = ImageFileDirectory_v2(magic + (struct.pack(order + "HHQ", 8, 0, 0) if big else bytes(4)))
    describe(stored, directory)
    place = append(b"")
    data = directory.tobytes(place)
    append(data)
    start, size = (8, 20) if big else (2, 12)
    raw = [data[start + n * size : start + (n + 1) * size] for n in range(len(directory))]
    return {struct.unpack(order + "H", entry[:2])[0]: entry for entry in raw}
