"""Discriminators from files: ours and the released ones."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from aesop.errors import ModelError
from aesop.networks.kinds import kind_of_network
from aesop.networks.state_dicts import read_state


def load_discriminator(discriminator: nn.Module, path: Path | str) -> None:
    """Load `path` into a built discriminator; every parameter and buffer must be there and fit.

    Raises:
        ModelError: if the file cannot be read, or is of another type, width or crop.

    """
    state = read_state(path)
    try:
        discriminator.load_state_dict(state)
    except RuntimeError as error:
        kind = kind_of_network(state)
        if kind.startswith(("an ", "a generator")):
            raise ModelError(
                f"perceptual.discriminator_weights: {path} is {kind}; a discriminator is expected here."
            ) from error
        held, wanted = (
            {key: tuple(value.shape) for key, value in found.items()} for found in (state, discriminator.state_dict())
        )
        key = next(key for key in (*wanted, *held) if held.get(key) != wanted.get(key))
        raise ModelError(
            f"perceptual.discriminator_weights: {path} is of another discriminator ({key} is "
            f"{held.get(key, 'missing')} instead of {wanted.get(key, 'absent')}); name a file that fits "
            "perceptual.crop and the section perceptual.discriminator, or change these."
        ) from error
