"""BMP, HEIC and JPEG XL, by Pillow and its plugins, each called by name; all are decoded whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from aesop.data.pictures import PIXEL_LIMIT
from aesop.errors import DataError, MissingExtraError
from aesop.upscaling.pictures.headers import is_animated, jxl_header


def check_size(path: Path, height: int, width: int, limit: int = PIXEL_LIMIT) -> None:
    """Raise DataError where a file claims more than `limit` pixels."""
    if height * width > limit:
        raise DataError(
            f"{path}: {width} x {height} pixels are more than {limit // 1_000_000} million; "
            "cut it into smaller pictures."
        )


def _bmp(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    from PIL.BmpImagePlugin import BmpImageFile

    with BmpImageFile(path) as bmp:
        check_size(path, bmp.height, bmp.width)
        grey = bmp.mode in ("1", "L")
        return np.array(bmp.convert("L" if grey else "RGBA" if bmp.mode == "RGBA" else "RGB")), {}


def _heic(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    try:
        from pillow_heif import open_heif
    except ImportError as error:
        raise MissingExtraError(f"{path}: HEIC", "heic") from error
    with path.open("rb") as file:
        heic = open_heif(file, convert_hdr_to_8bit=False)
        check_size(path, heic.size[1], heic.size[0])
        if len(heic) > 1 or is_animated(path, "heic"):
            raise DataError(f"{path}: this HEIC file has several pictures; save the one you want by itself.")
        return np.asarray(heic), dict(heic.info)


def _jxl(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    from PIL import ImageOps

    try:
        from pillow_jxl.JpegXLImagePlugin import JXLImageFile
    except ImportError as error:
        raise MissingExtraError(f"{path}: JPEG XL", "jxl") from error
    height, width, bits, animated = jxl_header(path)
    check_size(path, height, width)
    if animated:
        raise DataError(f"{path}: this JPEG XL file has several frames; split it into pictures of one each.")
    if bits > 8:
        raise DataError(f"{path}: JPEG XL with {bits} bits a channel is read as 8; convert it to a PNG of 16 bit.")
    jxl: Any  # which the plugin's class adds to Pillow's
    with JXLImageFile(path) as jxl:
        # Of a JPEG that was packed, the plugin gives the pixels as they lie; libjxl turns all others.
        return np.array(ImageOps.exif_transpose(jxl) if jxl.jpeg else jxl), dict(jxl.info)


#: By format, for those that libvips here cannot read: a file's upright pixels, H x W (x C), uint8 or uint16, and what
#: Pillow calls `info`.
WHOLE_DECODERS: dict[str, Callable[[Path], tuple[np.ndarray, dict[str, Any]]]] = {
    "bmp": _bmp,
    "heic": _heic,
    "jxl": _jxl,
}


def whole_size(path: Path, key: str) -> tuple[int, int]:
    """Height and width by the header of such a file; of JPEG XL as it lies. Raises what decoding raises."""
    if key == "bmp":
        from PIL.BmpImagePlugin import BmpImageFile

        with BmpImageFile(path) as bmp:
            return bmp.height, bmp.width
    if key == "jxl":
        return jxl_header(path)[:2]
    try:
        from pillow_heif import open_heif
    except ImportError as error:
        raise MissingExtraError(f"{path}: HEIC", "heic") from error
    with path.open("rb") as file:
        width, height = open_heif(file).size
    return height, width
