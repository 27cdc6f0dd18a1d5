"""Bicubic resizing equal to MATLAB's `imresize`: what the benchmarks' LR files and the paper's pairs are made with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from aesop.data.strips import windows

#: Output pixels that one matrix product makes: enough to keep it busy, few enough that a band stays narrow.
BAND = 64

#: The level that stands for 1 in types of whole numbers.
PEAKS = {torch.uint8: 255, torch.uint16: 65535}

#: Below 8-bit resolution by far, above float64's error by far: half levels round up whatever the order of summation,
#: so that a picture gets the same LR on every machine.
TIE = 1e-9


class _Band(NamedTuple):
    """`length` input pixels from `start` on, and the (outputs x length) matrix that makes a run of outputs of them."""

    start: int
    length: int
    matrix: Tensor


def resize(images: Tensor, factor: float, *, published: bool = False) -> Tensor:
    """Resize by `factor` with MATLAB's bicubic kernel (a = -0.5), antialiased where `factor` < 1, symmetric borders.

    `images` is (N, C, H, W) or (C, H, W); the result has ceil(H * factor) x ceil(W * factor) pixels and the same type.
    Floating point (any range) is computed in float64, neither rounded nor clamped, and is differentiable; uint8 and
    uint16 are computed in float64 too, rounded once (half levels up) and clamped.

    `published` reproduces the LR files that the benchmark sets are published with, made by an older MATLAB: uint8
    only, rounded between the passes (vertical first) as well, borders repeated instead of mirrored.

    Raises ValueError for other shapes or types.
    """
    if images.ndim not in (3, 4) or 0 in images.shape[-2:]:
        raise ValueError(f"images must be (N, C, H, W) or (C, H, W) with pixels in them, not {tuple(images.shape)}")
    if not factor > 0:
        raise ValueError(f"factor must be positive, not {factor}")
    kinds = (torch.uint8,) if published else tuple(PEAKS)
    if images.dtype not in kinds and (published or not images.is_floating_point()):
        raise ValueError(f"images must be uint8{'' if published else ', uint16 or floating point'}, not {images.dtype}")
    if images.device.type == "mps":  # has no float64
        return resize(images.cpu(), factor, published=published).to(images.device)

    height, width = images.shape[-2:]
    rows = _bands(height, float(factor), published, str(images.device))
    columns = _bands(width, float(factor), published, str(images.device))
    # Strip by strip, so that a large picture is never held whole in float64.
    strips = [_resized(images.narrow(-2, row.start, row.length), row, columns, published) for row in rows]
    return torch.cat(strips, dim=-2)


def resize_strips(strips: Iterable[Tensor], height: int, width: int, factor: float) -> Iterator[Tensor]:
    """Yield what `resize` makes of a picture on the CPU, in strips, from its strips, (C, rows, width)."""
    rows, columns = (_bands(size, float(factor), False, "cpu") for size in (height, width))
    for row, window in zip(rows, windows(strips, ((row.start, row.start + row.length) for row in rows)), strict=True):
        yield _resized(window, row, columns, False)


def resized_length(length: int, factor: float) -> int:
    """Return how many pixels `resize` makes of `length`."""
    return math.ceil(length * factor - 1e-9)  # 1e-9: the float nearest to 1/7, say, may lie above it


def _resized(images: Tensor, row: _Band, columns: tuple[_Band, ...], published: bool) -> Tensor:
    """Make a strip of the result from the rows of a band."""
    strip = row.matrix @ images.double()
    if published:
        strip = _to_levels(strip, images.dtype).double()
    strip = torch.cat([strip.narrow(-1, c.start, c.length) @ c.matrix.T for c in columns], dim=-1)
    return _to_levels(strip, images.dtype) if images.dtype in PEAKS else strip.to(images.dtype)


def _to_levels(values: Tensor, dtype: torch.dtype) -> Tensor:
    return (values + (0.5 + TIE)).floor_().clamp_(0, PEAKS[dtype]).to(dtype)


@lru_cache(maxsize=64)
def _bands(size: int, factor: float, repeat: bool, device: str) -> tuple[_Band, ...]:
    """The resizing matrix of one axis as its non-zero bands, on `device`."""
    indices, weights = _taps(size, factor, repeat)
    bands = []
    # Tensors made in inference mode could not take part in training later.
    with torch.inference_mode(False):
        for first in range(0, len(indices), BAND):
            near, parts = indices[first : first + BAND], weights[first : first + BAND]
            start, stop = int(near.min()), int(near.max()) + 1
            matrix = np.zeros((len(near), stop - start))
            # A mirrored or repeated pixel stands in for several taps: their weights add up.
            np.add.at(matrix, (np.arange(len(near))[:, None], near - start), parts)
            bands.append(_Band(start, stop - start, torch.from_numpy(matrix).to(device)))
    return tuple(bands)


def _taps(size: int, factor: float, repeat: bool) -> tuple[np.ndarray, np.ndarray]:
    """Input pixels and weights (each outputs x taps) of every output pixel along an axis of `size` pixels."""
    stretch = max(1.0, 1.0 / factor)  # antialiasing: the kernel is as much wider as the picture becomes smaller
    outputs = resized_length(size, factor)
    centres = (np.arange(outputs) + 0.5) / factor - 0.5
    left = np.floor(centres - 2 * stretch).astype(np.int64)
    indices = left[:, None] + np.arange(math.ceil(4 * stretch) + 2)
    weights = _cubic((centres[:, None] - indices) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    used = weights.any(axis=0)
    indices, weights = indices[:, used], weights[:, used]
    if repeat:
        indices = indices.clip(0, size - 1)
    else:
        indices = indices % (2 * size)
        indices = np.where(indices < size, indices, 2 * size - 1 - indices)
    return indices, weights


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -0.5 (Keys 1981, eq. 15)."""
    x = np.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
