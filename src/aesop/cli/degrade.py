"""`aesop degrade`: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def degrade(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe (see `aesop recipes`) or a .yaml file.")],
    picture: Annotated[Path, typer.Argument(help="An HR picture; its middle is shown.")],
    output: Annotated[Path, typer.Option(help="The file for the contact sheet.", metavar="FILE.png")],
    count: Annotated[int, typer.Option(min=1, max=99, help="How many degradations.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="The first one's seed; the others count on from it.")] = 0,
) -> None:
    """Show what a recipe's degradation makes of a picture, before training on it."""
    from aesop.degradation.sheet import write_sheet
    from aesop.files import printable
    from aesop.training.recipe_files import load_recipe

    loaded = load_recipe(recipe)
    write_sheet(picture, output, loaded.degradation, loaded.scale, count=count, seed=seed, shrink=loaded.data.shrink)
    print(printable(output))
