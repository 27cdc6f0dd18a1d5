"""What a validation measures and shows of a held-out pair, and its numbers in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from torch import Tensor

from aesop.data.pictures import to_levels, to_picture
from aesop.data.sheet import enlarged, middle, tiled
from aesop.errors import DataError
from aesop.metrics.niqe import niqe
from aesop.metrics.psnr import lr_psnr, psnr
from aesop.words import with_unit

#: Images by their names, (1, 3, h, w) and (1, 3, H, W) in [0, 1], in the order in which they are shown.
Images = Mapping[str, Tensor]

#: How many held-out pairs are shown, and the pixels a side of their middles that are.
SHOWN, SIDE = 4, 256
#: Of these numbers less is better.
LOWER = ("niqe",)


def quality(images: Images) -> dict[str, float]:
    """Measure SR as `aesop evaluate` does: PSNR, LR-PSNR, NIQE where SR is large enough, AE-PSNR where there is AE."""
    lr, sr, hr = (images[name] for name in ("LR", "SR", "HR"))
    scale = hr.shape[-1] // lr.shape[-1]
    measured = {"psnr": psnr(sr, hr, scale).item(), "lr_psnr": lr_psnr(sr, lr, scale).item()}
    with suppress(DataError):
        if math.isfinite(unnatural := niqe(sr).item()):
            measured["niqe"] = unnatural
    if "AE(SR)" in images:
        measured["ae_psnr"] = psnr(images["AE(SR)"], images["AE(HR)"], scale).item()
    return measured


def sheet(pairs: Sequence[Images]) -> np.ndarray:
    """Draw the middles of each pair's images in a row, LR enlarged: uint8, H x W x 3."""
    cells = []
    for images in pairs:
        width = images["HR"].shape[-1]
        large = {name: enlarged(image[0], width // image.shape[-1]) for name, image in images.items()}
        cells += [(name, to_picture(to_levels(middle(image, SIDE).float().cpu()))) for name, image in large.items()]
    return tiled(cells, len(pairs[0]))


def told(measured: Mapping[str, float]) -> str:
    """Put a validation's numbers into words."""
    return ", ".join(f"{name} {with_unit(name, value)}" for name, value in measured.items())


def best_of(log: Iterable[Mapping[str, Any]], metric: str) -> Mapping[str, Any] | None:
    """Return the log's validation that is the best by a number, of equal ones the last; None where none has it."""
    lines = [line for line in log if line["kind"] == "validation" and math.isfinite(line.get(metric, math.nan))]
    sign = -1 if metric in LOWER else 1
    return max(reversed(lines), key=lambda line: sign * line[metric], default=None)
