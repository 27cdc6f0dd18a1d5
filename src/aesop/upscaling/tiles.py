"""Pictures larger than memory, tile by tile, with the result that the whole picture would give.

Tiles overlap by as much as a model sees of its surroundings; what overlaps is computed twice and used once, so there
is nothing to blend and no seam. How much that is, `measure_overlap` finds out by trying. Pictures come and go in strips
of rows, of which no more is held than one row of tiles needs.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aesop.data.bicubic import PEAKS, resize
from aesop.data.strips import windows
from aesop.device import is_out_of_memory
from aesop.errors import AesopError, ModelError
from aesop.heap import give_back
from aesop.upscaling.room import free_bytes, needed_bytes

#: Tiles begin and end at multiples of this many pixels (or at the picture's border), so that networks with windows of
#: 8 or 16 pixels, or that unshuffle by 2 or 4, cut a tile up just as they cut up the whole picture.
STEP = 16
#: A tile's side where none is asked for, and the number of pixels up to which a picture is then left whole; both are
#: smaller where that would take more memory than is good or free.
DEFAULT_TILE = 384
WHOLE_PIXELS = 512 * 512
#: Bytes that a tile takes at most, unless it is of less than WORTHWHILE overlaps: most of the work would be done twice.
MOST_BYTES = 3 << 28
WORTHWHILE = 8
#: Pictures of fewer pixels are run whole without asking how much memory is free.
SMALL_PIXELS = 128 * 128
#: The part of free memory that a tile may take.
SHARE = 0.5
#: Bytes that a row of tiles takes as SR at the most: rows are lower where a picture is wide, and tiles wider for that,
#: but not of less than WORTHWHILE overlaps. Some rows are held at a time.
ROW_BYTES = 5 << 23
#: Rows of a tile that are rounded at once.
_ROWS = 32
#: The widest overlap that `measure_overlap` tries.
LIMIT = 128
#: How much of its made-up picture it takes away.
CUT = 2 * STEP
#: A quarter of an 8-bit level: rounding then hides the difference, but for pixels that lie between two levels anyway.
TOLERANCE = 0.25 / 255


@dataclass(frozen=True)
class Overlap:
    """How many pixels of surroundings a tile needs, and whether they suffice (else seams may show)."""

    pixels: int
    sufficient: bool


@dataclass(frozen=True)
class Span:
    """Pixels `start` to `stop` of an axis, computed from the pixels `left` to `right`."""

    start: int
    stop: int
    left: int
    right: int

    def __len__(self) -> int:
        return self.stop - self.start

    def cut(self, tile: int, overlap: int) -> list[Span]:
        """Cut it into equal parts of at most `tile`, each with `overlap` more on either side, as far as it has them."""
        count = math.ceil(len(self) / _round_up(tile))
        size = _round_up(math.ceil(len(self) / count))
        starts = range(self.start, self.stop, size)
        overlap = _round_up(overlap)
        return [
            Span(
                start, min(start + size, self.stop), max(start - overlap, self.left),
                min(start + size + overlap, self.right),
            )
            for start in starts
        ]  # fmt: skip


def spans(length: int, tile: int, overlap: int) -> list[Span]:
    """Cut an axis of `length` pixels into equal parts of at most `tile`, each with `overlap` more on either side."""
    return Span(0, length, 0, length).cut(tile, overlap)


class Upscaler:
    """A model that takes pictures of any size: whole where they are small, else in tiles.

    `tile` is a tile's side in LR pixels; None for DEFAULT_TILE, or less where memory is short, where a picture is too
    large to be run whole. The overlap, and the memory that the model needs, are measured once, before the first picture
    that is cut up. `engine` is what runs the model: itself, unless another is set.
    """

    def __init__(self, model: nn.Module, scale: int, tile: int | None = None) -> None:
        if tile is not None and tile < STEP:
            raise AesopError(f"--tile {tile} is too small; take {STEP} or more (256 is usual).")
        self.model = model
        self.scale = scale
        self.tile = tile
        self.engine: Callable[[Tensor], Tensor] = model
        self._measuring = threading.RLock()
        self._overlap: Overlap | None = None
        self._needed: float | None = None

    @property
    def seams(self) -> bool:
        """Whether pictures were cut up that should not have been, for lack of a sufficient overlap."""
        return self._overlap is not None and not self._overlap.sufficient

    @property
    def overlap(self) -> Overlap:
        """What tiles of this model overlap by."""
        with self._measuring:
            if self._overlap is None:
                self._overlap = measure_overlap(self.model, self.scale)
            return self._overlap

    def tiling(self, height: int, width: int) -> tuple[int, int]:
        """Return the side of the tiles, and their overlap, for an LR picture of that size; 0 if it stays whole."""
        side = max(height, width)
        if self.tile is not None:
            return (side, 0) if side <= _round_up(self.tile) else (self.tile, self.overlap.pixels)
        if height * width <= SMALL_PIXELS:
            return side, 0
        free, needed = free_bytes(_weight(self.model).device), self._needed_bytes()
        most = math.inf if free is None else SHARE * free / needed  # LR pixels at once
        if height * width <= min(WHOLE_PIXELS, most, MOST_BYTES / needed):
            return side, 0
        overlap = self.overlap.pixels
        good = max(math.isqrt(int(MOST_BYTES / needed)) - 2 * overlap, WORTHWHILE * overlap)
        fitting = good if most == math.inf else math.isqrt(int(most)) - 2 * overlap
        tile = max(min(DEFAULT_TILE, good, fitting) // STEP * STEP, STEP)
        return (tile, overlap) if side > tile else (side, 0)

    def memory(self, height: int, width: int) -> float:
        """Estimate the bytes of main memory for an LR picture of that size: the network's tile, and some rows of SR."""
        rows = min(6 * ROW_BYTES, 3 * height * width * self.scale**2)
        if _weight(self.model).device.type != "cpu":
            return rows
        tile, overlap = self.tiling(height, width)
        return rows + self._needed_bytes() * min((tile + 2 * overlap) ** 2, height * width)

    def _needed_bytes(self) -> float:
        """How many bytes the model takes for an LR pixel."""
        with self._measuring:
            if self._needed is None:
                probe = made_up_picture(64, 64).to(_weight(self.model))
                self._needed = max(needed_bytes(self.model, probe) / probe[0, 0].numel(), 1.0)
            return self._needed

    def strips(
        self,
        strips: Iterable[Tensor],
        height: int,
        width: int,
        *,
        dtype: torch.dtype = torch.uint8,
        advance: Callable[[int], None] | None = None,
    ) -> Iterator[Tensor]:
        """Upscale a picture in strips; types and errors are those of `upscale_strips`."""
        tile, _ = self.tiling(height, width)
        overlap = self._overlap_pixels
        return upscale_strips(
            self.engine, strips, height, width, self.scale, tile=tile, overlap=overlap, dtype=dtype, advance=advance
        )

    def __call__(self, picture: Tensor, *, dtype: torch.dtype = torch.uint8) -> Tensor:
        """Upscale a picture, (3, h, w), to (3, scale*h, scale*w); types and errors are those of `upscale_tiled`."""
        tile, _ = self.tiling(*picture.shape[-2:])
        return upscale_tiled(self.engine, picture, self.scale, tile=tile, overlap=self._overlap_pixels, dtype=dtype)

    def _overlap_pixels(self) -> int:
        return self.overlap.pixels


