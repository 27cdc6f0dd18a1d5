"""One picture through a model, whatever its channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import tee

import torch
from torch import Tensor

from aesop.data.bicubic import PEAKS, resize_strips
from aesop.data.strips import windows
from aesop.upscaling.targets import Steps
from aesop.upscaling.tiles import Upscaler


def colours_of(planes: Tensor) -> Tensor:
    """Return what a network takes of planes (bands, h, w) as of `upscale_planes`: (3, h, w), grey three times."""
    return planes[: 3 if len(planes) > 2 else 1].expand(3, -1, -1)


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
    colours = map(colours_of, strips)
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
