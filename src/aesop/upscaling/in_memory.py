"""Pictures in memory: arrays, PIL images and tensors, each its own kind again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from aesop import box
from aesop.data.bicubic import PEAKS
from aesop.data.pictures import libvips
from aesop.device import choose_device
from aesop.networks.loading import LoadedGenerator
from aesop.upscaling.engines.choose import choose_engine, require_engine
from aesop.upscaling.engines.torch_engines import eager
from aesop.upscaling.ensemble import Ensemble
from aesop.upscaling.fitting import generator_for
from aesop.upscaling.pictures.colour import fill_hidden
from aesop.upscaling.pictures.exif import corrected_exif
from aesop.upscaling.planes import colours_of, upscale_to
from aesop.upscaling.targets import Target, steps_to
from aesop.upscaling.tiles import Upscaler

Picture = TypeVar("Picture", np.ndarray, Tensor, Image.Image)

#: What Pillow and its plugins call the lossy formats that an image may come from.
_LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF", "JXL")


def upscale_picture(
    picture: Picture,
    model: LoadedGenerator | Path | str = box.AUTO,
    *,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    megapixels: float | None = None,
    fidelity: float | None = None,
    ensemble: bool = False,
    tile: int | None = None,
    device: str = "auto",
    engine: str = "torch",
) -> Picture:
    """Upscale a picture in memory; the result is of the same kind.

    Args:
        picture: an array, H x W or H x W x C, or a tensor, C x H x W or N x C x H x W, of uint8, uint16 or floating
            point in [0, 1], C as of `upscale_planes`; or a PIL image of mode L, LA, RGB, RGBA or I;16, or one of mode
            1 or P, which becomes one of these. Colours that alpha hides have no influence. An image is turned as its
            EXIF says; `info` keeps resolution, profile and EXIF, in which orientation and sizes are corrected.
        model: a model file, a run folder or a generator that is loaded already; `auto` is `clean-x4` of the box, or,
            of an image that Pillow opened from a file of a lossy format, what `upscale` takes for such files.
        scale, width, height, megapixels: how large the result is to be, by one of them; unset, the model's scale.
        fidelity, ensemble, tile, device: as of `upscale`; a tensor comes back on its own device.
        engine: as of `upscale`; eager float32 unless asked for otherwise, since `auto` measures engines first.

    Raises ValueError for other types, shapes and modes; AesopError for a size below the picture's, a model that
    cannot be loaded, a device or an engine that there is not.

    """
    if not isinstance(picture, np.ndarray | Tensor | Image.Image):
        kind = type(picture).__name__
        raise ValueError(f"a picture is an array, a tensor or a PIL image, not {kind}; aesop.upscale takes files")
    hardware = choose_device(device)
    require_engine(engine, hardware)
    target = Target(scale, width, height, megapixels)
    compressed = isinstance(picture, Image.Image) and picture.format in _LOSSY

    def run(pictures: Tensor) -> Tensor:
        """Upscale (N, C, h, w) on the CPU."""
        _, bands, rows, columns = pictures.shape
        generator = generator_for(model, fidelity, compressed=compressed, factor=target.factor(rows, columns, 4))
        upscaler = Upscaler(generator.model.to(hardware), generator.scale, tile)
        steps = steps_to(target, rows, columns, generator.scale)
        if engine != "torch":
            pixels = len(pictures) * steps.pixels * (8 if ensemble else 1)
            given = generator.model, generator.sha256, colours_of(pictures[0])
            found = choose_engine(*given, wanted=engine, pixels=pixels, device=hardware)
            upscaler.engine = found.engine
        if ensemble:
            upscaler.engine = Ensemble(eager(generator.model, hardware) if engine == "torch" else upscaler.engine)
        dtype = pictures.dtype if pictures.dtype in PEAKS else torch.float32
        results = (upscale_to(steps, [planes], bands, rows, columns, upscaler, dtype=dtype) for planes in pictures)
        return torch.stack([torch.cat(list(strips), dim=1) for strips in results])

    return _of_its_kind(picture, run)


def _of_its_kind(picture: Picture, run: Callable[[Tensor], Tensor]) -> Picture:
    if isinstance(picture, Image.Image):
        exif = picture.info.get("exif")
        with suppress(Exception):  # damaged EXIF turns nothing
            picture = ImageOps.exif_transpose(picture)
        palette = "RGBA" if picture.has_transparency_data else "RGB"
        image = picture.convert({"1": "L", "P": palette}.get(picture.mode, picture.mode))
        if image.mode not in ("L", "LA", "RGB", "RGBA", "I;16"):
            raise ValueError(f"images of mode {image.mode} are not upscaled; convert it to RGB")
        result = Image.fromarray(_of_its_kind(np.asarray(image), run))
        result.info = {name: image.info[name] for name in ("icc_profile", "dpi") if name in image.info}
        if isinstance(exif, bytes):
            exif = corrected_exif(exif.removeprefix(b"Exif\0\0"), result.height, result.width)
            result.info |= {"exif": b"Exif\0\0" + exif} if exif else {}
        return result
    if isinstance(picture, np.ndarray):
        planes = torch.from_numpy(np.array(np.atleast_3d(picture).transpose(2, 0, 1), order="C"))
        result = _of_its_kind(planes, run).numpy().transpose(1, 2, 0)
        return np.ascontiguousarray(result[..., 0] if picture.ndim == 2 else result)
    pictures = picture if picture.ndim == 4 else picture[None]
    if pictures.ndim != 4 or not 1 <= pictures.shape[1] <= 4 or not picture.numel():
        raise ValueError(f"a picture has 1 to 4 channels of pixels, not the shape {tuple(picture.shape)}")
    if picture.dtype not in PEAKS and not picture.is_floating_point():
        raise ValueError(f"a picture is uint8, uint16 or floating point in [0, 1], not {picture.dtype}")
    results = run(torch.stack([_filled(planes) for planes in pictures.detach().cpu()])).to(picture)
    return results if picture.ndim == 4 else results[0]


def _filled(planes: Tensor) -> Tensor:
    dtype = planes.dtype
    values = planes if dtype in PEAKS else planes.float()  # numpy has no bfloat16
    if len(planes) in (1, 3) or values[-1].numpy().all():
        return planes
    pixels = values.permute(1, 2, 0).contiguous().numpy()
    image = libvips().Image.new_from_array(pixels)
    filled = fill_hidden(image[: len(planes) - 1], image[len(planes) - 1]).numpy().reshape(*pixels.shape[:2], -1)
    return torch.cat([torch.from_numpy(filled.copy()).permute(2, 0, 1).to(dtype), planes[-1:]])
