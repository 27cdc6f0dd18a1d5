"""libvips images into files, one function a format; metadata is put in by `containers`."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from aesop.data.pictures import libvips
from aesop.upscaling.pictures.containers import Metadata, add_to_tiff, jpeg_head, png_head, webp_with

#: A TIFF of more bytes is written with offsets of 64 bits; compression may add a little to the worst of pictures.
_CLASSIC_TIFF = 3_500_000_000


@dataclass(frozen=True)
class Encoding:
    """How a picture is encoded, and what goes into the file beside it."""

    metadata: Metadata
    quality: int
    lossless: bool


def _to_jpeg(image: Any, file: BinaryIO, how: Encoding) -> None:
    with _written_to(file, lambda head: jpeg_head(head, how.metadata)) as target:
        image.jpegsave_target(target, Q=how.quality, subsample_mode="off", keep="none")


def _to_png(image: Any, file: BinaryIO, how: Encoding) -> None:
    with _written_to(file, lambda head: png_head(head, how.metadata)) as target:
        image.pngsave_target(target, keep="none")


def _to_webp(image: Any, file: BinaryIO, how: Encoding) -> None:
    encoded = image.webpsave_buffer(Q=how.quality, lossless=how.lossless, keep="none")
    file.write(webp_with(encoded, how.metadata, image.height, image.width, alpha=image.hasalpha()))


def _to_tiff(image: Any, file: BinaryIO, how: Encoding) -> None:
    size = image.height * image.width * image.bands * (2 if image.format == "ushort" else 1)
    with _written_to(file) as target:
        image.tiffsave_target(
            target, compression="lzw", predictor="horizontal", bigtiff=size > _CLASSIC_TIFF, keep="none"
        )
    add_to_tiff(file, how.metadata)


def _to_avif(image: Any, file: BinaryIO, how: Encoding) -> None:
    image = image.copy()
    blob = libvips().GValue.blob_type
    if how.metadata.exif:  # libvips writes the EXIF that it has read: from an empty JPEG
        empty = libvips().Image.black(1, 1).jpegsave_buffer(keep="none")
        carrier = libvips().Image.jpegload_buffer(jpeg_head(empty, Metadata(exif=how.metadata.exif)))
        for name in carrier.get_fields():
            if name.startswith("exif-"):
                image.set_type(carrier.get_typeof(name), name, carrier.get(name))
    for name, data in (("xmp-data", how.metadata.xmp), ("icc-profile-data", how.metadata.profile)):
        if data:
            image.set_type(blob, name, data)
    depth = 12 if image.format == "ushort" else 8
    kept = "exif:xmp:icc" if how.metadata != Metadata() else "none"
    file.write(
        image.heifsave_buffer(compression="av1", Q=how.quality, lossless=how.lossless, bitdepth=depth, keep=kept)
    )


def _to_bmp(image: Any, file: BinaryIO, how: Encoding) -> None:
    """Rows from the bottom up, blue first, each padded to 4 bytes."""
    stride = -(-image.width * 3 // 4) * 4
    size = stride * image.height
    per_metre = [round(value / 0.0254) for value in how.metadata.resolution or (0, 0)]
    file.write(struct.pack("<2sIII", b"BM", 54 + size, 0, 54))
    file.write(struct.pack("<IiiHHIIiiII", 40, image.width, image.height, 1, 24, 0, size, *per_metre, 0, 0))
    region = libvips().Region.new(image)
    for top in range(0, image.height, 64):
        rows = min(64, image.height - top)
        pixels = np.frombuffer(region.fetch(0, top, image.width, rows), np.uint8)
        pixels = np.broadcast_to(pixels.reshape(rows, image.width, image.bands), (rows, image.width, 3))
        lines = np.zeros((rows, stride), np.uint8)
        lines[:, : image.width * 3] = pixels[::-1, :, ::-1].reshape(rows, -1)
        file.seek(54 + (image.height - top - rows) * stride)
        file.write(lines.data)


#: By format: they write a sequential libvips image to a file that is open for reading and writing.
ENCODERS: dict[str, Callable[[Any, BinaryIO, Encoding], None]] = {
    "jpeg": _to_jpeg,
    "png": _to_png,
    "webp": _to_webp,
    "tiff": _to_tiff,
    "avif": _to_avif,
    "bmp": _to_bmp,
}


@contextmanager
def _written_to(file: BinaryIO, change: Callable[[bytes], bytes | None] | None = None) -> Iterator[Any]:
    """Yield a libvips target that writes to `file`; raises the first error, not libvips' own, where that fails.

    `change` makes the beginning of the file of what has come so far, or asks for more by None.
    """
    begun = b""
    refusal: Exception | None = None

    def write(data: bytes) -> int:
        nonlocal begun, change
        size = len(data)
        if change is not None:
            begun += bytes(data)
            changed = change(begun)
            if changed is None:
                return size
            change, data = None, changed
        file.write(data)
        return size

    def tried(action: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal refusal
        try:
            return action(*arguments)
        except Exception as error:
            refusal = refusal or error
            return -1

    target = libvips().TargetCustom()
    target.on_write(partial(tried, write))
    if change is None:
        target.on_seek(partial(tried, file.seek))
        target.on_read(file.read)
    try:
        yield target
        file.flush()
    except libvips().Error:
        if refusal is not None:
            raise refusal from None
        raise
