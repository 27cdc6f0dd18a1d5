"""EXIF of an upscaled picture: the input's bytes with what no longer holds corrected in place.

Nothing moves, so that makers' notes, whose offsets only their makers know, stay readable.
"""

from __future__ import annotations

import struct

_ORIENTATION, _EXIF_IFD, _THUMBNAIL, _THUMBNAIL_BYTES = 0x112, 0x8769, 0x201, 0x202
_WIDTHS, _HEIGHTS = (0x100, 0xA002), (0x101, 0xA003)
_SHORT, _LONG = 3, 4


def corrected_exif(exif: bytes, height: int, width: int) -> bytes | None:
    """Return EXIF (a TIFF header and what follows) of an upright picture of that size, without thumbnail.

    Orientation becomes 1; sizes are changed where they are given. None where the EXIF is damaged.
    """
    data = bytearray(exif)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
    if order is None:
        return None
    try:
        first = struct.unpack_from(order + "I", data, 4)[0]
        entries, end = _directory(data, order, first)
        for tag, place in list(entries.items()):
            if tag == _EXIF_IFD:
                entries |= _directory(data, order, _number(data, order, place))[0]
        _drop_thumbnail(data, order, end)
        for tags, value in (((_ORIENTATION,), 1), (_WIDTHS, width), (_HEIGHTS, height)):
            for tag in tags:
                if tag in entries:
                    _replace(data, order, entries[tag], value)
    except struct.error:
        return None
    return bytes(data)


def _directory(data: bytearray, order: str, offset: int) -> tuple[dict[int, int], int]:
    """The tags of a directory with the places of their entries, and the place of the next directory's offset."""
    count = struct.unpack_from(order + "H", data, offset)[0]
    places = range(offset + 2, offset + 2 + 12 * count, 12)
    return {struct.unpack_from(order + "H", data, place)[0]: place for place in places}, offset + 2 + 12 * count


def _number(data: bytearray, order: str, place: int) -> int:
    kind = struct.unpack_from(order + "H", data, place + 2)[0]
    return struct.unpack_from(order + ("H" if kind == _SHORT else "I"), data, place + 8)[0]


def _replace(data: bytearray, order: str, place: int, value: int) -> None:
    kind = _SHORT if value < 1 << 16 else _LONG
    tag = struct.unpack_from(order + "H", data, place)[0]
    entry = struct.pack(order + ("HHIHH" if kind == _SHORT else "HHII"), tag, kind, 1, value, *(0,) * (kind == _SHORT))
    struct.pack_into("12s", data, place, entry)


def _drop_thumbnail(data: bytearray, order: str, link: int) -> None:
    """Unlink the second directory, and wipe the JPEG that it points at."""
    second = struct.unpack_from(order + "I", data, link)[0] if link + 4 <= len(data) else 0
    if not second:
        return
    struct.pack_into(order + "I", data, link, 0)
    entries, _ = _directory(data, order, second)
    if _THUMBNAIL in entries and _THUMBNAIL_BYTES in entries:
        start = _number(data, order, entries[_THUMBNAIL])
        stop = start + _number(data, order, entries[_THUMBNAIL_BYTES])
        if link < start < stop == len(data):
            del data[start:]
        elif link < start < stop < len(data):
            data[start:stop] = bytes(stop - start)
