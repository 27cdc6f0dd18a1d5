"""The networks that a stage starts from: those of a recipe's files, checked against what the recipe says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from aesop.errors import ModelError
from aesop.losses.perceptual import PerceptualLoss
from aesop.networks.generators import GeneratorConfig
from aesop.networks.loading import load_generator
from aesop.networks.state_dicts import read_state
from aesop.training.recipe import PerceptualConfig

Section = TypeVar("Section")


def required(section: Section | None, name: str) -> Section:
    """Return a section that the stage at hand cannot do without.

    Raises:
        ValueError: if the recipe has none.

    """
    if section is None:
        raise ValueError(f"the recipe has no section `{name}`")
    return section


def starting_network(section: GeneratorConfig, scale: int, path: Path, key: str = "generator") -> nn.Module:
    """Build the network of `section` with the parameters of a file, ours or a released one.

    Args:
        section: what the network is.
        scale: what the recipe upscales by.
        path: the file.
        key: the section's place in the recipe, for messages.

    Raises:
        ModelError: if the file holds another network, naming the key that says which is wanted.

    """
    weights = "fidelity.weights" if key == "generator" else f"{key}_weights"
    state = read_state(path)
    with torch.device("meta"):
        wanted = section.build(scale).state_dict()
    if {name: value.shape for name, value in state.items()} == {name: value.shape for name, value in wanted.items()}:
        network = section.build(scale)
        network.load_state_dict(state)
        return network.train()
    # Released files may name their parameters otherwise; loading knows their layouts.
    loaded = load_generator(path)
    if loaded.scale != scale:
        raise ModelError(f"{weights}: {path} is of scale {loaded.scale}; the recipe wants {scale}.")
    held = loaded.model.state_dict()
    shapes, expected = ([tuple(value.shape) for value in found.values()] for found in (held, wanted))
    if shapes != expected:
        ours, asked = (sum(map(math.prod, found)) for found in (shapes, expected))
        raise ModelError(
            f"{weights}: {path} holds {loaded.architecture} of {ours:,} parameters, not the recipe's {key} "
            f"({section.type}, {asked:,}); set `{key}` to what the file holds."
        )
    return loaded.model.train()


def perceptual_loss(config: PerceptualConfig) -> PerceptualLoss:
    """Build L_percep with its frozen network."""
    return PerceptualLoss(*config.perceptual_loss.features.build())
