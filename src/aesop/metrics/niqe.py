"""NIQE (Mittal et al. 2013): how far a picture's local statistics lie from those of pristine photographs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from aesop.data.bicubic import resize
from aesop.errors import DataError
from aesop.metrics.metric import Metric, Sample
from aesop.metrics.protocol import eight_bit
from aesop.metrics.ssim import smoothed

#: Side of the blocks whose statistics are taken, at full size.
BLOCK = 96
#: Side and standard deviation of the window that local mean and contrast are taken with.
WINDOW, SIGMA = 7, 7 / 6
#: Neighbours whose products with a pixel are looked at: right, below and both diagonals.
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
#: Shape parameters that a distribution may be found to have.
SHAPES = torch.arange(200, 10_001, dtype=torch.float64) / 1000
#: E[|x|]^2 / E[x^2] of a generalised Gaussian of each of them; increasing.
RATIOS = (2 * torch.lgamma(2 * (1 / SHAPES)) - torch.lgamma(1 / SHAPES) - torch.lgamma(3 * (1 / SHAPES))).exp()
#: Far above float64's rounding error on 0..255, far below what one level in the window's corner changes.
NOISE = 1e-10
#: The authors' model of pristine photographs; its origin and licence are in the file beside it.
PRISTINE = Path(__file__).with_name("niqe_pristine.npz")


@cache
def pristine() -> tuple[Tensor, Tensor]:
    """The model that every published NIQE is measured from: mean (36,) and covariance (36, 36), float64."""
    with np.load(PRISTINE) as model:
        return torch.from_numpy(model["mean"]), torch.from_numpy(model["covariance"])


def niqe(images: Tensor) -> Tensor:
    """NIQE of images (N, 3, H, W) in [0, 1], rounded to 8 bit; (N,) float64, 0 and more, less is better.

    The protocol of the authors' MATLAB code and of pyiqa: rounded grey, no border cropped, statistics of whole blocks
    of 96x96 pixels and of 48x48 after halving with MATLAB's bicubic. BasicSR's numbers (Y of 16..235, often cropped)
    differ by some tenths, and so do all implementations in flat areas, where others see their own rounding error.

    Raises DataError where an image has fewer than two blocks that are not flat.
    """
    red, green, blue = eight_bit(images).cpu().unbind(dim=1)
    # In thousandths, which are whole: no rounding error decides which way a half goes.
    grey = ((299 * red + 587 * green + 114 * blue + 500) / 1000).floor()
    return torch.stack([unnaturalness(image) for image in grey])


def unnaturalness(grey: Tensor) -> Tensor:
    """Distance of the block statistics of a grey image (H, W), float64 in 0..255, from `pristine` ones; a scalar."""
    height, width = (size // BLOCK * BLOCK for size in grey.shape)
    image = grey[None, None, :height, :width]
    if image.numel() < 2 * BLOCK**2:
        size = f"{grey.shape[1]}x{grey.shape[0]}"
        raise DataError(f"NIQE needs two blocks of {BLOCK}x{BLOCK} pixels; this picture has {size} pixels")
    halves = resize(image, 0.5)
    features = torch.cat([_statistics(image, BLOCK), _statistics(halves, BLOCK // 2)], dim=1)
    whole = features[~features.isnan().any(dim=1)]
    if len(whole) < 2:
        raise DataError(f"NIQE needs two blocks of {BLOCK}x{BLOCK} pixels that are not flat; this picture has fewer")
    mean, covariance = pristine()
    difference = mean - features.nanmean(dim=0)
    inverse = torch.linalg.pinv((covariance + whole.T.cov()) / 2, hermitian=True)
    return (difference @ inverse @ difference).sqrt()


def _statistics(image: Tensor, block: int) -> Tensor:
    """The 18 statistics of every block of (1, 1, H, W): (blocks, 18), NaN where a block is flat."""
    mean = _smooth(image)
    contrast = (_smooth(image.square()) - mean.square()).abs().sqrt()
    deviation = image - mean
    # In a flat area the exact value is 0. What rounding leaves there would count as left or right by its mere sign.
    deviation = deviation.where(deviation.abs() > NOISE, 0)
    normalised = (deviation / (contrast + 1))[0, 0]
    blocks = normalised.unfold(0, block, block).unfold(1, block, block).reshape(-1, block, block)

    shape, left, right = _fit(blocks)
    found = [shape, (left + right) / 2]
    for neighbour in NEIGHBOURS:
        shape, left, right = _fit(blocks * blocks.roll(neighbour, dims=(1, 2)))
        mean = (right - left) * (torch.lgamma(2 / shape) - torch.lgamma(1 / shape)).exp()
        found += [shape, mean, left, right]
    return torch.stack(found, dim=1)


def _smooth(image: Tensor) -> Tensor:
    """(1, 1, H, W) under the Gaussian window, borders repeated."""
    return smoothed(F.pad(image, [WINDOW // 2] * 4, mode="replicate"), WINDOW, SIGMA)


def _fit(blocks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Shape, left and right scale of the asymmetric generalised Gaussian that fits each of (N, h, w) by its moments."""
    values = blocks.flatten(1)
    left, right = ((values.square() * side).sum(dim=1).div(side.sum(dim=1)).sqrt() for side in (values < 0, values > 0))
    skew = left / right
    ratio = values.abs().mean(dim=1).square() / values.square().mean(dim=1)
    ratio = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2

    above = torch.searchsorted(RATIOS, ratio).clamp(1, len(RATIOS) - 1)
    nearest = above - (ratio - RATIOS[above - 1] <= RATIOS[above] - ratio).long()
    shape = SHAPES[nearest.where(~ratio.isnan(), 0)]
    scale = ((torch.lgamma(1 / shape) - torch.lgamma(3 / shape)) / 2).exp()
    return shape, left * scale, right * scale


class NIQE(Metric):
    """`niqe` of a picture."""

    name, title = "niqe", "NIQE"
    higher_is_better = False
    needs_hr = False
    protocol = "needs no HR; on rounded grey levels, no border cropped"

    def measure(self, sample: Sample) -> float:
        return niqe(sample.sr).item()
