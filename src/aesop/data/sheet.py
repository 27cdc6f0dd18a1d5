"""Sheets: pictures side by side in rows, each under its label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

#: Pixels that a label takes above its picture, and between two pictures.
LABEL, GAP = 16, 4


def middle(planes: Tensor, side: int, multiple: int = 1) -> Tensor:
    """Cut the middle of planes (..., H, W), at most `side` pixels a side and a multiple of `multiple`."""
    height, width = (min(side, length) // multiple * multiple for length in planes.shape[-2:])
    top, left = (planes.shape[-2] - height) // 2, (planes.shape[-1] - width) // 2
    return planes[..., top : top + height, left : left + width]


def enlarged(planes: Tensor, scale: int) -> Tensor:
    """Make each pixel of planes (..., H, W) a square of `scale` a side."""
    return planes.repeat_interleave(scale, -2).repeat_interleave(scale, -1)


def tiled(cells: Sequence[tuple[str, np.ndarray]], columns: int) -> np.ndarray:
    """Arrange labelled uint8 pictures, H x W x 3, in rows of `columns`; all have the room that the largest needs."""
    from PIL import Image, ImageDraw

    height, width = (max(cell.shape[side] for _, cell in cells) for side in (0, 1))
    step_y, step_x = height + LABEL + GAP, width + GAP
    sheet = Image.new("RGB", (columns * step_x - GAP, -(-len(cells) // columns) * step_y - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (label, cell) in enumerate(cells):
        x, y = number % columns * step_x, number // columns * step_y
        draw.text((x + 2, y + 2), label, fill="black")
        sheet.paste(Image.fromarray(cell), (x, y + LABEL))
    return np.asarray(sheet)
