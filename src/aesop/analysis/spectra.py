"""Spectral magnitudes of a picture, of what the auto-encoder keeps of it and of what a low-pass filter keeps.

Figures 6 and 19: a low-pass filter removes all high frequencies alike, the auto-encoder only those that regression
cannot tell. Where the two differ, |AE(y) - g * y|, are the edges of objects: regressable high frequencies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from aesop.analysis.drawing import brightest, drawn, show
from aesop.analysis.models import fidelity_bias
from aesop.errors import DataError
from aesop.losses.low_pass import LowPassLoss
from aesop.metrics.luma import luma


@dataclass(frozen=True)
class View:
    """An image, (3, H, W) in [0, 1], its log spectrum, (H, W) as of `log_spectrum`, and what it `reproduced` of y."""

    image: Tensor
    spectrum: Tensor
    reproduced: float


@dataclass(frozen=True)
class Spectra:
    """A picture y, AE(y) and g * y."""

    picture: View
    autoencoded: View
    low_passed: View

    @property
    def difference(self) -> Tensor:
        """|AE(y) - g * y|, (3, H, W): the high frequencies that the auto-encoder keeps and the filter does not."""
        return (self.autoencoded.image - self.low_passed.image).abs()

    @property
    def spectral_difference(self) -> Tensor:
        """The log spectrum of AE(y) less that of g * y, (H, W)."""
        return self.autoencoded.spectrum - self.low_passed.spectrum


def log_spectrum(image: Tensor) -> Tensor:
    """log(1 + |F|) of the luma of an image.

    F is the discrete Fourier transform, not normalised, of Y in 16..235 (BT.601, not rounded).

    Args:
        image: (3, H, W) in [0, 1].

    Returns:
        (H, W) float64, natural logarithm, the zero frequency at [H // 2, W // 2].

    """
    return torch.fft.fftshift(torch.fft.fft2(_luma(image)).abs().log1p())


def high_energy(image: Tensor, scale: int) -> float:
    """Sum of |F|^2 over the frequencies that an LR image cannot hold: beyond 1 / (2 * scale) in either direction.

    Args:
        image: (3, H, W), in [0, 1] or a difference of such.
        scale: HR size over LR size.

    """
    power = torch.fft.fft2(_luma(image)).abs().square()
    rows, columns = (torch.fft.fftfreq(length, dtype=torch.float64).abs() for length in power.shape)
    beyond = (rows[:, None] > 0.5 / scale) | (columns[None, :] > 0.5 / scale)
    return float(power[beyond].sum())


def reproduced(image: Tensor, picture: Tensor, scale: int) -> float:
    """Return the share of a picture's energy beyond LR's band that an image has, in the right place.

        1 - high_energy(image - picture) / high_energy(picture)

    Mere energy would not do: what a decoder makes up counts against it here. 1 is all; below 0 it did more harm than
    good. A picture without such energy gives NaN.

    Args:
        image: (3, H, W) in [0, 1].
        picture: the same, that it is compared with.
        scale: HR size over LR size.

    """
    whole = high_energy(picture, scale)
    return 1 - high_energy(image - picture, scale) / whole if whole else math.nan


def low_passed(image: Tensor, sigma: float) -> Tensor:
    """g * y with the Gaussian of the low-pass loss (table 5b), borders reflected: (3, H, W) to the same.

    Raises:
        DataError: if the image is smaller than the Gaussian.

    """
    loss = LowPassLoss(sigma)
    if min(image.shape[-2:]) <= len(loss.taps) // 2:
        raise DataError(f"a picture of {image.shape[-1]}x{image.shape[-2]} pixels is too small for sigma {sigma:g}")
    return loss.blur(image.unsqueeze(0))[0]


def spectra(picture: Tensor, autoencoder: nn.Module, scale: int, sigma: float = 1.5) -> Spectra:
    """Compare what an auto-encoder and a low-pass filter keep of a picture.

    Args:
        picture: (3, H, W) in [0, 1], H and W multiples of `scale`.
        autoencoder: maps (N, 3, H, W) to the same.
        scale: of the auto-encoder.
        sigma: standard deviation of the Gaussian in pixels; 1.5 is the low-pass recipe's.

    Raises:
        DataError: if the picture is smaller than the Gaussian.

    """
    images = (picture, fidelity_bias(autoencoder, picture), low_passed(picture, sigma))
    return Spectra(*(View(image, log_spectrum(image), reproduced(image, picture, scale)) for image in images))


def draw_spectra(found: Spectra, path: Path) -> None:
    """Draw the pictures above their spectra, all spectra in one range; raises as `drawn` does."""
    height, width = found.picture.image.shape[-2:]
    difference = found.difference.mean(0)
    views = (found.picture, found.autoencoded, found.low_passed)
    titles = ("picture y", "auto-encoded AE(y)", "low-passed g * y")
    notes = ["log(1 + |F|)", *(f"has {view.reproduced:.1%} of y beyond LR's band" for view in views[1:])]
    highest = float(found.picture.spectrum.max())
    with drawn(path, 12, 1 + 6 * height / width) as figure:
        axes = figure.subplots(2, 4)
        drawings = []
        for column, (view, title, note) in enumerate(zip(views, titles, notes, strict=True)):
            show(axes[0, column], view.image, title)
            drawings.append(show(axes[1, column], view.spectrum, note, highest=highest, map="inferno"))
        figure.colorbar(drawings[0], ax=list(axes[1, :3]), location="bottom", shrink=0.5, aspect=50)
        show(axes[0, 3], difference, "|AE(y) - g * y|", highest=brightest(difference))
        reach = float(found.spectral_difference.abs().max())
        drawing = show(
            axes[1, 3], found.spectral_difference, "AE(y) less g * y", lowest=-reach, highest=reach, map="RdBu_r"
        )
        figure.colorbar(drawing, ax=axes[1, 3], location="bottom", aspect=25)


def _luma(image: Tensor) -> Tensor:
    return luma(image.double().unsqueeze(0) * 255)[0, 0]
