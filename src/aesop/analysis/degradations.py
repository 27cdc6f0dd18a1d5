"""A contact sheet: what a recipe's degradation makes of a picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from torch import Tensor

from aesop.data import bicubic
from aesop.data.pictures import read_picture, to_float, to_levels, to_picture, to_planes, write_picture
from aesop.errors import DataError
from aesop.files import os_errors_explained, require_writable
from aesop.training.recipe import Recipe
from aesop.training.recipe_files import load_recipe

#: Sides in pixels of what is shown without a degradation, and of the least that is.
SHOWN, SMALLEST = 400, 64
LABEL, GAP = 16, 4


@os_errors_explained()
def degrade(recipe: Recipe | str, picture: Path | str, output: Path | str, *, count: int = 6, seed: int = 0) -> None:
    """Write the middle of `picture` and `count` degradations of it, each LR pixel a square, side by side to `output`.

    Seeds are `seed`, `seed` + 1, ...; a recipe without a degradation has one, bicubic. The picture is shrunk first, as
    for training.
    Raises RecipeError for an unknown recipe, DataError where the picture is unreadable or too small or `output` has no
    picture's suffix, RunError where `output` cannot be written.
    """
    recipe = load_recipe(recipe) if isinstance(recipe, str) else recipe
    section, scale, shrink = recipe.degradation, recipe.scale, recipe.data.shrink
    picture, output = Path(picture), Path(output)
    require_writable(output)
    planes = to_planes(read_picture(picture))
    if shrink > 1:
        planes = bicubic.resize(planes, 1 / shrink)
    hr = _middle(planes, section.source_crop if section else SHOWN, scale)
    if min(hr.shape[-2:]) < SMALLEST:
        height, width = planes.shape[-2:]
        raise DataError(f"{picture}: {width} x {height} pixels, {SMALLEST} a side are needed; take another.")
    cells = {"HR": hr}
    if section is None:
        cells[f"bicubic x{scale}"] = _enlarged(bicubic.resize(hr, 1 / scale), scale)
    else:
        degradation = section.build(scale, min(hr.shape[-2:]) // scale * scale)
        for number in range(seed, seed + count):
            lr = degradation.degrade_whole(to_float(hr)[None], number)
            cells[f"{section.type} x{scale}, seed {number}"] = _enlarged(to_levels(lr[0]), scale)
    write_picture(output, _tiled({label: to_picture(cell) for label, cell in cells.items()}))


def _middle(planes: Tensor, side: int, scale: int) -> Tensor:
    """The middle, at most `side` pixels a side and a multiple of the scale."""
    height, width = (min(side, length) // scale * scale for length in planes.shape[-2:])
    top, left = (planes.shape[-2] - height) // 2, (planes.shape[-1] - width) // 2
    return planes[:, top : top + height, left : left + width]


def _enlarged(planes: Tensor, scale: int) -> Tensor:
    return planes.repeat_interleave(scale, -2).repeat_interleave(scale, -1)


def _tiled(cells: dict[str, np.ndarray]) -> np.ndarray:
    """Arrange pictures of one size in rows, each under its label."""
    from PIL import Image, ImageDraw

    columns = math.ceil(math.sqrt(len(cells)))
    height, width = next(iter(cells.values())).shape[:2]
    step_y, step_x = height + LABEL + GAP, width + GAP
    sheet = Image.new("RGB", (columns * step_x - GAP, math.ceil(len(cells) / columns) * step_y - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (label, cell) in enumerate(cells.items()):
        x, y = number % columns * step_x, number // columns * step_y
        draw.text((x + 2, y + 2), label, fill="black")
        sheet.paste(Image.fromarray(cell), (x, y + LABEL))
    return np.asarray(sheet)
