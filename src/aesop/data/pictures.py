"""Picture files in and out: 8-bit sRGB arrays, whatever a file holds.

By libvips, which reads 16 bit, alpha, ICC profiles and orientation and releases the interpreter; BMP by Pillow.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aesop.errors import DataError
from aesop.files import atomic_path, printable

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"})

#: A file that claims more is refused before it is decoded: 1.2 GB, more than any camera makes.
PIXEL_LIMIT = 400_000_000

#: libvips' options for saving: without loss where a format allows it, else without a visible one.
_SAVING = {
    **dict.fromkeys((".jpg", ".jpeg"), "[Q=95,subsample_mode=off]"),
    **dict.fromkeys((".tif", ".tiff"), "[compression=lzw]"),
    ".webp": "[lossless]",
}


class PictureAccessError(DataError):
    """A picture that the system cannot read (permissions, a failing disk); the file itself may be intact."""


def is_picture(path: Path, suffixes: Collection[str] = PICTURE_SUFFIXES) -> bool:
    """Whether a file has a picture's suffix and is not hidden."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def find_pictures(
    folder: Path, unreadable: list[str] | None = None, suffixes: Collection[str] = PICTURE_SUFFIXES
) -> list[Path]:
    """The picture files in `folder` and its subfolders, sorted by path, without hidden ones; links are followed.

    A subfolder that cannot be listed is described in `unreadable`; without that it is a PictureAccessError.
    Raises DataError where the folder is missing or holds no pictures, PictureAccessError where it cannot be listed.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; check the path.")
    errors: list[OSError] = []
    found, seen = [], set()
    for name, subfolders, files in os.walk(folder, onerror=errors.append, followlinks=True):
        inside = Path(name)
        if inside.resolve() in seen:  # a link back to a folder above
            subfolders.clear()
            continue
        seen.add(inside.resolve())
        subfolders[:] = [s for s in subfolders if not s.startswith(".")]
        found += [inside / name for name in files if is_picture(inside / name, suffixes)]
    refused = [
        f"{printable(e.filename)}: the folder cannot be read ({e.strerror}); check its permissions." for e in errors
    ]
    if refused and (unreadable is None or not found):
        raise PictureAccessError(refused[0])
    if not found:
        raise DataError(f"{folder}: no pictures there ({', '.join(sorted(suffixes))}); name another folder.")
    if unreadable is not None:
        unreadable += refused
    return sorted(found)


@dataclass(frozen=True)
class Header:
    """The size of a picture as `read_picture` gives it, and how it is stored; `deep`: more than 8 bit a channel."""

    height: int
    width: int
    grey: bool
    alpha: bool
    deep: bool


def read_header(path: Path) -> Header:
    """Read a picture's header; its pixels may still be damaged. Raises as `read_picture` does."""
    with refusals(path):
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
    """Whether any pixel is not opaque. Raises as `read_picture` does."""
    return read_header(path).alpha and bool((read_picture(path, alpha=True)[..., 3:] < 255).any())


def read_picture(path: Path, *, alpha: bool = False) -> np.ndarray:
    """Read a picture as uint8, H x W x 3, sRGB: any profile applied, grey repeated, 16 bit rounded, EXIF turn made.

    Alpha is dropped; with `alpha`, a file that has it gives H x W x 4 instead.
    Raises DataError for a file that is missing, corrupt, cut short, or of more than `PIXEL_LIMIT` pixels;
    PictureAccessError where the system cannot read it.
    """
    with refusals(path):
        if path.suffix.lower() == ".bmp":
            with _open_bmp(path) as bmp:
                return np.array(bmp.convert("RGBA" if alpha and bmp.mode == "RGBA" else "RGB"))
        image = _open(path)
        has_alpha, last = image.hasalpha(), image.bands - 1
        result = _to_srgb(image[:last] if has_alpha else image)
        if alpha and has_alpha:
            result = result.bandjoin(to_8_bit(image[last]))
        if _orientation(image) > 1:
            result = result.copy_memory().autorot()
        return result.numpy()


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a uint8 picture, H x W or H x W x (1, 3 or 4), atomically, in the format of the path's suffix.

    Raises DataError for an unknown suffix or a picture that the format cannot hold.
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
    vips = libvips()
    with atomic_path(path) as temporary:
        if suffix == ".bmp":
            from PIL import Image

            Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture).save(temporary, format="BMP")
            return
        try:
            encoded = vips.Image.new_from_array(picture).write_to_buffer(suffix + _SAVING.get(suffix, ""))
        except vips.Error as error:
            raise DataError(f"{path}: cannot be written ({reason(error)}); choose another format.") from error
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


