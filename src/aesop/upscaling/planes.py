"""One picture through a model, whatever its channels; and arrays, PIL images and tensors, each its own kind again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aesop.data.bicubic import resize
from aesop.data.pictures import libvips
from aesop.upscaling.colour import fill_hidden
from aesop.upscaling.tiles import PEAKS, Upscaler

Picture = TypeVar("Picture", np.ndarray, Tensor, Image.Image)


def upscale_planes(planes: Tensor, upscaler: Upscaler, advance: Callable[[int, int], None] | None = None) -> Tensor:
    """Upscale (C, h, w): grey, grey and alpha, RGB, or RGB and alpha; uint8, uint16 or floating point in [0, 1].

    Grey is run as three equal channels, whose results are averaged; alpha is resized by bicubic. The result has the
    same channels and type.
    """
    colours, alpha = planes.split([len(planes) - 1, 1]) if len(planes) in (2, 4) else (planes, None)
    dtype = planes.dtype
    result = upscaler(colours.expand(3, -1, -1), advance, dtype=dtype if dtype in PEAKS else torch.float32)
    if len(colours) == 1:
        red, green, blue = (channel.int() if dtype in PEAKS else channel for channel in result.split(1))
        total = red + green + blue
        result = ((total + 1) // 3 if dtype in PEAKS else total / 3).to(dtype)
    if dtype not in PEAKS:
        result = result.clamp(0, 1).to(dtype)
    return result if alpha is None else torch.cat([result, _resized(alpha, upscaler.scale)])


def upscale_picture(picture: Picture, upscaler: Upscaler) -> Picture:
    """Upscale a picture in memory; the result is of the same kind.

    Args:
        picture: an array, H x W or H x W x C, or a tensor, C x H x W or N x C x H x W, of uint8, uint16 or floating
            point in [0, 1], C as of `upscale_planes`; or a PIL image of mode L, LA, RGB, RGBA or I;16, or one of mode
            1 or P, which becomes one of these. Colours that alpha hides have no influence.
        upscaler: the model.

    Raises ValueError for other types, shapes and modes.

    """
    if isinstance(picture, Image.Image):
        palette = "RGBA" if picture.has_transparency_data else "RGB"
        image = picture.convert({"1": "L", "P": palette}.get(picture.mode, picture.mode))
        if image.mode not in ("L", "LA", "RGB", "RGBA", "I;16"):
            raise ValueError(f"images of mode {image.mode} are not upscaled; convert it to RGB")
        result = Image.fromarray(upscale_picture(np.asarray(image), upscaler))
        result.info = {name: image.info[name] for name in ("icc_profile", "dpi") if name in image.info}
        return result
    if isinstance(picture, np.ndarray):
        planes = torch.from_numpy(np.array(np.atleast_3d(picture).transpose(2, 0, 1), order="C"))
        result = upscale_picture(planes, upscaler).numpy().transpose(1, 2, 0)
        return np.ascontiguousarray(result[..., 0] if picture.ndim == 2 else result)
    if picture.ndim == 4:
        return torch.stack([upscale_picture(one, upscaler) for one in picture])
    if picture.ndim != 3 or not 1 <= len(picture) <= 4 or not picture.numel():
        raise ValueError(f"a picture has 1 to 4 channels of pixels, not the shape {tuple(picture.shape)}")
    if picture.dtype not in PEAKS and not picture.is_floating_point():
        raise ValueError(f"a picture is uint8, uint16 or floating point in [0, 1], not {picture.dtype}")
    return upscale_planes(_filled(picture.detach().cpu()), upscaler).to(picture.device)


def _filled(planes: Tensor) -> Tensor:
    if len(planes) in (1, 3) or planes[-1].numpy().all():
        return planes
    dtype = planes.dtype
    pixels = (planes if dtype in PEAKS else planes.float()).permute(1, 2, 0).contiguous().numpy()
    image = libvips().Image.new_from_array(pixels)
    filled = fill_hidden(image[: len(planes) - 1], image[len(planes) - 1]).numpy().reshape(*pixels.shape[:2], -1)
    return torch.cat([torch.from_numpy(filled.copy()).permute(2, 0, 1).to(dtype), planes[-1:]])


def _resized(alpha: Tensor, scale: int) -> Tensor:
    if alpha.dtype == torch.uint16:
        return resize(alpha.float(), scale).clamp(0, 65535).add(0.5).to(torch.uint16)
    result = resize(alpha, scale)
    return result if alpha.dtype == torch.uint8 else result.clamp(0, 1)
