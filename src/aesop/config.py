"""What all typed configuration shares: unknown keys are refused, values are checked and do not change."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, WrapValidator


class Config(BaseModel):
    """Base of every section of a recipe; a section stands in the file of what it configures."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def extendable(base: type[Config]) -> WrapValidator:
    """Let a section's `type` be `module:Class` as well: a class of the user's own, derived from `base`.

    Its field `type` is a plain `str`. Its module is imported from the present folder or wherever Python looks.
    """

    def own_or_known(value: Any, known: Any) -> Any:
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str) or ":" not in kind:
            return known(value)
        try:
            return imported_config(kind, base).model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            message = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
            raise ValueError(f"{kind}: {f'`{place}`: ' if place else ''}{message}") from error

    return WrapValidator(own_or_known)


def imported_config(kind: str, base: type[Config]) -> type[Config]:
    """Import the class that `module:Class` names, derived from `base`.

    Raises:
        ValueError: if there is none.

    """
    module, _, name = kind.partition(":")
    found = getattr(import_here(module), name, None)
    if not (isinstance(found, type) and issubclass(found, base) and found is not base):
        raise ValueError(f"{kind}: {module} has no class {name} derived from {base.__name__}; see docs/extending.md")
    return found


def import_here(module: str) -> ModuleType:
    """Import a module of the user's, from the present folder or wherever Python looks.

    Raises:
        ValueError: if there is none, or it cannot be imported.

    """
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except Exception as error:  # the user's module may raise anything
        raise ValueError(f"{module} cannot be imported ({error}); call from the folder of {module}.py") from error
    finally:
        if added:
            sys.path.remove(here)
