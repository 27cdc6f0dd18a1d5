"""A contact sheet: what a recipe's degradation makes of a picture."""

from __future__ import annotations

import math
from pathlib import Path

from aesop.data import bicubic
from aesop.data.pictures import read_picture, to_float, to_levels, to_picture, to_planes, write_picture
from aesop.data.sheet import enlarged, middle, tiled
from aesop.errors import DataError
from aesop.files import os_errors_explained, require_writable
from aesop.training.recipe import Recipe
from aesop.training.recipe_files import load_recipe

#: Sides in pixels of what is shown without a degradation, and of the least that is.
SHOWN, SMALLEST = 400, 64


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
    hr = middle(planes, section.source_crop if section else SHOWN, scale)
    if min(hr.shape[-2:]) < SMALLEST:
        height, width = planes.shape[-2:]
        raise DataError(f"{picture}: {width} x {height} pixels, {SMALLEST} a side are needed; take another.")
    cells = {"HR": hr}
    if section is None:
        cells[f"bicubic x{scale}"] = enlarged(bicubic.resize(hr, 1 / scale), scale)
    else:
        degradation = section.build(scale, min(hr.shape[-2:]) // scale * scale)
        for number in range(seed, seed + count):
            lr = degradation.degrade_whole(to_float(hr)[None], number)
            cells[f"{section.type} x{scale}, seed {number}"] = enlarged(to_levels(lr[0]), scale)
    columns = math.ceil(math.sqrt(len(cells)))
    write_picture(output, tiled([(label, to_picture(cell)) for label, cell in cells.items()], columns))
