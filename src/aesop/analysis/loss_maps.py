"""Where in a picture each fidelity loss penalises (figures 3 and 8).

The pixel loss penalises textures, which no regression can tell, as it penalises a wrong edge; the AESOP loss leaves
what the auto-encoder removes alone. A high-pass loss, with which edges in AESOP's maps could be confused, penalises
textures most of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from aesop.analysis.drawing import brightest, drawn, show
from aesop.analysis.models import fidelity_bias
from aesop.analysis.spectra import low_passed


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


def draw_loss_maps(hr: Tensor, hr_bias: Tensor, models: Mapping[str, LossMaps], path: Path) -> None:
    """Draw a row a model: SR, its fidelity bias and the maps, all in one range; HR below; raises as `drawn` does."""
    height, width = hr.shape[-2:]
    columns, rows = 5, len(models) + 1
    highest = max(brightest(maps.pixel) for maps in models.values())
    with drawn(path, 15, 0.9 + (0.25 + 3 * height / width) * rows) as figure:
        axes = figure.subplots(rows, columns, squeeze=False)
        for row, (title, maps) in zip(axes, models.items(), strict=False):
            show(row[0], maps.sr, title)
            show(row[1], maps.sr_bias, "its fidelity bias AE(SR)")
            for axis, name, found in (
                (row[2], "pixel loss |SR - HR|", maps.pixel),
                (row[3], "AESOP loss |AE(SR) - AE(HR)|", maps.aesop),
                (row[4], "high-pass loss", maps.high_pass),
            ):
                show(axis, found, f"{name}: {float(found.mean()):.4f}", highest=highest, map="inferno")
        show(axes[-1, 0], hr, "HR")
        show(axes[-1, 1], hr_bias, "its fidelity bias AE(HR)")
        removed = (hr - hr_bias).abs().mean(0)
        drawing = show(
            axes[-1, 2],
            removed,
            f"its variance |HR - AE(HR)|: {float(removed.mean()):.4f}",
            highest=highest,
            map="inferno",
        )
        for axis in axes[-1, 3:]:
            axis.set_axis_off()
        label = "loss of a pixel, one range for all maps"
        figure.colorbar(drawing, ax=list(axes.flat), location="bottom", shrink=0.4, aspect=60, label=label)
