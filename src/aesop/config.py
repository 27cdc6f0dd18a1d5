"""The base of all typed configuration: unknown keys are refused, values are checked and immutable."""

from __future__ import annotations

import difflib
import importlib
import json
import re
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, WrapValidator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

Class = TypeVar("Class")


class Config(BaseModel):
    """Base of every section of a recipe; each section is in the file of what it configures."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_unknown_key(cls, values: Any) -> Any:
        """Refuse a key that is not there before pydantic does, which would not know the nearest one."""
        for key in values if isinstance(values, dict) else ():
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, 1)
                hint = (
                    f"the nearest is `{near[0]}`"
                    if near
                    else f"the keys here are {', '.join(sorted(cls.model_fields))}"
                )
                raise PydanticCustomError("unknown_key", "unknown key {key}; {hint}", {"key": key, "hint": hint})
        return values


#: What pydantic expects, by the type of its error, with the limits that the error carries.
_EXPECTED = {
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
    **dict.fromkeys(("dict_type", "model_attributes_type", "model_type"), "a section"),
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    **dict.fromkeys(("int_from_float", "int_parsing", "int_type"), "a whole number"),
    **dict.fromkeys(("list_type", "tuple_type"), "a list"),
    "finite_number": "a finite number",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    "none_required": "null",
    "path_type": "a path",
    "string_type": "text",
    "too_long": "a list of at most {max_length}",
    "too_short": "a list of at least {min_length}",
}


def complaint(error: ErrorDetails, key: str) -> str:
    """Return what is wrong with the value of `key`, in one sentence without its full stop."""
    named = f"`{key}`" if key else "the section"
    context = error.get("ctx", {})
    if error["type"] == "unknown_key":
        return f"unknown key `{key and f'{key}.'}{context['key']}`; {context['hint']}"
    if error["type"] == "missing":
        return f"{named} is missing; set it"
    if key.endswith(".[key]"):
        named = f"a key of `{key.rpartition('.')[0].rpartition('.')[0]}`"
    given = "" if isinstance(error["input"], dict) else f" (it is {_as_yaml(error['input'])})"
    if error["type"] == "union_tag_invalid":
        tags = context["expected_tags"].replace("'", "")
        if error["input"].get("type") is None:
            return f"`{key}.type` is missing; set it to one of {tags}"
        return f"`{key}.type` must be one of {tags} (it is {_as_yaml(error['input'].get('type'))})"
    if (expected := _EXPECTED.get(error["type"])) is not None:
        return f"{named} must be {expected.format(**context).replace(chr(39), '')}{given}"
    message = error["msg"].removeprefix("Value error, ").removesuffix(".")
    return f"{named}: {message}{given}" if key else message


def _as_yaml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def extendable(base: type[Config]) -> WrapValidator:
    """Let a section's `type` be `module:Class` as well: a class of the user's own, derived from `base`.

    Its field `type` is a plain `str`.
    """

    def own_or_known(value: Any, known: Any) -> Any:
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str) or ":" not in kind:
            return known(value)
        try:
            return named_class(kind, base).model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{kind}: {complaint(first, '.'.join(map(str, first['loc'])))}") from error

    return WrapValidator(own_or_known)


def named_class(text: str, base: type[Class]) -> type[Class]:
    """Return the user's class that `module:Class` names; raises ValueError unless there is one derived from `base`."""
    module, _, name = text.partition(":")
    found = getattr(import_here(module), name, None)
    if not (isinstance(found, type) and issubclass(found, base) and found is not base):
        raise ValueError(f"{text}: {module} has no class {name} derived from {base.__name__}; see docs/extending.md")
    return found


def import_here(module: str) -> ModuleType:
    """Import a user's module, from the current folder or wherever Python looks; raises ValueError if that fails."""
    if ("ignore", None, Warning, None, 0) in warnings.filters:  # commands silence libraries, not the user's own code
        warnings.filterwarnings("default", module=rf"{re.escape(module)}(\.|$)")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except Exception as error:  # the user's module may raise anything
        raise ValueError(f"{module} cannot be imported ({error}); call from the folder of {module}.py") from error
    finally:
        sys.path.remove(here)
