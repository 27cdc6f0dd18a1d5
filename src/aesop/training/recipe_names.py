"""The recipes that come with the package, by name: found without what reads them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

SHIPPED = files("aesop") / "recipes"


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(Path(entry.name).stem for entry in SHIPPED.iterdir() if entry.name.endswith(".yaml"))
