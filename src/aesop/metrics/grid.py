"""The grid that a network prints: energy at the frequencies of period s, the scale, over that of their neighbours.

A pixel shuffle can print one pattern of s x s pixels at every LR pixel, and a short GAN training takes that for
texture. It shows on flat parts; PSNR and perceptual distances hardly see it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aesop.errors import DataError
from aesop.metrics.metric import Metric, Sample
from aesop.metrics.protocol import eight_bit, require_sides

#: Periods of the grid in a square, so that its frequencies lie on multiples of this one.
PERIODS = 32
#: Distance of the neighbours in frequency: beyond the Hann window's main lobe, near enough to have a picture's energy.
OFFSET = 3
#: Neighbours of less energy, in squared levels, belong to a flat square: rounding error alone.
FLAT = 1e-9


def grey_levels(images: Tensor) -> Tensor:
    """Grey (BT.601) of images (N, 3, H, W) in [0, 1] after rounding to 8 bit: (N, H, W) float64 in 0..255."""
    levels = eight_bit(images)
    return torch.einsum("nchw,c->nhw", levels, levels.new_tensor([0.299, 0.587, 0.114]))


def grid(images: Tensor, scale: int) -> Tensor:
    """Grid energy of images (N, 3, H, W) in [0, 1], rounded to 8 bit; (N,) float64 in dB, 0 where there is no grid.

    Of every square of 32s x 32s pixels, side by side from the top left corner, the energy of its grey values under a
    Hann window at all multiples of 1/s in either direction is divided by the mean energy of the eight frequencies at 3
    steps from each. An image's value is the median over its squares. Photographs have about -1 dB.

    Raises DataError where an image has no such square or is flat.
    """
    side = PERIODS * scale
    require_sides(images, side, f"the grid metric at scale {scale}")
    grey = grey_levels(images)
    squares = grey.unfold(1, side, side).unfold(2, side, side).flatten(1, 2)
    window = torch.hann_window(side, dtype=torch.float64, device=grey.device)
    windowed = (squares - squares.mean(dim=(2, 3), keepdim=True)) * window * window[:, None]
    energy = torch.fft.fft2(windowed, norm="ortho").abs().square()
    steps = [(dy, dx) for dy in (-OFFSET, 0, OFFSET) for dx in (-OFFSET, 0, OFFSET) if dy or dx]
    on = _beside_grid(energy, 0, 0)
    beside = torch.stack([_beside_grid(energy, *step) for step in steps]).mean(dim=0)
    on, beside = (values.sum(dim=(2, 3)) - values[..., 0, 0] for values in (on, beside))
    ratio = torch.where(beside > FLAT, on / beside, torch.nan)
    if ratio.isnan().all(dim=1).any():
        raise DataError("the grid metric needs a picture that is not flat")
    return 10 * ratio.nanquantile(0.5, dim=1).log10()


def _beside_grid(energy: Tensor, dy: int, dx: int) -> Tensor:
    """Return entries of (N, squares, side, side) that lie (dy, dx) from the grid's frequencies, the mean's first."""
    side = energy.shape[-1]
    multiples = torch.arange(0, side, PERIODS, device=energy.device)
    return energy[..., ((multiples + dy) % side)[:, None], (multiples + dx) % side]


class Grid(Metric):
    """`grid` of SR."""

    name, title = "grid", "Grid"
    higher_is_better = False
    unit, digits = "dB", 1
    needs_hr = False
    protocol = "energy of period s over its neighbours', on rounded grey; photographs have about -1 dB (`grid-hr`)"

    def measure(self, sample: Sample) -> float:
        return grid(sample.sr, sample.scale).item()


class HRGrid(Grid):
    """`grid` of HR, the same for every model."""

    name, title = "grid-hr", "Grid(HR)"
    higher_is_better = None
    needs_hr = True
    by_default = False
    protocol = "the grid of HR, which has none"

    def measure(self, sample: Sample) -> float:
        return grid(sample.hr, sample.scale).item()
