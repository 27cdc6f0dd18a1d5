"""Generators whose files say how they were built: for those whose shapes do not tell, such as attention heads.

A file is not trusted: what it says is checked as a recipe is, must fit its parameters, and never causes an import.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from aesop.errors import ModelError
from aesop.networks.generators import GeneratorConfig

#: No network needs a larger number; a file that asks for a million blocks would keep the machine busy.
_LARGEST = 4096


def recorded_generator(
    state: dict[str, Tensor], metadata: dict[str, str], path: Path
) -> tuple[nn.Module, int, str] | None:
    """Build the generator that a file of ours records, or None if it records none: (model, scale, type).

    Args:
        state: the generator's parameters.
        metadata: what the file says of itself (`aesop.networks.state_dicts.read_metadata`).
        path: the file, for messages.

    Raises:
        ModelError: if record and parameters do not fit, or a network of the user's own has not been imported.

    """
    try:
        recipe, stage = json.loads(metadata["recipe"]), json.loads(metadata["stage"])
        section, scale = _section(recipe, stage), int(recipe["scale"])
        kind = str(section["type"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    module = kind.partition(":")[0]
    if ":" in kind and module not in sys.modules:
        raise ModelError(f"{path}: holds a {kind}; import it first (--import {module} on the command line).")
    try:
        if any(abs(number) > _LARGEST for number in _numbers(section)):
            raise ValueError("too large")
        config = TypeAdapter(GeneratorConfig).validate_python(section)
        with torch.device("meta"):
            shapes = {key: value.shape for key, value in config.build(scale).state_dict().items()}
        if shapes != {key: value.shape for key, value in state.items()}:
            raise ValueError("other shapes")
        model = config.build(scale)
        model.load_state_dict(state)
    except (ValidationError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: its parameters are not those of the {kind} that it records.") from error
    return model.eval().float(), scale, kind


def _section(recipe: dict[str, Any], stage: str) -> dict[str, Any]:
    """Return the section of the network that a stage's file holds; the auto-encoder's is its decoder."""
    own = {
        "autoencoder": (recipe.get("autoencoder") or {}).get("decoder"),
        "perceptual": (recipe.get("perceptual") or {}).get("generator"),
    }
    return own.get(stage) or recipe["generator"]


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _numbers(part)
    elif isinstance(value, int | float):
        yield value