def upscale_tiled(
    model: Callable[[Tensor], Tensor],
    image: Tensor,
    scale: int,
    *,
    tile: int,
    overlap: int | Callable[[], int],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Run `model`, or an engine of one, on `image`, (3, h, w) on the CPU, tile by tile; returns (3, scale*h, scale*w).

    Types and errors are those of `upscale_strips`.
    """
    height, width = image.shape[-2:]
    result = torch.empty(3, height * scale, width * scale, dtype=dtype)
    top = 0
    for strip in upscale_strips(model, [image], height, width, scale, tile=tile, overlap=overlap, dtype=dtype):
        result[:, top : top + strip.shape[1]] = strip
        top += strip.shape[1]
    return result


@torch.inference_mode()
def upscale_strips(
    model: Callable[[Tensor], Tensor],
    strips: Iterable[Tensor],
    height: int,
    width: int,
    scale: int,
    *,
    tile: int,
    overlap: int | Callable[[], int],
    dtype: torch.dtype = torch.float32,
    advance: Callable[[int], None] | None = None,
) -> Iterator[Tensor]:
    """Run `model`, or an engine of one, on a picture tile by tile; yields the result a row of tiles at a time.

    Strips are (3, rows, width) on the CPU, floating point in [0, 1], or uint8 or uint16, which become floating point
    one tile at a time. Only a tile is ever on the model's device: `tile` pixels a side (where rows are lower, as many
    in all) and `overlap` more all around, both rounded up to multiples of STEP; where memory does not suffice, tiles
    are halved. A picture of at most `tile` a side stays whole; a function `overlap` is called only for one that is cut
    up. The result, (3, rows, scale*width), is float32, not clamped; with `dtype` uint8 or uint16 it is clamped
    and rounded to levels, which takes less memory. Where `overlap` reaches as far as the model sees, it is the whole
    picture's result, since tiles end where the picture does. `advance(pixels)` is called after every tile with its LR
    pixels.

    Raises ModelError where the model's output has another size than its scale promises, or is not a number;
    torch.OutOfMemoryError where the smallest tile is too large.
    """
    weight = _weight(model)
    pixels = overlap if callable(overlap) else lambda: overlap
    if max(height, width) <= _round_up(tile):
        rows, columns, side = [Span(0, height, 0, height)], [Span(0, width, 0, width)], tile
    else:
        rows, columns, side = _grid(height, width, tile, pixels(), width * scale * scale * 3 * dtype.itemsize)
    for row, window in zip(rows, windows(strips, ((row.left, row.right) for row in rows)), strict=True):
        if row.start:
            give_back()  # blocks of many sizes and threads leave gaps, more with every row
        result = torch.empty(3, len(row) * scale, width * scale, dtype=dtype)
        tiles = [(row, column) for column in reversed(columns)]
        while tiles:
            down, across = tiles.pop()
            longest = max(len(down), len(across))
            if longest > _round_up(side):
                tiles += [(a, b) for a in down.cut(side, pixels())[::-1] for b in across.cut(side, pixels())[::-1]]
                continue
            part = window[:, down.left - row.left : down.right - row.left, across.left : across.right]
            try:
                core = _core(model, part.unsqueeze(0).to(weight) / PEAKS.get(part.dtype, 1), down, across, scale)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if longest <= STEP:
                    raise torch.OutOfMemoryError("not enough memory for the smallest tile") from error
                side = longest // 2
                tiles.append((down, across))
                continue
            left = across.start * scale
            _write(core, result[:, (down.start - row.start) * scale :, left : left + core.shape[2]])
            if advance is not None:
                advance(len(down) * len(across))
        yield result


def _grid(height: int, width: int, tile: int, overlap: int, row_bytes: int) -> tuple[list[Span], list[Span], int]:
    """Cut both axes; return the longest side of a tile as well. A row of LR pixels takes `row_bytes` as SR."""
    few = max(ROW_BYTES // row_bytes, WORTHWHILE * overlap, STEP)
    low = min(tile, few)
    side = (tile + 2 * overlap) ** 2 // (low + 2 * overlap) - 2 * overlap  # of low tiles, the width
    return spans(height, low, overlap), spans(width, side, overlap), side


def _core(model: Callable[[Tensor], Tensor], part: Tensor, down: Span, across: Span, scale: int) -> Tensor:
    """Run `model` on a tile and its surroundings, (1, 3, h, w), and return what is kept, (3, ...)."""
    output = model(part)
    if output.shape != (1, 3, part.shape[2] * scale, part.shape[3] * scale):
        raise ModelError(
            f"the model made {tuple(output.shape[1:])} of {tuple(part.shape[1:])}; it is not for scale {scale} and RGB"
        )
    rows = slice((down.start - down.left) * scale, (down.stop - down.left) * scale)
    columns = slice((across.start - across.left) * scale, (across.stop - across.left) * scale)
    core = output[0, :, rows, columns]
    if not torch.stack(core.aminmax()).isfinite().all():  # one look at every value; core.isfinite() takes ten
        raise ModelError("the model's output is not a number (NaN or infinite); its weights may be damaged")
    return core


def _write(core: Tensor, result: Tensor) -> None:
    """Put (3, h, w) into the first rows of a strip, in its type; some rows at a time, which the processor keeps."""
    for rows, place in zip(core.split(_ROWS, dim=1), result[:, : core.shape[1]].split(_ROWS, dim=1), strict=True):
        if result.dtype in PEAKS:
            rows = rows.clamp(0, 1).mul_(PEAKS[result.dtype]).add_(0.5)
        place.copy_(rows)


@torch.inference_mode()
def measure_overlap(model: nn.Module, scale: int, *, tolerance: float = TOLERANCE, limit: int = LIMIT) -> Overlap:
    """Find how far into a tile its cut edges are felt.

    A strip of a made-up picture is upscaled with and without its first pixels, a white part; beyond the returned
    number of pixels the two agree to within `tolerance` (in [0, 1]), across and down. That is what tiles do to a
    picture, so it holds for zero padding, for biases and for the nominally huge receptive fields (350 pixels for RRDB)
    of which next to nothing is used. Models that look at the whole picture, whose brightness the white part changes,
    need more than `limit`: then `sufficient` is False.
    """
    weight = _weight(model)
    strip = made_up_picture(64, limit + CUT + STEP).to(weight)
    strip[..., :CUT] = 1
    needed = 0
    for probe in (strip, strip.transpose(-1, -2)):
        whole, cut = model(probe), model(_without_first(probe))
        difference = (whole[..., -cut.shape[-2] :, -cut.shape[-1] :] - cut).abs().amax(dim=(0, 1))
        along = difference.amax(dim=int(probe.shape[-2] > probe.shape[-1]))
        felt = (along > tolerance).nonzero()
        if len(felt):
            needed = max(needed, math.ceil((int(felt[-1]) + 1) / scale))
    return Overlap(min(_round_up(needed), limit), needed <= limit)


def _weight(model: Callable[[Tensor], Tensor]) -> Tensor:
    """Return what a model's input must be like; engines take float32 on the CPU."""
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    return next(parameters, torch.empty(0, dtype=torch.float32))


def _without_first(probe: Tensor) -> Tensor:
    """`probe` less its first CUT pixels along its longer side."""
    longer = -2 if probe.shape[-2] > probe.shape[-1] else -1
    return probe.narrow(longer, CUT, probe.shape[longer] - CUT)


def made_up_picture(height: int, width: int) -> Tensor:
    """Noise at several sizes, (1, 3, height, width) in [0, 1], always the same: edges, flat parts and fine texture."""
    generator = torch.Generator().manual_seed(0)
    layers = [resize(torch.rand(1, 3, height // size, width // size, generator=generator), size) for size in (1, 4, 16)]
    return torch.stack(layers).mean(dim=0).sub(0.5).mul(1.7).add(0.5).clamp(0, 1)


def _round_up(pixels: int) -> int:
    return math.ceil(pixels / STEP) * STEP
