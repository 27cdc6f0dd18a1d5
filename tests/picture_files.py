"""Picture files of many kinds, and a way to read, enlarge and write them without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from PIL import Image, ImageCms

from aesop.upscaling.pictures.formats import FORMATS, default_format
from aesop.upscaling.pictures.sink import open_sink
from aesop.upscaling.pictures.source import open_source
from helpers import synthetic_picture

#: Repeated, they make XMP that careless searches take quadratic time for.
HOSTILE_XMP = (
    b"<xmp:Thumbnails ",
    b"<xmp:Thumbnails></xmp:Thumbnails ",
    b"</xmp:Thumbnails\t",
    b"<xmp:Thumbnails></xmp:Thumbnails>",
    b'<rdf:Description rdf:about="" xmlns:aesop="urn:aesop:upscaled" ',
    b'<rdf:Description rdf:about="" xmlns:aesop="urn:aesop:upscaled" /',
    b"</rdf:RDF ",
    b"</rdf:RDF>",
    b"tiff:Orientation> ",
    b'exif:PixelXDimension="1',
    b"aesop:Model=",
    b" ",
    b"1",
)


def through(path: Path, folder: Path, factor: int = 2, *, key: str | None = None, **how: Any) -> Path:
    """Read a picture in strips of 7 rows and write it with every pixel repeated `factor` x `factor` times."""
    source = open_source(path)
    info = source.info
    key = key or default_format(info.format)
    target = folder / f"result{FORMATS[key].suffixes[0]}"
    with open_sink(target, info.resized(info.height * factor, info.width * factor), key, **how) as write:
        for strip in source.strips(7):
            write(repeated(strip, factor))
    return target


def repeated(pixels: np.ndarray, factor: int = 2) -> np.ndarray:
    return pixels.repeat(factor, 0).repeat(factor, 1)


def noise(*shape: int, dtype: type[np.generic] = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)  # type: ignore[arg-type]


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (height + width)], 2).astype(np.uint8)


def profile(name: str) -> bytes:
    """libvips' `srgb`, `p3` or `cmyk`; `linear` is sRGB with a linear tone curve."""
    if name != "linear":
        return pyvips.Operation.call("profile_load", name)  # type: ignore[return-value]
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    start = srgb.index(b"para\0\0\0\0")
    return srgb[: start + 8] + bytes(4) + (1 << 16).to_bytes(4, "big") + srgb[start + 16 :]


def photograph(path: Path, height: int = 24, width: int = 32) -> Path:
    """A JPEG with EXIF data and a profile, as phones write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x10F] = "Maker"
    Image.fromarray(synthetic_picture(height, width, seed=0)).save(path, exif=exif, icc_profile=profile("p3"))
    return path
