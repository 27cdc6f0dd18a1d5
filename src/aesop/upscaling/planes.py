"""One picture through a model, whatever its channels; and arrays, PIL images and tensors, each its own kind again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import tee
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from aesop import box
from aesop.data.bicubic import PEAKS, resize_strips
from aesop.data.pictures import libvips
from aesop.data.strips import windows
from aesop.networks.loading import LoadedGenerator, load_generator
from aesop.upscaling.pictures.colour import fill_hidden
from aesop.upscaling.pictures.exif import corrected_exif
from aesop.upscaling.targets import Steps, Target, steps_to
from aesop.upscaling.tiles import Upscaler

Picture = TypeVar("Picture", np.ndarray, Tensor, Image.Image)


def upscale_planes(
    strips: Iterable[Tensor],
    bands: int,
    height: int,
    width: int,
    upscaler: Upscaler,
    *,
    dtype: torch.dtype,
    advance: Callable[[int], None] | None = None,
) -> Iterator[Tensor]:
    """Upscale a picture in strips, (bands, rows, width): grey, grey and alpha, RGB, or RGB and alpha.

    Grey is run as three equal channels, whose results are averaged; alpha is resized by bicubic. Types and `advance`
    are those of `tiles.upscale_strips`, but floating point is clamped.
    """
    channels = bands - 1 if bands in (2, 4) else bands
    strips, copies = tee(strips)
    colours = (strip[:channels].expand(3, -1, -1) for strip in strips)
    results = upscaler.strips(colours, height, width, dtype=dtype, advance=advance)
    if channels == 1:
        results = map(_grey, results)
    if dtype not in PEAKS:
        results = (strip.clamp(0, 1) for strip in results)
    if channels == bands:
        return results
    alpha = resize_strips((_of_type(strip[channels:], dtype) for strip in copies), height, width, upscaler.scale)
    results, rows = tee(results)
    return (torch.cat(both) for both in zip(results, windows(alpha, _ranges(rows)), strict=True))


def upscale_to(
    steps: Steps,
    strips: Iterable[Tensor],
    bands: int,
    height: int,
    width: int,
    upscaler: Upscaler,
    *,
    dtype: torch.dtype,
    advance: Callable[[int], None] | None = None,
) -> Iterator[Tensor]:
    """Take the steps to a result's size, in strips; all else is as in `upscale_planes`. Between steps: uint16."""
    between = torch.uint16 if dtype in PEAKS else dtype
    for left in reversed(range(steps.passes)):
        kept = dtype if left == 0 and steps.shrink == 1 else between
        strips = upscale_planes(strips, bands, height, width, upscaler, dtype=kept, advance=advance)
        height, width = height * upscaler.scale, width * upscaler.scale
    if steps.shrink != 1:
        strips = (_of_type(strip, dtype) for strip in resize_strips(strips, height, width, steps.shrink))
        if dtype not in PEAKS:
            strips = (strip.clamp(0, 1) for strip in strips)
    return iter(strips)


