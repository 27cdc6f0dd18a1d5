"""What a shell completes a word to, beside files: names of recipes and models. None of it loads torch."""

from __future__ import annotations

from collections.abc import Iterable

from aesop.box import fetched
from aesop.box import models as in_the_box
from aesop.training.recipe_names import recipe_names


def recipes(incomplete: str) -> list[str]:
    """Names of recipes that begin so; of none, the shell offers files."""
    return _beginning(incomplete, recipe_names())


def models(incomplete: str) -> list[str]:
    """Names of models that begin so; of none, the shell offers files."""
    return _beginning(incomplete, (*in_the_box(), *fetched()))


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