def to_levels(images: Tensor) -> Tensor:
    """Turn images in [0, 1] into uint8, rounded and clamped."""
    return (images * 255).round_().clamp_(0, 255).to(torch.uint8)


@lru_cache(maxsize=1)
def libvips() -> ModuleType:
    """Pyvips, made safe for files of unknown origin."""
    import pyvips

    pyvips.block_untrusted_set(True)
    pyvips.cache_set_max(0)  # a file may change between two calls
    return pyvips


def _open(path: Path) -> Any:
    # A source's name may be any bytes, and is not searched for libvips' options.
    source = libvips().Source.new_from_file(os.fsencode(path))
    image = libvips().Image.new_from_source(source, "", access="sequential", fail_on="error")
    _check_size(path, image.height, image.width)
    return image


def _open_bmp(path: Path) -> Any:
    from PIL.BmpImagePlugin import BmpImageFile

    image = BmpImageFile(path)  # Image.open has another limit of pixels
    _check_size(path, image.height, image.width)
    return image


def _check_size(path: Path, height: int, width: int) -> None:
    if height * width > PIXEL_LIMIT:
        limit = f"{PIXEL_LIMIT // 1_000_000} million"
        raise DataError(f"{path}: {width} x {height} pixels are more than {limit}; cut it into smaller pictures.")


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turn libvips' and Pillow's errors into a DataError."""
    try:
        if not path.is_file():
            raise DataError(f"{path}: no such file; check the path.")
        yield
    except (libvips().Error, OSError, SyntaxError, ValueError) as error:
        try:  # libvips' messages do not tell whether the bytes can be read
            with path.open("rb") as file:
                while file.read(1 << 20):
                    pass
        except OSError as refusal:
            why = f"cannot be read ({refusal.strerror}); check the file's permissions and the disk."
            raise PictureAccessError(f"{path}: {why}") from refusal
        raise DataError(f"{path}: no complete picture ({reason(error)}); replace the file or remove it.") from error


def reason(error: Exception) -> str:
    """The first line of what libvips or Pillow says."""
    lines = str(getattr(error, "detail", None) or error).split("\n")
    return next((line.strip() for line in lines if line.strip()), type(error).__name__)


def _orientation(image: Any) -> int:
    return image.get("orientation") if image.get_typeof("orientation") else 1


def _to_srgb(image: Any) -> Any:
    """Three bands of 8 bits."""
    if image.get_typeof("icc-profile-data"):
        try:
            return image.icc_transform("srgb", embedded=True, depth=8)
        except libvips().Error:
            pass  # a broken profile: ignored, as viewers do
    if image.interpretation in ("b-w", "grey16", "srgb", "rgb16") and image.format in ("uchar", "ushort"):
        image = to_8_bit(image)
    else:
        image = image.colourspace("srgb").cast("uchar")
    if image.bands == 1:
        return image.bandjoin([image, image])
    if image.bands != 3:
        raise ValueError(f"{image.bands} channels")
    return image


def to_8_bit(image: Any) -> Any:
    """Turn a libvips image of 16 (or 8) bits into one of 8."""
    # 257 = 65535 / 255: 8-bit levels that were widened come back exactly.
    return (image / 257).rint().cast("uchar") if image.format == "ushort" else image.cast("uchar")