def _grey(strip: Tensor) -> Tensor:
    if strip.dtype not in PEAKS:
        return strip.mean(dim=0, keepdim=True)
    return ((strip.int().sum(dim=0, keepdim=True) + 1) // 3).to(strip.dtype)


def _of_type(strip: Tensor, dtype: torch.dtype) -> Tensor:
    """The same levels in another type."""
    factor = PEAKS.get(dtype, 1) / PEAKS.get(strip.dtype, 1)
    if factor == 1:
        return strip.to(dtype)
    return strip.double().mul(factor).add(0.5 if dtype in PEAKS else 0).to(dtype)


def _ranges(strips: Iterable[Tensor]) -> Iterator[tuple[int, int]]:
    top = 0
    for strip in strips:
        yield top, top + strip.shape[1]
        top += strip.shape[1]


def upscale_picture(
    picture: Picture,
    model: Upscaler | LoadedGenerator | Path | str = box.AUTO,
    *,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    megapixels: float | None = None,
) -> Picture:
    """Upscale a picture in memory; the result is of the same kind.

    Args:
        picture: an array, H x W or H x W x C, or a tensor, C x H x W or N x C x H x W, of uint8, uint16 or floating
            point in [0, 1], C as of `upscale_planes`; or a PIL image of mode L, LA, RGB, RGBA or I;16, or one of mode
            1 or P, which becomes one of these. Colours that alpha hides have no influence. An image is turned as its
            EXIF says; `info` keeps resolution, profile and EXIF, in which orientation and sizes are corrected.
        model: a model file, a run folder, a generator that is loaded already, or an `Upscaler` of one; `auto` is
            `clean-x4` of the box.
        scale, width, height, megapixels: how large the result is to be, by one of them; unset, the model's scale.

    Raises ValueError for other types, shapes and modes; AesopError for a size below the picture's, or a model that
    cannot be loaded.

    """
    if not isinstance(picture, np.ndarray | Tensor | Image.Image):
        kind = type(picture).__name__
        raise ValueError(f"a picture is an array, a tensor or a PIL image, not {kind}; aesop.upscale takes files")
    if not isinstance(model, Upscaler):
        named = box.chosen() if box.is_auto(model) else model
        loaded = named if isinstance(named, LoadedGenerator) else load_generator(named)
        model = Upscaler(loaded.model, loaded.scale)
    return _upscaled(picture, model, Target(scale, width, height, megapixels))


def _upscaled(picture: Picture, upscaler: Upscaler, target: Target) -> Picture:
    if isinstance(picture, Image.Image):
        exif = picture.info.get("exif")
        with suppress(Exception):  # damaged EXIF turns nothing
            picture = ImageOps.exif_transpose(picture)
        palette = "RGBA" if picture.has_transparency_data else "RGB"
        image = picture.convert({"1": "L", "P": palette}.get(picture.mode, picture.mode))
        if image.mode not in ("L", "LA", "RGB", "RGBA", "I;16"):
            raise ValueError(f"images of mode {image.mode} are not upscaled; convert it to RGB")
        result = Image.fromarray(_upscaled(np.asarray(image), upscaler, target))
        result.info = {name: image.info[name] for name in ("icc_profile", "dpi") if name in image.info}
        if isinstance(exif, bytes):
            exif = corrected_exif(exif.removeprefix(b"Exif\0\0"), result.height, result.width)
            result.info |= {"exif": b"Exif\0\0" + exif} if exif else {}
        return result
    if isinstance(picture, np.ndarray):
        planes = torch.from_numpy(np.array(np.atleast_3d(picture).transpose(2, 0, 1), order="C"))
        result = _upscaled(planes, upscaler, target).numpy().transpose(1, 2, 0)
        return np.ascontiguousarray(result[..., 0] if picture.ndim == 2 else result)
    if picture.ndim == 4:
        return torch.stack([_upscaled(one, upscaler, target) for one in picture])
    if picture.ndim != 3 or not 1 <= len(picture) <= 4 or not picture.numel():
        raise ValueError(f"a picture has 1 to 4 channels of pixels, not the shape {tuple(picture.shape)}")
    if picture.dtype not in PEAKS and not picture.is_floating_point():
        raise ValueError(f"a picture is uint8, uint16 or floating point in [0, 1], not {picture.dtype}")
    planes = _filled(picture.detach().cpu())
    dtype = planes.dtype if planes.dtype in PEAKS else torch.float32
    bands, height, width = planes.shape
    steps = steps_to(target, height, width, upscaler.scale)
    strips = upscale_to(steps, [planes], bands, height, width, upscaler, dtype=dtype)
    return torch.cat(list(strips), dim=1).to(picture)


def _filled(planes: Tensor) -> Tensor:
    dtype = planes.dtype
    values = planes if dtype in PEAKS else planes.float()  # numpy has no bfloat16
    if len(planes) in (1, 3) or values[-1].numpy().all():
        return planes
    pixels = values.permute(1, 2, 0).contiguous().numpy()
    image = libvips().Image.new_from_array(pixels)
    filled = fill_hidden(image[: len(planes) - 1], image[len(planes) - 1]).numpy().reshape(*pixels.shape[:2], -1)
    return torch.cat([torch.from_numpy(filled.copy()).permute(2, 0, 1).to(dtype), planes[-1:]])
