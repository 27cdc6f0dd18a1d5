"""What models are called in tables, figures and messages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aesop.files import printable

#: The model that is no file: bicubic interpolation.
BICUBIC = "bicubic"


def short_names(models: Sequence[str | Path]) -> dict[str, str]:
    """Short names for `models`: the last part of the path, or as much of it as tells them apart.

    A run's generators are called by their stage, since all of these files have one name.
    """
    given = list(dict.fromkeys(str(model) for model in models))
    parts = {model: _parts(model) for model in given}
    for count in range(1, max(map(len, parts.values()), default=0) + 1):
        names = {model: printable("/".join(part[-count:])) for model, part in parts.items()}
        if len(set(names.values())) == len(names):
            return names
    return {model: model for model in given}


def _parts(model: str) -> tuple[str, ...]:
    if model == BICUBIC:
        return (BICUBIC,)
    path = Path(model).resolve()
    if not path.is_dir():
        path = path.with_suffix("")
    return path.parent.parts if path.name == "generator" and len(path.parts) > 2 else path.parts
