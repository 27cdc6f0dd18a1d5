"""Where in a picture each fidelity loss penalises (figures 3 and 8).

The pixel loss penalises textures, which no regression can tell, as it penalises a wrong edge; the AESOP loss leaves
what the auto-encoder removes alone. A high-pass loss, with which edges in AESOP's maps could be confused, penalises
textures most of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from aesop.analysis.drawing import brightest, drawn, show, shrunk
from aesop.analysis.models import Upscaling, fidelity_bias
from aesop.analysis.spectra import low_passed
from aesop.data.pictures import to_float

#: Losses are drawn by this power of theirs: the AESOP loss is several times smaller than the pixel loss, and would be
#: all black in the pixel loss's range.
POWER = 0.5


@dataclass(frozen=True)
class LossMaps:
    """An SR image and its fidelity bias AE(SR), (3, H, W), and the losses of every pixel, (H, W).

    A map is the mean over the channels, so that its mean is the loss: `pixel` that of |SR - HR|, `aesop` that of
    `AESOPLoss` (what SR exceeds [0, 1] by included), `high_pass` that of |(SR - HR) - g * (SR - HR)|.
    """

    sr: Tensor
    sr_bias: Tensor
    pixel: Tensor
    aesop: Tensor
    high_pass: Tensor


@dataclass(frozen=True)
class PictureLossMaps:
    """An HR picture and its fidelity bias AE(HR), (3, H, W) in [0, 1], and the maps of models by title."""

    hr: Tensor
    hr_bias: Tensor
    models: dict[str, LossMaps]

    def summary(self) -> list[str]:
        """Each model's losses, in words."""
        return [
            f"{title}: pixel {maps.pixel.mean():.5f}, AESOP {maps.aesop.mean():.5f}, "
            f"high-pass {maps.high_pass.mean():.5f}"
            for title, maps in self.models.items()
        ]


def loss_maps(
    sr: Tensor, hr: Tensor, autoencoder: nn.Module, *, hr_bias: Tensor | None = None, sigma: float = 1.5
) -> LossMaps:
    """Losses of every pixel of an SR image.

    Args:
        sr: (3, H, W), as the generator made it, neither rounded nor clamped.
        hr: (3, H, W) in [0, 1], H and W multiples of the auto-encoder's scale.
        autoencoder: maps (N, 3, H, W) to the same.
        hr_bias: AE(hr), where it is at hand.
        sigma: of the Gaussian whose complement is the high-pass filter, pixels.

    Raises:
        DataError: if the images are smaller than the Gaussian.

    """
    seen = sr.clamp(0, 1)
    sr_bias = fidelity_bias(autoencoder, seen)
    hr_bias = fidelity_bias(autoencoder, hr) if hr_bias is None else hr_bias
    error = sr - hr
    return LossMaps(
        sr,
        sr_bias,
        error.abs().mean(0),
        (sr_bias - hr_bias).abs().mean(0) + (sr - seen).abs().mean(0),
        (error - low_passed(error, sigma)).abs().mean(0),
    )


def measure_loss_maps(
    models: Mapping[str, Upscaling], hr: Tensor, lr: Tensor, autoencoder: nn.Module, sigma: float = 1.5
) -> PictureLossMaps:
    """Upscale a picture by every model and map its losses.

    Args:
        models: by title.
        hr: uint8, (3, H, W), H and W multiples of the scale.
        lr: uint8, (3, H / scale, W / scale).
        autoencoder: as of `loss_maps`.
        sigma: as of `loss_maps`.

    Raises:
        DataError: if the picture is smaller than the Gaussian.
        ModelError: if a model's output is of another size or not a number.

    """
    truth = to_float(hr)
    bias = fidelity_bias(autoencoder, truth)
    found = {
        title: loss_maps(upscale(lr), truth, autoencoder, hr_bias=bias, sigma=sigma)
        for title, upscale in models.items()
    }
    return PictureLossMaps(truth, bias, found)


def draw_loss_maps(found: PictureLossMaps, path: Path) -> None:
    """Draw HR and below it a row a model: image, fidelity bias, what AE removes, and the losses, all in one range.

    Raises as `drawn` does.
    """
    from matplotlib.colors import PowerNorm

    height, width = found.hr.shape[-2:]
    panel, rows = 1.7, len(found.models) + 1
    highest = max(brightest(maps.pixel) for maps in found.models.values())
    with drawn(path, 6 * panel, (0.34 + panel * height / width) * rows) as figure:
        axes = figure.subplots(rows, 6, squeeze=False)

        def draw(axis: Any, values: Tensor, title: str) -> Any:
            shades = PowerNorm(POWER, 0, highest, clip=True)
            title = f"{title}\n{float(values.mean()):.4f}"
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
