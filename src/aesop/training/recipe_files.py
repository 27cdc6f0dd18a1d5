"""Recipes from YAML files: inheritance, overrides, errors by `aesop.config.complaint`."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from aesop.config import complaint
from aesop.errors import RecipeError
from aesop.networks.loading import generator_section
from aesop.training.recipe import Recipe
from aesop.training.recipe_names import SHIPPED, recipe_names


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by its name or its file, apply `key=value` overrides (dotted keys, YAML values) and check it.

    A recipe that leaves its generator out gets that of the file `fidelity.weights` or `fidelity.start_weights`. Raises
    RecipeError, naming the recipe, key and mend, or ModelError for that file.
    """
    values = functools.reduce(_merge, _lineage(name, ()).values(), {})
    # A new type starts its section afresh, so that it must not undo what the other overrides say of it.
    for override in sorted(overrides, key=lambda text: not text.partition("=")[0].endswith(".type")):
        _override(values, override)
    fidelity = values.get("fidelity")
    weights = (fidelity.get("weights") or fidelity.get("start_weights")) if isinstance(fidelity, dict) else None
    if values.get("generator") is None and isinstance(weights, str):
        values["generator"] = generator_section(weights)
    return _checked(name, values)


def _checked(name: str, values: dict[str, Any]) -> Recipe:
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        # The keys, without the chosen `type` of a section, which pydantic adds.
        keys: list[str] = []
        section: Any = values
        for part in first["loc"]:
            if not isinstance(section, dict) or part in section or part != section.get("type"):
                keys.append(str(part))
                section = section.get(part) if isinstance(section, dict) else None
        if first["type"] == "union_tag_not_found":  # for an unknown type, pydantic lists the known ones
            section["type"] = None
            return _checked(name, values)
        raise RecipeError(f"{name}: {complaint(first, '.'.join(keys))}.") from error


def dump_recipe(recipe: Recipe) -> str:
    """Return the recipe as YAML, every value resolved."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def _lineage(name: str, children: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the values of a recipe's own file under its identity, after those of all that it inherits from."""
    shipped = name in recipe_names()
    path = Path(name)
    if not shipped and not (path.suffix in (".yaml", ".yml") and path.is_file()):
        near = difflib.get_close_matches(name, recipe_names(), 1)
        hint = f"did you mean {near[0]}" if near else f"the recipes are {', '.join(recipe_names())}"
        inherited = f" (inherited by {children[-1]})" if children else ""
        raise RecipeError(f"{name}: no such recipe{inherited}; {hint}, or name a .yaml file.")
    identity = name if shipped else str(path.resolve())
    if identity in children:
        raise RecipeError(f"{' -> '.join((*children, identity))}: recipes inherit in a circle; cut it at one of them.")
    try:
        values = yaml.safe_load((SHIPPED / f"{name}.yaml" if shipped else path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RecipeError(f"{name}: is not valid YAML ({' '.join(str(error).split())}).") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{name}: is not UTF-8 text; save it as such.") from error
    except OSError as error:
        raise RecipeError(f"{name}: cannot be read ({error.strerror}).") from error
    if not isinstance(values, dict):
        raise RecipeError(f"{name}: is not a recipe; a recipe is a mapping of keys to values.")
    parents = values.pop("inherits", None)
    lineage: dict[str, dict[str, Any]] = {}
    for parent in parents if isinstance(parents, list) else [] if parents is None else [parents]:
        if not isinstance(parent, str):
            raise RecipeError(f"{name}: `inherits` names recipes, one or a list of them (it holds {parent!r}).")
        beside = path.parent / parent
        found = _lineage(str(beside) if not shipped and beside.is_file() else parent, (*children, identity))
        # What several parents inherit lies under all of them, once.
        lineage |= {ancestor: own for ancestor, own in found.items() if ancestor not in lineage}
    return lineage | {identity: values}


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay `above` over `below`, mapping by mapping; a section of another `type` replaces the old one whole."""
    merged = dict(below)
    for key, value in above.items():
        old: Any = merged.get(key)
        mappings = isinstance(old, dict) and isinstance(value, dict)
        if mappings and value.get("type", old.get("type")) == old.get("type"):
            value = _merge(old, value)
        merged[key] = value
    return merged


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"{override}: is not an override; write key=value, e.g. perceptual.batch=4.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{override}: the value is not valid YAML.") from error
    if isinstance(value, str):
        with suppress(ValueError):  # YAML 1.1 reads 1e-4 as text; people mean the number
            value = float(value)
    *path, last = key.split(".")
    section = values
    for part in path:
        if section.get(part) is None:
            section[part] = {}
        section = section[part]
        if not isinstance(section, dict):
            raise RecipeError(f"{override}: `{part}` is a value, not a section.")
    if last == "type" and section.get("type") != value:
        section.clear()
    section[last] = value
