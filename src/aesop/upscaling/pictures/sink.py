"""Pictures out: strips of rows become a file of any format, whole or not at all, with what the input's file said.

PNG, JPEG, TIFF and BMP are written while the strips come; WebP and AVIF are encoded in memory, and allow no pictures
too large for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from aesop.data.pictures import libvips, reason, to_8_bit
from aesop.errors import DataError
from aesop.files import atomic_path
from aesop.upscaling.pictures.colour import converted, named
from aesop.upscaling.pictures.containers import JPEG_EXIF, JPEG_XMP, Metadata
from aesop.upscaling.pictures.encoders import ENCODERS, Encoding
from aesop.upscaling.pictures.exif import corrected_exif
from aesop.upscaling.pictures.formats import FORMATS
from aesop.upscaling.pictures.source import PictureInfo
from aesop.upscaling.pictures.strip_stream import Write, strip_stream
from aesop.upscaling.pictures.xmp import Tag, corrected_xmp
from aesop.words import listed

#: Quality where none is asked for: no loss that anybody sees.
_QUALITY = 95


def require_holdable(path: Path, info: PictureInfo, key: str) -> None:
    """Raise DataError where files of format `key` cannot hold a picture as `info` says; call it before the work."""
    target = FORMATS[key]
    if not target.written:
        raise DataError(f"{path}: {target.name} files are not written; choose PNG.")
    if max(info.height, info.width) > target.side:
        raise DataError(
            f"{path}: {info.width} x {info.height} pixels are more than the {target.side:,} a side that {target.name} "
            "files hold; choose PNG or TIFF."
        )
    if info.alpha and not target.alpha:
        raise DataError(f"{path}: {target.name} files hold no transparency; choose PNG, WebP, TIFF or AVIF.")
    if info.depth > 8 and not target.deep:
        raise DataError(f"{path}: {target.name} files hold 8 bits a channel, the picture 16; choose PNG or TIFF.")
    if key == "bmp" and info.height * info.width * 3 >= 1 << 31:
        raise DataError(f"{path}: BMP files hold 2 GB at most; choose PNG or TIFF.")


@contextmanager
def open_sink(
    path: Path,
    info: PictureInfo,
    key: str,
    *,
    quality: int | None = None,
    lossless: bool | None = None,
    tag: Tag | None = None,
    strip: bool = False,
    notes: list[str] | None = None,
) -> Iterator[Write]:
    """Yield a function that takes the strips of a picture as `info` says; at the end of the block, `path` is it.

    `info` is the input's, `resized`; strips are as `Source.strips` gives them. `key` is in FORMATS; `quality` 1 to 100
    is of JPEG, WebP and AVIF; `lossless` of WebP and AVIF, by default (and without `quality`) if the input was a WebP
    without loss. `tag` becomes part of XMP. `strip` leaves all metadata out; the picture is sRGB then. What of it does
    not fit into the file is told in `notes`.

    Raises DataError as `require_holdable` does, RunError where the file cannot be written. An error in the block leaves
    `path` as it was.
    """
    require_holdable(path, info, key)
    profile = None if strip or key == "bmp" else info.profile
    texts = info.notes if info.format == key else None  # other formats have no room for them as they are
    metadata = Metadata() if strip else _metadata(replace(info, profile=profile, notes=texts), tag)
    left_out = []
    if key in ("jpeg", "avif") and len(metadata.exif or b"") > JPEG_EXIF:  # libvips takes an AVIF's from a JPEG
        metadata = replace(metadata, exif=None)
        left_out.append("EXIF")
    if key == "jpeg" and len(metadata.xmp or b"") > JPEG_XMP:
        metadata = replace(metadata, xmp=corrected_xmp(None, info.height, info.width, tag))
        left_out.append("XMP")
    if lossless is None:
        lossless = quality is None and info.lossless and info.format == key == "webp"

    def consume(image: Any) -> None:
        image = _in_space(image, info, profile)
        with temporary.open("r+b") as file:
            ENCODERS[key](image, file, Encoding(metadata, quality or _QUALITY, lossless))

    with atomic_path(path) as temporary:
        try:
            with strip_stream(info.height, info.width, info.bands, info.dtype, consume) as write:
                yield write
        except libvips().Error as error:
            raise DataError(f"{path}: cannot be written ({reason(error)}); choose another format.") from error
    if left_out and notes is not None:
        what = listed(left_out)
        notes.append(f"{path}: {what} of more than 64 kB left out, as {FORMATS[key].name} cannot hold it; PNG can.")


def _metadata(info: PictureInfo, tag: Tag | None) -> Metadata:
    exif = corrected_exif(info.exif, info.height, info.width) if info.exif else None
    xmp = corrected_xmp(info.xmp, info.height, info.width, tag)
    return Metadata(info.profile, exif, xmp, info.resolution, info.notes)


def _in_space(image: Any, info: PictureInfo, profile: bytes | None) -> Any:
    """From the strips' space and depth to the file's."""
    if profile == info.working_profile and (image.format == "ushort") == (info.depth == 16):
        return image
    alpha = image[info.channels] if info.alpha else None
    colours = named(image[: info.channels])
    if profile != info.working_profile:
        colours = converted(colours, info.working_profile, profile, info.depth)
    elif info.depth == 8:
        colours = named(to_8_bit(colours))
    if alpha is None:
        return colours
    joined = colours.bandjoin(to_8_bit(alpha) if info.depth == 8 else alpha)
    return joined.copy(interpretation=colours.interpretation)
