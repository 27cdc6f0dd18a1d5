"""Pictures larger than memory, tile by tile, with the result that the whole picture would give.

Tiles overlap by as much as a model sees of its surroundings; what overlaps is computed twice and used once, so there
is nothing to blend and no seam. How much that is, `measure_overlap` finds out by trying.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aesop.data.bicubic import resize
from aesop.errors import AesopError, ModelError

#: Tiles begin and end at multiples of this many pixels (or at the picture's border), so that networks with windows of
#: 8 or 16 pixels, or that unshuffle by 2 or 4, cut a tile up just as they cut up the whole picture.
STEP = 16
#: A tile's side where none is asked for, and the number of pixels up to which a picture is then left whole: with the
#: paper's RRDB at x4, some 4 GB.
DEFAULT_TILE = 384
WHOLE_PIXELS = 512 * 512
#: The widest overlap that `measure_overlap` tries.
LIMIT = 128
#: How much of its made-up picture it takes away.
CUT = 2 * STEP
#: A quarter of an 8-bit level: rounding then hides the difference, but for pixels that lie between two levels anyway.
TOLERANCE = 0.25 / 255
#: The level that stands for 1 in types of whole numbers.
PEAKS = {torch.uint8: 255, torch.uint16: 65535}


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


def spans(length: int, tile: int, overlap: int) -> list[Span]:
    """Cut an axis of `length` pixels into equal parts of at most `tile`, each with `overlap` more on either side."""
    count = math.ceil(length / _round_up(tile))
    size = _round_up(math.ceil(length / count))
    overlap = _round_up(overlap)
    return [
        Span(start, min(start + size, length), max(start - overlap, 0), min(start + size + overlap, length))
        for start in range(0, length, size)
    ]


class Upscaler:
    """A model that takes pictures of any size: whole where they are small, else in tiles.

    `tile` is a tile's side in LR pixels, None for DEFAULT_TILE where a picture is too large to be run whole. The
    overlap is measured once, before the first picture that is cut up. `engine` is what runs the model: itself, unless
    another is set.
    """

    def __init__(self, model: nn.Module, scale: int, tile: int | None = None) -> None:
        if tile is not None and tile < STEP:
            raise AesopError(f"--tile {tile} is too small; take {STEP} or more (256 is usual).")
        self.model = model
        self.scale = scale
        self.tile = tile
        self.engine: Callable[[Tensor], Tensor] = model
        self._overlap: Overlap | None = None

    @property
    def seams(self) -> bool:
        """Whether pictures were cut up that should not have been, for lack of a sufficient overlap."""
        return self._overlap is not None and not self._overlap.sufficient

    @property
    def overlap(self) -> Overlap:
        """What tiles of this model overlap by."""
        if self._overlap is None:
            self._overlap = measure_overlap(self.model, self.scale)
        return self._overlap

    def needs_tiles(self, height: int, width: int) -> bool:
        """Whether an LR picture of that size is cut up."""
        if self.tile is None:
            return height * width > WHOLE_PIXELS
        return max(height, width) > _round_up(self.tile)

    def __call__(
        self,
        picture: Tensor,
        advance: Callable[[int, int], None] | None = None,
        *,
        dtype: torch.dtype = torch.uint8,
    ) -> Tensor:
        """Upscale a picture, (3, h, w), to (3, scale*h, scale*w); types and errors are those of `upscale_tiled`."""
        height, width = picture.shape[-2:]
        tile, overlap = max(height, width), 0
        if self.needs_tiles(height, width):
            tile, overlap = self.tile or DEFAULT_TILE, self.overlap.pixels
        return upscale_tiled(self.engine, picture, self.scale, tile=tile, overlap=overlap, dtype=dtype, advance=advance)


@torch.inference_mode()
def upscale_tiled(
    model: Callable[[Tensor], Tensor],
    image: Tensor,
    scale: int,
    *,
    tile: int,
    overlap: int,
    dtype: torch.dtype = torch.float32,
    advance: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Run `model`, or an engine of one, on `image`, (3, h, w) on the CPU, tile by tile; returns (3, scale*h, scale*w).

    `image` is floating point in [0, 1], or uint8 or uint16, which become floating point one tile at a time.

    Only a tile (`tile` pixels a side and `overlap` more all around, both rounded up to multiples of STEP) is ever on
    the model's device. The result is float32, not clamped; with `dtype` uint8 or uint16 it is clamped and rounded
    to levels, which takes less memory. Where `overlap` reaches as far as the model sees, it is the whole picture's
    result, since tiles end where the picture does. `advance(done, tiles)` is called after every tile.

    Raises ModelError where the model's output has another size than its scale promises, or is not a number.
    """
    weight = _weight(model)
    height, width = image.shape[-2:]
    result = torch.empty(3, height * scale, width * scale, dtype=dtype)
    tiles = [(row, column) for row in spans(height, tile, overlap) for column in spans(width, tile, overlap)]
    for done, (row, column) in enumerate(tiles, 1):
        part = image[:, row.left : row.right, column.left : column.right]
        output = model(part.unsqueeze(0).to(weight) / PEAKS.get(part.dtype, 1))
        if output.shape != (1, 3, part.shape[1] * scale, part.shape[2] * scale):
            raise ModelError(
                f"the model made {tuple(output.shape)} of {tuple(part.shape)}; it is not for scale {scale} and RGB"
            )
        core = output[
            0,
            :,
            (row.start - row.left) * scale : (row.stop - row.left) * scale,
            (column.start - column.left) * scale : (column.stop - column.left) * scale,
        ]
        if not core.isfinite().all():
            raise ModelError("the model's output is not a number (NaN or infinite); its weights may be damaged")
        if dtype in PEAKS:
            core = core.clamp(0, 1).mul(PEAKS[dtype]).add(0.5)
        result[:, row.start * scale : row.stop * scale, column.start * scale : column.stop * scale] = core.to(dtype)
        if advance is not None:
            advance(done, len(tiles))
    return result


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
