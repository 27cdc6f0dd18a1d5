"""Picture files in and out: 8-bit sRGB arrays, whatever a file holds.

libvips does the work: it reads 16 bit, alpha, ICC profiles and orientation, and lets other threads run meanwhile.
BMP, which it lacks, is left to Pillow.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from aesop.errors import DataError
from aesop.files import atomic_path, printable

if TYPE_CHECKING:
    from PIL import Image

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"})

#: A file that claims more is refused before it is decoded: 1.2 GB decoded, more than any camera makes.
PIXEL_LIMIT = 400_000_000

#: How each format is saved: without loss where it can be, else with none that one sees.
_SAVING: dict[str, dict[str, Any]] = {
    ".png": {},
    ".jpg": {"Q": 95, "subsample_mode": "off"},
    ".jpeg": {"Q": 95, "subsample_mode": "off"},
    ".webp": {"lossless": True},
    ".tif": {"compression": "lzw"},
    ".tiff": {"compression": "lzw"},
}


class PictureAccessError(DataError):
    """A picture that the system does not give (permissions, a failing disk): the file itself may be as it should."""


def is_picture(path: Path) -> bool:
    """Whether a file is called as pictures are, and not hidden."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def find_pictures(folder: Path, unreadable: list[str] | None = None) -> list[Path]:
    """The picture files in `folder` and its subfolders, sorted by path, without hidden ones; links are followed.

    A folder that the system does not list is described in `unreadable`, if given, and passed over.
    Raises DataError where the folder is missing or holds no pictures, PictureAccessError where it, or without
    `unreadable` one inside it, cannot be listed.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; check the path.")
    refused: list[str] = []

    def refuse(error: OSError) -> None:
        refused.append(
            f"{printable(error.filename)}: the folder cannot be read ({error.strerror}); check its permissions."
        )

    found, seen = [], set()
    for name, subfolders, files in os.walk(folder, onerror=refuse, followlinks=True):
        inside = Path(name)
        if inside.resolve() in seen:  # a link back to a folder above
            subfolders.clear()
            continue
        seen.add(inside.resolve())
        subfolders[:] = [s for s in subfolders if not s.startswith(".")]
        found += [inside / name for name in files if is_picture(inside / name)]
    if refused and (unreadable is None or not found):
        raise PictureAccessError(refused[0])
    if not found:
        suffixes = ", ".join(sorted(PICTURE_SUFFIXES))
        raise DataError(f"{folder}: no pictures there ({suffixes}); name another folder.")
    if unreadable is not None:
        unreadable += refused
    return sorted(found)


@dataclass(frozen=True)
class Header:
    """What a file says of its picture: pixels as `read_picture` gives them, and how they are stored."""

    height: int
    width: int
    grey: bool
    alpha: bool
    #: More than 8 bit a channel.
    deep: bool


def read_header(path: Path) -> Header:
    """Read the header of a picture; its pixels may still turn out to be damaged.

    Raises DataError for a file that is missing, no picture, or of more than `PIXEL_LIMIT` pixels; PictureAccessError
    where the system does not give it.
    """
    with _refusals(path):
        if path.suffix.lower() == ".bmp":
            with _open_bmp(path) as bmp:
                return Header(bmp.height, bmp.width, bmp.mode in ("1", "L"), bmp.mode == "RGBA", False)
        image = _open(path)
        height, width = image.height, image.width
        if _orientation(image) >= 5:  # these four swap rows and columns
            height, width = width, height
        alpha = bool(image.hasalpha())
        return Header(height, width, image.bands - alpha < 3, alpha, image.format != "uchar")


def is_transparent(path: Path) -> bool:
    """Whether a pixel of the picture lets anything shine through; raises DataError as `read_picture` does."""
    return read_header(path).alpha and bool((read_picture(path, alpha=True)[..., 3:] < 255).any())


def read_picture(path: Path, *, alpha: bool = False) -> np.ndarray:
    """Read a picture as uint8, H x W x 3, sRGB: any profile applied, grey repeated, 16 bit rounded, EXIF turn made.

    Alpha is dropped; with `alpha`, a file that has it gives H x W x 4 instead.
    Raises DataError for a file that is missing, corrupt, cut short, or of more than `PIXEL_LIMIT` pixels;
    PictureAccessError where the system does not give it.
    """
    with _refusals(path):
        if path.suffix.lower() == ".bmp":
            with _open_bmp(path) as bmp:
                return np.array(bmp.convert("RGBA" if alpha and bmp.mode == "RGBA" else "RGB"))
        image = _open(path)
        colour, transparency = image, None
        if image.hasalpha():
            colour, transparency = image[: image.bands - 1], image[image.bands - 1]
        result = _to_srgb(colour)
        if alpha and transparency is not None:
            result = result.bandjoin(_to_8_bit(transparency))
        if _orientation(image) > 1:
            result = result.copy_memory().autorot()
        return result.numpy()


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a uint8 picture, H x W or H x W x (1, 3 or 4), in the format of the path's suffix, whole or not at all.

    Raises DataError for a suffix or a picture that no file of this kind can hold.
    """
    suffix = path.suffix.lower()
    if suffix not in PICTURE_SUFFIXES:
        raise DataError(f"{path}: cannot write {suffix or 'this'} files; choose a name that ends in .png.")
    if picture.dtype != np.uint8:
        raise ValueError(f"the picture must be uint8, not {picture.dtype}")
    picture = np.ascontiguousarray(picture[..., None] if picture.ndim == 2 else picture)
    if picture.ndim != 3 or picture.shape[2] not in (1, 3, 4):
        raise ValueError(f"the picture must be H x W x (1, 3 or 4), not {picture.shape}")
    if picture.shape[2] == 4 and suffix in (".jpg", ".jpeg", ".bmp"):
        raise DataError(f"{path}: {suffix} files hold no transparency; choose a name that ends in .png.")
    vips = _vips()
    with atomic_path(path) as temporary:
        if suffix == ".bmp":
            from PIL import Image

            Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture).save(temporary, format="BMP")
            return
        try:
            encoded = vips.Image.new_from_array(picture).write_to_buffer(suffix, **_SAVING[suffix])
        except vips.Error as error:
            raise DataError(f"{path}: cannot be written ({_reason(error)}); choose another format.") from error
        temporary.write_bytes(encoded)


