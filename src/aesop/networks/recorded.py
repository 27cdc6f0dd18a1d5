"""The network that a file of ours records: the section of its recipe that built it.

A file is not trusted: it never causes an import, and what it says must fit its parameters.
"""

from __future__ import annotations

import sys
from typing import Any

from pydantic import TypeAdapter
from torch import nn

from aesop.errors import ModelError
from aesop.networks.fitting import built_to_fit
from aesop.networks.generators import GeneratorConfig
from aesop.networks.section import SCALES
from aesop.networks.state_dicts import WeightsFile

_SECTION: TypeAdapter[GeneratorConfig] = TypeAdapter(GeneratorConfig)


def recorded_generator(file: WeightsFile) -> tuple[nn.Module, int, str] | None:
    """Build the generator that a file of ours records: (model, scale, type).

    None if it records none, one that spandrel builds, or one of ours that does not fit: its shapes tell. Raises
    ModelError if it records a class of the user's own that has not been imported, or that does not fit.
    """
    section = recorded_section(file.metadata)
    kind = str(section.get("type"))
    module, colon, _ = kind.partition(":")
    if not section or kind == "spandrel":
        return None
    if colon and module not in sys.modules:
        raise ModelError(f"{file.path}: holds a {kind}; import it first (--import {module} on the command line).")
    try:
        scale = file.metadata["recipe"]["scale"]
        if scale not in SCALES:
            raise ValueError(f"scale {scale}")
        config = _SECTION.validate_python(section)
        return built_to_fit(lambda: config.build(scale), file.state), scale, kind
    except Exception as error:  # a user's class may raise anything on what the file says
        if not colon:
            return None
        raise ModelError(f"{file.path}: its parameters are not those of the {kind} that it records.") from error


def recorded_section(metadata: dict[str, Any]) -> dict[str, Any]:
    """Find the section of a stage's network, the decoder's for an auto-encoder; {} if a file records none."""
    recipe, stage = metadata.get("recipe"), metadata.get("stage")
    if not isinstance(recipe, dict):
        return {}
    part, key = recipe.get(str(stage)), "decoder" if stage == "autoencoder" else "generator"
    own = part.get(key) if isinstance(part, dict) else None
    section = own or recipe.get("generator")
    return section if isinstance(section, dict) else {}


def recorded_module(metadata: dict[str, Any]) -> str | None:
    """Name the user's module that a file of ours says its network, or its auto-encoder's decoder, is from."""
    module, colon, _ = str(recorded_section(metadata).get("type")).partition(":")
    return module if colon else None
