"""Generators of a user's own class: their files record the section that built them, since no shape tells.

A file is not trusted: it never causes an import, and what it says must fit its parameters.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from torch import Tensor, nn

from aesop.errors import ModelError
from aesop.networks.fitting import built_to_fit
from aesop.networks.generators import GeneratorConfig
from aesop.networks.section import SCALES


def recorded_generator(
    state: dict[str, Tensor], metadata: dict[str, str], path: Path
) -> tuple[nn.Module, int, str] | None:
    """Build the generator of a class `module:Class` that a file of ours records: (model, scale, type); else None.

    Args:
        state: the generator's parameters.
        metadata: what the file says of itself (`aesop.networks.state_dicts.read_metadata`).
        path: the file, for messages.

    Raises:
        ModelError: if that module has not been imported, or record and parameters do not fit.

    """
    try:
        recipe, stage = json.loads(metadata["recipe"]), json.loads(metadata["stage"])
        section, scale = _section(recipe, stage), int(recipe["scale"])
        kind = str(section["type"])
    except (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return None
    module, colon, _ = kind.partition(":")
    if not colon:
        return None
    if module not in sys.modules:
        raise ModelError(f"{path}: holds a {kind}; import it first (--import {module} on the command line).")
    try:
        if scale not in SCALES:
            raise ValueError(f"scale {scale}")
        config = TypeAdapter(GeneratorConfig).validate_python(section)
        model = built_to_fit(lambda: config.build(scale), state)
    except Exception as error:  # the user's class may raise anything on what the file says
        raise ModelError(f"{path}: its parameters are not those of the {kind} that it records.") from error
    return model.eval().float(), scale, kind


def recorded_module(metadata: dict[str, str]) -> str | None:
    """The user's module that a file of ours says its network, or its auto-encoder's decoder, is from; None if none."""
    try:
        kind = str(_section(json.loads(metadata["recipe"]), json.loads(metadata["stage"]))["type"])
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return None
    return kind.partition(":")[0] if ":" in kind else None


def _section(recipe: dict[str, Any], stage: str) -> dict[str, Any]:
    """Return the section of the network that a stage's file holds; the auto-encoder's is its decoder."""
    decoder = (recipe.get("autoencoder") or {}).get("decoder") if stage == "autoencoder" else None
    return decoder or recipe["generator"]
