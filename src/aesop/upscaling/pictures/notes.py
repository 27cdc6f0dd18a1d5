"""What a file says in words beside EXIF and XMP, as blocks that fit into another file of its format.

PNG's text chunks, a JPEG's comment, and IPTC of JPEG and TIFF. Nothing is inflated or decoded; damaged blocks are
passed over, and so are those beyond `_LIMIT` bytes in all.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from aesop.upscaling.pictures.headers import tiff_directory
from aesop.upscaling.pictures.strip_stream import png_chunk

_LIMIT = 1 << 20
#: Where the search ends in files of countless small chunks; pixels in chunks of 8 kB pass this at 8 GB.
_BLOCKS = 1 << 20
_PHOTOSHOP = b"Photoshop 3.0\0"
#: Photoshop's resources that are no pictures, sizes or copies of EXIF and XMP: IPTC, its digest, copyright and address.
_RESOURCES = {struct.pack(">H", number) for number in (0x0404, 0x0425, 0x040A, 0x040B)}


def stored_notes(path: Path, key: str) -> bytes | None:
    """Chunks of a PNG (those after its pixels too), segments of a JPEG before its pixels, or a TIFF's IPTC."""
    reader = {"png": _png_texts, "jpeg": _jpeg_words, "tiff": _tiff_iptc}.get(key)
    if reader is None:
        return None
    with path.open("rb") as file:
        return reader(file) or None


def _png_texts(file: BinaryIO) -> bytes:
    kept = bytearray()
    file.seek(8)
    for _ in range(_BLOCKS):
        head = file.read(8)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"tEXt", b"zTXt", b"iTXt") and len(kept) + 12 + length <= _LIMIT:
            chunk = head + file.read(length + 4)
            if chunk == png_chunk(kind, chunk[8:-4]) and _is_text(kind, chunk[8:-4]):
                kept += chunk
        else:
            file.seek(length + 4, 1)
    return bytes(kept)


def _is_text(kind: bytes, data: bytes) -> bool:
    """Whether a chunk is whole, and no other way to store EXIF, XMP or a profile."""
    keyword, end, text = data.partition(b"\0")
    if not end or not 0 < len(keyword) < 80 or (kind == b"zTXt" and text[:1] != b"\0"):
        return False
    raw = keyword.startswith(b"Raw profile type ") and not keyword.endswith(b" iptc")  # ImageMagick's
    return not raw and keyword != b"XML:com.adobe.xmp"


def _jpeg_words(file: BinaryIO) -> bytes:
    comments, resources = bytearray(), bytearray()
    file.seek(2)
    for _ in range(_BLOCKS):
        head = file.read(4)
        if head[:2] == b"\xff\xff":  # a byte that only fills
            file.seek(-3, 1)
            continue
        length = int.from_bytes(head[2:], "big") - 2
        if head[:1] != b"\xff" or head[1:2] in (b"\xda", b"\xd9") or length < 0:
            break
        if head[1] not in (0xFE, 0xED) or len(comments) + len(resources) + 4 + length > _LIMIT:
            file.seek(length, 1)
            continue
        data = file.read(length)
        if head[1] == 0xFE and len(data) == length:
            comments += head + data
        elif data.startswith(_PHOTOSHOP):  # one list of resources, in as many segments as it needs
            resources += data.removeprefix(_PHOTOSHOP)
    return bytes(comments) + _segment(bytes(resources))


def _segment(resources: bytes) -> bytes:
    """A segment of a JPEG with those of Photoshop's resources that are kept and fit; none where there are none."""
    kept, place = bytearray(), 0
    while place + 12 <= len(resources):
        start = place + 10 + (resources[place + 6] + 2 & ~1)  # behind a name of even length and the data's length
        length = int.from_bytes(resources[start - 4 : start], "big")
        end = start + length
        if end > len(resources):
            break
        block = resources[place:end] + bytes(length % 2)
        if block[:4] == b"8BIM" and block[4:6] in _RESOURCES and len(kept) + len(block) < 65_500:
            kept += block
        place += len(block)
    data = _PHOTOSHOP + kept
    return struct.pack(">HH", 0xFFED, len(data) + 2) + data if kept else b""


def _tiff_iptc(file: BinaryIO) -> bytes:
    data = tiff_directory(file)._tagdata.get(33723, b"")  # raw: its type varies, and says nothing
    return data if data[:1] == b"\x1c" and len(data) <= _LIMIT else b""
