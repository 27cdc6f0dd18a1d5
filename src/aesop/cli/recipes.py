"""`aesop recipes`: parses, calls, prints."""

from __future__ import annotations


def recipes() -> None:
    """List the recipes in the package."""
    from aesop.training.recipe_files import load_recipe, recipe_names

    for name in recipe_names():
        print(f"{name:24} {load_recipe(name).about}")
