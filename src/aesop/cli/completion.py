"""Shell completion of recipes' and models' names, without loading torch. Without a match, the shell offers files."""

from __future__ import annotations

from collections.abc import Iterable

from aesop.box import fetched
from aesop.box import models as in_the_box
from aesop.training.recipe_names import recipe_names


def recipes(incomplete: str) -> list[str]:
    """Return the names of recipes that begin with `incomplete`."""
    return _beginning(incomplete, recipe_names())


def models(incomplete: str) -> list[str]:
    """Return the names of models that begin with `incomplete`."""
    return _beginning(incomplete, (*in_the_box(), *fetched()))


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