def to_planes(picture: np.ndarray) -> Tensor:
    """Turn a uint8 H x W x C picture into a uint8 C x H x W tensor of its own memory."""
    return torch.from_numpy(np.array(picture.transpose(2, 0, 1), order="C"))


def to_picture(planes: Tensor) -> np.ndarray:
    """Turn a uint8 C x H x W tensor on the CPU into a uint8 H x W x C picture."""
    return np.ascontiguousarray(planes.permute(1, 2, 0).numpy())


def to_float(images: Tensor) -> Tensor:
    """Turn uint8 images of any shape into float32 in [0, 1], on their device."""
    return images.float().div_(255)


def to_tensor(picture: np.ndarray) -> Tensor:
    """Turn a uint8 H x W x C picture into a float32 C x H x W tensor in [0, 1]."""
    return to_float(to_planes(picture))


@lru_cache(maxsize=1)
def _vips() -> ModuleType:
    """Pyvips, made safe for files of unknown origin at its first use."""
    import pyvips

    pyvips.block_untrusted_set(True)
    # A file may change between two calls; libvips would answer with what it read the first time.
    pyvips.cache_set_max(0)
    return pyvips


def _open(path: Path) -> Any:
    vips = _vips()
    # By a source, whose name may be any bytes, and holds no options of libvips.
    source = vips.Source.new_from_file(os.fsencode(path))
    image = vips.Image.new_from_source(source, "", access="sequential", fail_on="error")
    _check_size(path, image.height, image.width)
    return image


def _open_bmp(path: Path) -> Image.Image:
    from PIL.BmpImagePlugin import BmpImageFile

    image = BmpImageFile(path)  # not Image.open, which has another limit, and errors of its own for it
    _check_size(path, image.height, image.width)
    return image


def _check_size(path: Path, height: int, width: int) -> None:
    if height * width > PIXEL_LIMIT:
        limit = f"{PIXEL_LIMIT // 1_000_000} million"
        raise DataError(f"{path}: {width} x {height} pixels are more than {limit}; cut it into smaller pictures.")


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turn what libvips and Pillow say of an unreadable file into a DataError."""
    try:
        if not path.is_file():
            raise DataError(f"{path}: no such file; check the path.")
        yield
    except (_vips().Error, OSError, SyntaxError, ValueError) as error:
        _require_access(path)
        raise DataError(f"{path}: no complete picture ({_reason(error)}); replace the file or remove it.") from error


def _require_access(path: Path) -> None:
    """Raise PictureAccessError where the bytes of `path` cannot be read; libvips' messages do not tell."""
    try:
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass
    except OSError as error:
        raise PictureAccessError(
            f"{path}: cannot be read ({error.strerror}); check the file's permissions and the disk."
        ) from error


def _reason(error: Exception) -> str:
    lines = str(getattr(error, "detail", None) or error).split("\n")
    return next((line.strip() for line in lines if line.strip()), type(error).__name__)


def _orientation(image: Any) -> int:
    return image.get("orientation") if image.get_typeof("orientation") else 1


def _to_srgb(image: Any) -> Any:
    """Three bands of 8 bits."""
    if image.get_typeof("icc-profile-data"):
        try:
            return image.icc_transform("srgb", embedded=True, depth=8)
        except _vips().Error:
            pass  # a broken profile says nothing: go by the numbers, as every viewer does
    if image.interpretation in ("b-w", "grey16", "srgb", "rgb16") and image.format in ("uchar", "ushort"):
        image = _to_8_bit(image)
    else:
        image = image.colourspace("srgb").cast("uchar")
    if image.bands == 1:
        return image.bandjoin([image, image])
    if image.bands != 3:
        raise ValueError(f"{image.bands} channels")
    return image


def _to_8_bit(image: Any) -> Any:
    # 257 = 65535 / 255: black and white stay so, and 8-bit levels that were widened come back exactly.
    return (image / 257).rint().cast("uchar") if image.format == "ushort" else image.cast("uchar")
