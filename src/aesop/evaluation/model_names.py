"""The names of models in tables, figures and messages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from aesop.box import resolved
from aesop.box.hub import address_of
from aesop.errors import AesopError
from aesop.files import printable
from aesop.run import GENERATOR

#: The model that is no file: bicubic interpolation.
BICUBIC = "bicubic"


def titled_models(given: Sequence[str | Path]) -> dict[str, str]:
    """Return models by title: that of `TITLE=MODEL`, else a short name. Duplicates are dropped.

    Raises AesopError if two models have one title, or bicubic interpolation and no other is not called `bicubic`.
    """
    split = [split_title(str(text)) for text in given]
    names = short_names([model for title, model in split if not title])
    models: dict[str, str] = {}
    for title, model in split:
        called = " ".join(printable(title).split()) if title else names[model]
        if (called == BICUBIC) != (model == BICUBIC):
            raise AesopError(f"{title}={model}: only bicubic interpolation is called {BICUBIC}; choose another title.")
        if models.setdefault(called, model) != model and not same_model(models[called], model):
            raise AesopError(f"two models are called {called}; give them titles, as TITLE=MODEL.")
    return models


def short_names(models: Sequence[str | Path]) -> dict[str, str]:
    """Short names for `models`: as few of the path's last parts as tell all apart, without suffix if that will do.

    A run's generator is called by its stage, since all of these files have one name.
    """
    parts = {model: _parts(model) for model in [BICUBIC, *map(str, models)]}
    for count in range(1, max(map(len, parts.values())) + 1):
        for shorten in (_bare, _parts):
            names = {model: printable("/".join(shorten(model)[-count:])) for model in parts}
            if len(set(names.values())) == len(set(parts.values())):
                return {str(model): names[str(model)] for model in models}
    return {str(model): printable(model) for model in models}


def same_model(first: str, second: str) -> bool:
    """Whether both name the same model, perhaps by different paths."""
    return _parts(first) == _parts(second)


def split_title(text: str) -> tuple[str, str]:
    """Split `TITLE=MODEL`; the title is empty if there is none. A path, also one of `A:B`, may hold `=` itself."""
    title, equals, model = text.partition("=")
    return ("", text) if not equals or Path(text).exists() or split_pair(text) else (title, model)


def split_pair(text: str) -> tuple[Path, Path] | None:
    """Split `A:B` where both are there; None for anything else. A path may hold colons itself."""
    for colon in re.finditer(":", text):
        # The second is looked up only beside a first: it may be fetched.
        pair = [path for part in (text[: colon.start()], text[colon.end() :]) if (path := resolved(part)).exists()]
        if len(pair) == 2:
            return pair[0], pair[1]
    return None


def _parts(model: str) -> tuple[str, ...]:
    if model == BICUBIC:
        return (BICUBIC,)
    if (address := address_of(model)) is not None and not Path(model).exists():
        return tuple(str(address).split("/"))
    return resolved(model).resolve().parts


def _bare(model: str) -> tuple[str, ...]:
    """The parts without a file's suffix, and without the name that all of a run's generators have."""
    parts = _parts(model)
    if model == BICUBIC or Path(model).is_dir() or parts[0] == "hf:":
        return parts
    *folders, name = parts
    return tuple(folders) if name == GENERATOR and len(folders) > 1 else (*folders, Path(name).stem)
