"""Pictures in: everything that a file holds, its pixels in strips of rows from top to bottom.

Only pictures that must be decoded whole (or be turned) ever are: WebP, AVIF, GIF, HEIC, JPEG XL, BMP, progressive JPEG
and interlaced PNG, up to `PIXEL_LIMIT`. A picture that EXIF turns is decoded by libvips into memory, or,
from 100 MB on, into a file in TMPDIR.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np

from aesop.data.pictures import PIXEL_LIMIT, libvips, refusals
from aesop.errors import DataError, RunError
from aesop.files import explained
from aesop.upscaling.pictures.colour import converted, fill_hidden, shows_greys_as_srgb
from aesop.upscaling.pictures.decoders import WHOLE_DECODERS, check_size, whole_size
from aesop.upscaling.pictures.formats import FORMATS, sniff
from aesop.upscaling.pictures.headers import (
    Resolution,
    is_animated,
    resolution,
    tiff_exif,
    tiff_pages,
)
from aesop.upscaling.pictures.notes import stored_notes

#: A file that claims more pixels is refused. Memory would not be in the way, but hours and disks are: 4 times larger
#: than this a side is 64 gigapixels. libvips reads files of this size in strips; a bomb costs time only.
STREAM_LIMIT = 4_000_000_000

_LOADERS = {"png": "png", "jpeg": "jpeg", "webp": "webp", "tiff": "tiff", "avif": "heif", "gif": "gif"}
#: What Pillow and its plugins raise for damaged files, besides OSError, SyntaxError and ValueError.
_DAMAGE = (ArithmeticError, AssertionError, EOFError, LookupError, RuntimeError, TypeError, struct.error, zlib.error)


@dataclass(frozen=True)
class PictureInfo:
    """What a file says of its picture, upright.

    `channels` is 1 (grey) or 3 and does not count alpha; `depth` is 8 or 16 bits a channel in the file. `profile` is
    the ICC profile that the result is stored with, `working_profile` that of the strips (None: sRGB); strips are
    uint16 where the two differ. `exif` and `xmp` are as stored, `notes` blocks of `format` with other words,
    `resolution` is pixels per inch.
    """

    format: str
    height: int
    width: int
    channels: int
    alpha: bool = False
    depth: int = 8
    profile: bytes | None = None
    working_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    notes: bytes | None = None
    resolution: Resolution | None = None
    lossless: bool = True

    @property
    def bands(self) -> int:
        """Channels and alpha."""
        return self.channels + self.alpha

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """What strips are made of."""
        return np.uint8 if self.depth == 8 and self.profile == self.working_profile else np.uint16

    def resized(self, height: int, width: int) -> PictureInfo:
        """The same of another size."""
        return replace(self, height=height, width=width)


class Source:
    """An opened picture: `info`, and `strips` once."""

    def __init__(self, path: Path, info: PictureInfo, image: Any) -> None:
        self.path, self.info, self._image = path, info, image

    def strips(self, rows: int | None = None) -> Iterator[np.ndarray]:
        """Yield `rows` rows at a time (default: a million pixels, 256 rows at most), (rows, width, bands).

        Raises DataError where the pixels are damaged.
        """
        height, width = self.info.height, self.info.width
        rows = rows or min(max(1_000_000 // width, 8), 256)
        with _refusals(self.path):
            region = libvips().Region.new(self._image)
            for top in range(0, height, rows):
                count = min(rows, height - top)
                pixels = np.frombuffer(region.fetch(0, top, width, count), self.info.dtype)
                yield pixels.reshape(count, width, self.info.bands)

    def read(self) -> np.ndarray:
        """Read the whole picture, (height, width, bands)."""
        return np.concatenate(list(self.strips()))


def open_source(path: Path) -> Source:
    """Open a picture of any of FORMATS, by its content.

    Raises DataError for what cannot be kept whole (several pages or frames, floating point, unusual channels), what is
    damaged or claims too many pixels; PictureAccessError where the system does not give it; MissingExtraError. Reading
    the pixels raises RunError where the disk is full.
    """
    with _refusals(path):
        key = format_of(path)
        if key is None:
            raise ValueError("of no known format")
        image, info = _load(path, key)
        return _prepared(path, image, info)


def is_compressed(path: Path) -> bool:
    """Whether a picture's format, by its content, is a lossy one. Raises as `open_source` does."""
    with refusals(path):
        key = format_of(path)
    return key is not None and FORMATS[key].lossy


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width, upright (of JPEG XL as it lies), by the header alone. Raises as `open_source` does."""
    with _refusals(path):
        key = format_of(path)
        if key is None:
            raise ValueError("of no known format")
        if key in WHOLE_DECODERS:
            return whole_size(path, key)
        image = _vips_image(path, key)
        return (image.width, image.height) if _turned(image, key) > 4 else (image.height, image.width)


def read_xmp(path: Path) -> bytes | None:
    """XMP as stored, without looking at the pixels. Raises as `open_source` does."""
    with _refusals(path):
        key = format_of(path)
        return _blob(_vips_image(path, key), "xmp-data") if key in _LOADERS else None


def format_of(path: Path) -> str | None:
    """The key in FORMATS of a file, by its content; None where it is of no known format."""
    with path.open("rb") as file:
        return sniff(file.read(64))


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    with refusals(path):
        try:
            yield
        except libvips().Error as error:
            if os.strerror(errno.ENOSPC) in str(error):  # while a picture is turned in a file
                folder = os.environ.get("TMPDIR") or gettempdir()
                raise RunError(explained(OSError(errno.ENOSPC, ""), folder)) from error
            raise
        except _DAMAGE as error:
            raise ValueError(str(error) or type(error).__name__) from error


def _load(path: Path, key: str) -> tuple[Any, PictureInfo]:
    """A libvips image, not upright yet, and what is known of it."""
    if key in _LOADERS:
        return _load_by_vips(path, key)
    pixels, described = WHOLE_DECODERS[key](path)
    pixels = np.ascontiguousarray(pixels[..., None] if pixels.ndim == 2 else pixels)
    image = libvips().Image.new_from_array(pixels)
    deep = image.format == "ushort"
    grey = image.bands < 3
    image = image.copy(interpretation=("grey16" if grey else "rgb16") if deep else ("b-w" if grey else "srgb"))
    info = PictureInfo(key, image.height, image.width, 1 if grey else 3, resolution=resolution(path, key))
    exif = described.get("exif")
    return image, replace(
        info,
        exif=exif.removeprefix(b"Exif\0\0") if exif else None,
        xmp=described.get("xmp"),
        profile=described.get("icc_profile"),
    )


def _load_by_vips(path: Path, key: str) -> tuple[Any, PictureInfo]:
    image = _vips_image(path, key)
    name = FORMATS[key].name
    pages = int(image.get("n-pages")) if image.get_typeof("n-pages") else 1
    if key == "tiff" and pages > 1:
        pages = tiff_pages(path)
    if pages > 1 or is_animated(path, key):
        what = "pages" if key == "tiff" else "frames"
        raise DataError(f"{path}: this {name} file has several {what}; split it into pictures of one each.")
    turned = _turned(image, key) > 2
    whole = turned or key in ("webp", "avif", "gif") or bool(image.get_typeof("interlaced"))
    check_size(path, image.height, image.width, PIXEL_LIMIT if whole else STREAM_LIMIT)
    if turned:
        image = _vips_image(path, key, access="random")
    exif = tiff_exif(path) if key == "tiff" else _blob(image, "exif-data")
    with path.open("rb") as file:
        lossless = key in ("png", "tiff", "gif") or (key == "webp" and b"VP8L" in file.read(64))
    info = PictureInfo(
        key,
        image.height,
        image.width,
        3,
        profile=_blob(image, "icc-profile-data"),
        exif=exif.removeprefix(b"Exif\0\0") if exif else None,
        xmp=_blob(image, "xmp-data"),
        notes=stored_notes(path, key),
        resolution=resolution(path, key),
        lossless=lossless,
    )
    return image, info


def _vips_image(path: Path, key: str, access: str = "sequential") -> Any:
    # A source's name may be any bytes, and is not searched for libvips' options. The loader is named: no guesses.
    source = libvips().Source.new_from_file(os.fsencode(path))
    load = getattr(libvips().Image, f"{_LOADERS[key]}load_source")
    return load(source, access=access, fail_on="error")


def _prepared(path: Path, image: Any, info: PictureInfo) -> Source:
    """Upright, 8 or 16 bit, in the working profile, with colours under transparency that may be seen."""
    if image.format not in ("uchar", "ushort"):
        raise DataError(f"{path}: pixels of {image.format} are not supported; save it with 8 or 16 bits a channel.")
    depth = 16 if image.format == "ushort" else 8
    has_alpha = bool(image.hasalpha())
    turn = _turned(image, info.format)
    colours = image[: image.bands - 1] if has_alpha else image
    if colours.bands not in (1, 3, 4) or (colours.bands == 4 and image.interpretation != "cmyk"):
        raise DataError(f"{path}: {image.bands} channels are not supported; save it as grey, RGB or CMYK.")
    info = replace(info, channels=1 if colours.bands == 1 else 3, alpha=has_alpha, depth=depth)
    colours, info = _into_working_space(colours, info)
    result = colours
    if has_alpha:
        alpha = image[image.bands - 1]
        if info.dtype == np.uint16 and alpha.format == "uchar":
            alpha = (alpha * 257).cast("ushort")
        result = fill_hidden(colours, alpha).bandjoin(alpha)
    if turn > 1:
        result = result.fliphor() if turn == 2 else _upright(result, turn)
    return Source(path, info.resized(result.height, result.width), result)


def _into_working_space(colours: Any, info: PictureInfo) -> tuple[Any, PictureInfo]:
    profile, vips = info.profile, libvips()
    near = shows_greys_as_srgb(profile, colours.bands) if profile else None
    if colours.bands == 4:
        if near is None:  # no profile, or none of CMYK: libvips has a usual one
            colours = colours.copy(interpretation="cmyk")
            srgb = colours.icc_transform("srgb", input_profile="cmyk", depth=info.depth, intent="relative")
        else:
            srgb = converted(colours, profile, None, info.depth)
        return srgb, replace(info, profile=None)
    if near is None:  # a broken profile is ignored, as viewers do
        info = replace(info, profile=None)
    elif near:
        return colours, replace(info, working_profile=profile)
    else:
        return converted(_deep(colours), profile, None, 16), info
    if colours.interpretation not in ("b-w", "grey16", "srgb", "rgb16", "multiband"):  # Lab and the like
        colours = colours.colourspace("rgb16" if info.depth == 16 else "srgb")
        if colours.format != ("ushort" if info.depth == 16 else "uchar"):
            raise vips.Error(f"{colours.interpretation} pixels")
    return colours, info


def _deep(colours: Any) -> Any:
    if colours.format == "ushort":
        return colours
    return (colours * 257).cast("ushort").copy(interpretation="grey16" if colours.bands == 1 else "rgb16")


def _turned(image: Any, key: str) -> int:
    """EXIF's orientation where it is still to be made: libheif has made it."""
    known = key in ("png", "jpeg", "webp", "tiff", "jxl") and image.get_typeof("orientation")
    value = image.get("orientation") if known else 1
    return value if 1 <= value <= 8 else 1


def _upright(image: Any, turn: int) -> Any:
    image = image.copy()
    image.set_type(libvips().GValue.gint_type, "orientation", turn)
    return image.autorot()


def _blob(image: Any, name: str) -> bytes | None:
    return bytes(image.get(name)) if image.get_typeof(name) else None
