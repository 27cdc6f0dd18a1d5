"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from aesop.errors import ModelError

Imports = Annotated[
    list[str] | None,
    typer.Option("--import", metavar="MODULE", help="A module with networks of your own. Repeatable."),
]


def import_modules(modules: Sequence[str] | None) -> None:
    """Import the modules that a user names, so that files may refer to their classes.

    Raises:
        ModelError: naming one that cannot be imported.

    """
    from aesop.config import import_here

    for module in modules or ():
        try:
            import_here(module)
        except ValueError as error:
            raise ModelError(f"--import {error}.") from error
