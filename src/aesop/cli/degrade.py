"""`aesop degrade`: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from aesop.cli.options import Argument, Option, RecipeName


def degrade(
    recipe: RecipeName,
    picture: Annotated[Path, Argument(metavar="PICTURE", help="An HR picture; its centre is shown.")],
    output: Annotated[Path, Option(help="File for the contact sheet.", metavar="FILE.png")],
    count: Annotated[int, Option(min=1, max=99, metavar="N", help="Number of degradations.")] = 6,
    seed: Annotated[int, Option(min=0, metavar="N", help="Seed of the first one; counts up.")] = 0,
) -> None:
    """Show a recipe's degradation on a picture."""
    from aesop.analysis.degradations import degrade as run
    from aesop.files import printable

    run(recipe, picture, output, count=count, seed=seed)
    print(printable(output))
