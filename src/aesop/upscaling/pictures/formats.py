"""The formats of picture files: how their content begins, and what each can hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """A file format.

    `side`: the longest side in pixels that its files can have; `deep`: more than 8 bit a channel; `lossy`: compressed
    with loss, at least as a rule.
    """

    name: str
    suffixes: tuple[str, ...]
    side: int
    alpha: bool = True
    deep: bool = False
    lossy: bool = False
    written: bool = True


_UNLIMITED = 100_000_000  # libvips' own limit

FORMATS = {
    "png": Format("PNG", (".png",), _UNLIMITED, deep=True),
    # The format's side is 65,535, libjpeg's 65,500.
    "jpeg": Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), 65_500, alpha=False, lossy=True),
    "webp": Format("WebP", (".webp",), 16_383, lossy=True),
    "tiff": Format("TIFF", (".tif", ".tiff"), _UNLIMITED, deep=True),
    "avif": Format("AVIF", (".avif",), 16_384, deep=True, lossy=True),
    "bmp": Format("BMP", (".bmp",), 32_767, alpha=False),
    "gif": Format("GIF", (".gif",), 65_535, written=False),
    "heic": Format("HEIC", (".heic", ".heif", ".hif"), 16_384, deep=True, lossy=True, written=False),
    "jxl": Format("JPEG XL", (".jxl",), _UNLIMITED, deep=True, lossy=True, written=False),
}

#: The suffixes of pictures that can be upscaled, and the formats that they promise.
SUFFIXES = {suffix: key for key, entry in FORMATS.items() for suffix in entry.suffixes}

_BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",  # of more than 4 GB
    b"MM\0+": "tiff",
    b"BM": "bmp",
    b"\xff\x0a": "jxl",
    b"\0\0\0\x0cJXL \r\n\x87\n": "jxl",
}


def sniff(head: bytes) -> str | None:
    """The key in FORMATS of a file that begins with `head` (64 bytes suffice), whatever its name says."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        brands = head[8 : min(int.from_bytes(head[:4], "big"), 64)]
        if b"avif" in brands or b"avis" in brands:
            return "avif"
        return "heic" if any(brand in brands for brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")) else None
    return next((key for beginning, key in _BEGINNINGS.items() if head.startswith(beginning)), None)


def default_format(key: str) -> str:
    """The format that a result gets where none is asked for: the input's, or PNG where that is not written."""
    return key if FORMATS[key].written else "png"
