"""Spectra of a picture, of what the auto-encoder keeps of it and of what a low-pass filter keeps (figures 6 and 19).

The filter removes all high frequencies alike, the auto-encoder only those that regression cannot tell. Where the two
differ, |AE(y) - g * y|, are the edges of objects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aesop.analysis.drawing import brightest, drawn, show, shrunk
from aesop.autoencoder import AutoEncoder
from aesop.data.pairs import Pair
from aesop.data.pictures import to_float
from aesop.device import choose_device
from aesop.errors import DataError
from aesop.losses.low_pass import LowPassLoss
from aesop.metrics.metric import auto_encoded
from aesop.metrics.protocol import luma
from aesop.metrics.psnr import psnr
from aesop.metrics.spectrum import hann_window


@dataclass(frozen=True)
class View:
    """An image made from a picture y, (3, H, W) in [0, 1], with its `log_spectrum`.

    `reproduced` is the part of y's energy beyond LR's band that it has, `psnr` its PSNR against y in dB.
    """

    image: Tensor
    spectrum: Tensor
    reproduced: float
    psnr: float


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

    def summary(self) -> list[str]:
        """Say in words what AE and filter keep."""
        text = "of what the picture has beyond LR's band, the {} keeps {:.1%} (PSNR {:.2f} dB)"
        views = {"auto-encoder": self.autoencoded, "low-pass filter": self.low_passed}
        lines = [text.format(title, view.reproduced, view.psnr) for title, view in views.items()]
        if self.autoencoded.reproduced < self.low_passed.reproduced:
            reason = "it is trained too little, or for pictures of another kind"
            lines.append(f"the auto-encoder keeps less than the filter: {reason}")
        return lines


def log_spectrum(image: Tensor) -> Tensor:
    """log(1 + |F|) of the luma of an image (3, H, W) in [0, 1]: (H, W) float64, zero frequency at [H // 2, W // 2].

    F is the unnormalised discrete Fourier transform of Y in 16..235, less its mean, under a Hann window along either
    axis. Without a window, the step from one border to the opposite one covers both axes of the spectrum. The window
    has a mean square of 1, so that noise keeps its energy.
    """
    return torch.fft.fftshift(_transform(image).abs().log1p())


def high_energy(image: Tensor, scale: int) -> float:
    """Sum of |F|^2, F as of `log_spectrum`, over the frequencies beyond LR's: 1 / (2 * scale) in either direction."""
    power = _transform(image).abs().square()
    rows, columns = (torch.fft.fftfreq(length, dtype=torch.float64).abs() for length in power.shape)
    return float(power[(rows[:, None] > 0.5 / scale) | (columns > 0.5 / scale)].sum())


def reproduced(image: Tensor, picture: Tensor, scale: int) -> float:
    """1 - high_energy(image - picture) / high_energy(picture): what an image has of a picture's, in the right place.

    What a decoder makes up counts against it: 1 is all, below 0 more harm than good, NaN without such energy.
    """
    whole = high_energy(picture, scale)
    return 1 - high_energy(image - picture, scale) / whole if whole else math.nan


def low_passed(image: Tensor, sigma: float) -> Tensor:
    """g * y with the Gaussian of the low-pass loss (table 5b), borders reflected: (3, H, W) to the same.

    Raises DataError if the image is smaller than the Gaussian.
    """
    loss = LowPassLoss(sigma)
    if min(image.shape[-2:]) <= len(loss.taps) // 2:
        raise DataError(f"a picture of {image.shape[-1]}x{image.shape[-2]} pixels is too small for sigma {sigma:g}")
    return loss.blur(image.unsqueeze(0))[0]


def compare_spectra(picture: Tensor, autoencoder: nn.Module, scale: int, sigma: float = 1.5) -> Spectra:
    """Compare what an auto-encoder and a low-pass filter keep of a picture, (3, H, W) in [0, 1].

    H and W are multiples of the auto-encoder's `scale`; `sigma` is the Gaussian's, in pixels. Raises as `low_passed`.
    """

    def view(image: Tensor) -> View:
        similarity = float(psnr(image.unsqueeze(0), picture.unsqueeze(0), scale))
        return View(image, log_spectrum(image), reproduced(image, picture, scale), similarity)

    blurred = low_passed(picture, sigma)
    return Spectra(view(picture), view(auto_encoded(autoencoder, picture[None])[0]), view(blurred))


def measure_spectra(
    picture: Path | str, autoencoder: Path | str, *, sigma: float = 1.5, device: str = "auto"
) -> Spectra:
    """`compare_spectra` of files: an HR picture, and an auto-encoder or a run with one; raises AesopError."""
    picture = Path(picture)
    network = AutoEncoder.load(autoencoder).to(choose_device(device))
    hr, _ = Pair(picture.name, picture).read(network.scale)
    return compare_spectra(to_float(hr), network, network.scale, sigma)


def draw_spectra(found: Spectra, path: Path | str) -> None:
    """Draw the pictures above their spectra, all spectra in one range; raises as `drawn` does."""
    from matplotlib.colors import Normalize

    height, width = found.picture.image.shape[-2:]
    views = (found.picture, found.autoencoded, found.low_passed)
    titles = ("picture $y$", "auto-encoded $AE(y)$", "low-passed $g * y$")
    notes = [f"log spectrum, {view.reproduced:.1%} of $y$'s beyond LR's band" for view in views]
    notes[0] = "log spectrum of $y$"
    with drawn(path, 10, 0.9 + 5 * height / width) as figure:
        axes = figure.subplots(2, 4)
        shades = Normalize(0, float(found.picture.spectrum.max()))
        drawing: Any = None
        for column, (view, title, note) in enumerate(zip(views, titles, notes, strict=True)):
            show(axes[0, column], shrunk(view.image, 2.5), title)
            drawing = show(axes[1, column], shrunk(view.spectrum, 2.5), note, map="inferno", norm=shades)
        label = "log(1 + |F|), natural logarithm, the zero frequency in the middle"
        figure.colorbar(drawing, ax=list(axes[1, :3]), location="bottom", shrink=0.5, aspect=50, label=label)
        difference = found.difference.mean(0)
        title = f"$|AE(y) - g * y|$, white: {brightest(difference):.3f}"
        show(axes[0, 3], shrunk(difference, 2.5), title, norm=Normalize(0, brightest(difference)))
        reach = brightest(found.spectral_difference.abs())
        title, norm = "log spectrum of $AE(y)$ less that of $g * y$", Normalize(-reach, reach)
        drawing = show(axes[1, 3], shrunk(found.spectral_difference, 2.5), title, map="RdBu_r", norm=norm)
        label = "red: $AE(y)$ has more"
        figure.colorbar(drawing, ax=axes[1, 3], location="bottom", aspect=25, label=label, extend="both")


def _transform(image: Tensor) -> Tensor:
    """F of `log_spectrum`, (H, W) complex."""
    levels = luma(image.double().unsqueeze(0) * 255)[0, 0]
    window = hann_window(levels)
    mean = (levels * window).sum() / window.sum()
    return torch.fft.fft2((levels - mean) * window)
