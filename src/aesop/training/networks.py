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
from aesop.run import Run
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
    if path.is_dir():  # a run: its fidelity network is meant, whatever was trained after it
        path = Run(path).stage("fidelity").network
    # Released files may name their parameters otherwise; loading knows their layouts.
    loaded = load_generator(path)
    if loaded.scale != scale:
        raise ModelError(f"{weights}: {path} is of scale {loaded.scale}; the recipe wants {scale}.")
    network = section.build(scale)
    shapes, expected = ([tuple(value.shape) for value in found.parameters()] for found in (loaded.model, network))
    if shapes != expected:
        held, asked = (sum(map(math.prod, found)) for found in (shapes, expected))
        raise ModelError(
            f"{weights}: {path} holds {loaded.architecture} of {held:,} parameters, not the recipe's {key} "
            f"({section.type}, {asked:,}); set `{key}` to what the file holds."
        )
    with torch.no_grad():
        for own, theirs in zip(network.parameters(), loaded.model.parameters(), strict=True):
            own.copy_(theirs)
        # Statistics of batch norm; attention masks may be of another size, and are computed anew.
        held = dict(loaded.model.named_buffers())
        for name, own in network.named_buffers():
            if name in held and held[name].shape == own.shape:
                own.copy_(held[name])
        lr = torch.rand(1, 3, 9, 8, generator=torch.Generator().manual_seed(0))
        ours, theirs = network.eval()(lr), loaded.model(lr)
    if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max())):
        raise ModelError(
            f"{weights}: {path} holds {loaded.architecture} with other settings than the recipe's {key} "
            f"({section.type}); set `{key}` to what the file holds."
        )
    return network.train()


def perceptual_loss(config: PerceptualConfig) -> PerceptualLoss:
    """Build L_percep with its frozen network."""
    return PerceptualLoss(*config.perceptual_loss.features.build())
