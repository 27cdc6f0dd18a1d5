"""`aesop recipes`: parses, calls, prints."""

from __future__ import annotations

from typing import Annotated

from aesop.cli import completion
from aesop.cli.options import Argument, Option
from aesop.errors import AesopError


def recipes(
    name: Annotated[
        str | None,
        Argument(metavar="[RECIPE]", help="Print this one, every value resolved.", autocompletion=completion.recipes),
    ] = None,
    overrides: Annotated[
        list[str] | None, Argument(metavar="KEY=VALUE", help="Values that replace the recipe's, e.g. steps=3.")
    ] = None,
    schema: Annotated[bool, Option("--schema", help="Print the JSON schema of recipe files, for editors.")] = False,
) -> None:
    """List the recipes in the package, or print one."""
    from aesop.training.recipe_files import dump_recipe, load_recipe
    from aesop.training.recipe_names import recipe_names

    if schema and name is not None:
        raise AesopError("--schema: is the same for all recipes; leave out RECIPE.")
    if schema:
        import json

        from aesop.training.recipe_schema import recipe_schema

        print(json.dumps(recipe_schema(), indent=1))
    elif name is not None:
        print(dump_recipe(load_recipe(name, overrides or [])), end="")
    else:
        for each in recipe_names():
            print(f"{each:24} {load_recipe(each).about}")
