"""Where in a picture each fidelity loss penalises (figures 3 and 8).

The pixel loss penalises textures like wrong edges; the AESOP loss leaves alone what the auto-encoder removes. A
high-pass loss, with which AESOP's maps could be confused, penalises textures most of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aesop.analysis.drawing import brightest, drawn, show, shrunk
from aesop.analysis.spectra import low_passed
from aesop.autoencoder import AutoEncoder
from aesop.data.bicubic import resize
from aesop.data.pairs import Pair
from aesop.data.pictures import to_float
from aesop.device import choose_device
from aesop.errors import ModelError
from aesop.evaluation.model_names import BICUBIC
from aesop.metrics.metric import auto_encoded
from aesop.networks.loading import load_generator
from aesop.upscaling.tiles import Upscaler

#: Losses are drawn by this power of theirs: the AESOP loss would be all black in the pixel loss's range.
POWER = 0.5


@dataclass(frozen=True)
class ModelLossMaps:
    """An SR image and its fidelity bias AE(SR), (3, H, W), and the losses of every pixel, (H, W).

    A map's mean is the loss: of |SR - HR|, of `AESOPLoss` and of |(SR - HR) - g * (SR - HR)|.
    """

    sr: Tensor
    sr_bias: Tensor
    pixel: Tensor
    aesop: Tensor
    high_pass: Tensor


@dataclass(frozen=True)
class LossMaps:
    """An HR picture and its fidelity bias AE(HR), (3, H, W) in [0, 1], and the maps of models by title."""

    hr: Tensor
    hr_bias: Tensor
    models: dict[str, ModelLossMaps]

    def summary(self) -> list[str]:
        """Each model's losses, in words."""
        text = "{}: pixel {:.5f}, AESOP {:.5f}, high-pass {:.5f}"
        return [
            text.format(title, maps.pixel.mean(), maps.aesop.mean(), maps.high_pass.mean())
            for title, maps in self.models.items()
        ]


def loss_maps(sr: Tensor, hr: Tensor, autoencoder: nn.Module, *, sigma: float = 1.5) -> ModelLossMaps:
    """Losses of every pixel of an SR image, (3, H, W) as the generator made it, neither rounded nor clamped.

    `hr` is (3, H, W) in [0, 1], H and W multiples of the auto-encoder's scale; `sigma` is that of the Gaussian whose
    complement is the high-pass filter, in pixels. Raises DataError if the images are smaller than the Gaussian.
    """
    seen, error = sr.clamp(0, 1), sr - hr
    sr_bias, hr_bias = (auto_encoded(autoencoder, image[None])[0] for image in (seen, hr))
    aesop = (sr_bias - hr_bias).abs().mean(0) + (sr - seen).abs().mean(0)
    high_pass = (error - low_passed(error, sigma)).abs().mean(0)
    return ModelLossMaps(sr, sr_bias, error.abs().mean(0), aesop, high_pass)


def measure_loss_maps(
    picture: Path | str,
    models: Mapping[str, Path | str],
    autoencoder: Path | str,
    *,
    lr: Path | str | None = None,
    sigma: float = 1.5,
    device: str = "auto",
) -> LossMaps:
    """Upscale an HR picture's LR (made, if there is no file of it) by every model and map its losses.

    `models` are by title: `bicubic`, model files or run folders, of the auto-encoder's scale. Raises AesopError where
    a file cannot be read, a model is of another scale or its output is not a number.
    """
    picture, chosen = Path(picture), choose_device(device)
    network = AutoEncoder.load(autoencoder).to(chosen)
    pixels, low = Pair(picture.name, picture, None if lr is None else Path(lr)).read(network.scale)
    hr = to_float(pixels)
    sr = {title: generated(model, low, network.scale, chosen) for title, model in models.items()}
    maps = {title: loss_maps(image, hr, network, sigma=sigma) for title, image in sr.items()}
    return LossMaps(hr, auto_encoded(network, hr[None])[0], maps)


def generated(model: Path | str, lr: Tensor, scale: int, device: torch.device | str = "cpu") -> Tensor:
    """Upscale uint8 (3, h, w) by a model or `bicubic` to what a loss sees: float32, neither rounded nor clamped."""
    if model == BICUBIC:
        return resize(to_float(lr), scale)
    loaded = load_generator(model)
    if loaded.scale != scale:
        raise ModelError(f"{model}: is for scale {loaded.scale}, not {scale}; name one of scale {scale}.")
    return Upscaler(loaded.model.to(device), scale)(lr, dtype=torch.float32)


def draw_loss_maps(found: LossMaps, path: Path | str) -> None:
    """Draw HR and below it a row a model: image, fidelity bias, what AE removes, and the losses, all in one range."""
    from matplotlib.colors import PowerNorm

    height, width = found.hr.shape[-2:]
    panel, rows = 1.7, len(found.models) + 1
    highest = max(brightest(maps.pixel) for maps in found.models.values())
    with drawn(path, 6 * panel, (0.34 + panel * height / width) * rows) as figure:
        axes = figure.subplots(rows, 6, squeeze=False)

        def draw(axis: Any, values: Tensor, title: str) -> Any:
            title, shades = f"{title}\n{float(values.mean()):.4f}", PowerNorm(POWER, 0, highest, clip=True)
            return show(axis, shrunk(values, panel), title, map="inferno", norm=shades)

        drawing: Any = None
        images = {"HR": (found.hr, found.hr_bias)}
        images |= {title: (maps.sr.clamp(0, 1), maps.sr_bias) for title, maps in found.models.items()}
        for row, (title, (image, bias)) in zip(axes, images.items(), strict=True):
            short = "HR" if image is found.hr else "SR"
            show(row[0], shrunk(image, panel), title)
            show(row[1], shrunk(bias, panel), f"fidelity bias $AE({short})$")
            drawing = draw(row[2], (image - bias).abs().mean(0), f"variance $|{short} - AE({short})|$")
        for row, maps in zip(axes[1:], found.models.values(), strict=True):
            draw(row[3], maps.pixel, "pixel loss $|SR - HR|$")
            draw(row[4], maps.aesop, "AESOP loss $|AE(SR) - AE(HR)|$")
            draw(row[5], maps.high_pass, "high-pass loss")
        # HR has no losses: there is room for what explains the colours.
        for axis in axes[0, 3:]:
            axis.remove()
        room = figure.add_subplot(axes[0, 0].get_gridspec()[0, 3:])
        room.set_axis_off()
        bar = room.inset_axes((0.15, 0.5, 0.7, 0.08))
        even = [highest * (quarter / 4) ** (1 / POWER) for quarter in range(5)]
        figure.colorbar(drawing, cax=bar, orientation="horizontal", extend="max", ticks=even, format="%.3f")
        bar.set_title("value of a pixel, in one range for all maps\n(brightness is its square root)", fontsize=7.5)
