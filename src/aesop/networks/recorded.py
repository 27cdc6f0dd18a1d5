"""Generators of a user's own class: their files record the section that built them, since no shape tells.

A file is not trusted: it never causes an import, and what it says must fit its parameters.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from aesop.errors import ModelError
from aesop.networks.generators import GeneratorConfig


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
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    module, colon, _ = kind.partition(":")
    if not colon:
        return None
    if module not in sys.modules:
        raise ModelError(f"{path}: holds a {kind}; import it first (--import {module} on the command line).")
    try:
        config = TypeAdapter(GeneratorConfig).validate_python(section)
        # Its size first, without the memory for it.
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
    decoder = (recipe.get("autoencoder") or {}).get("decoder") if stage == "autoencoder" else None
    return decoder or recipe["generator"]
