"""Discriminators from files: ours and the released ones."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

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
        raise ModelError(
            f"perceptual.discriminator_weights: {path} is of another discriminator "
            f"({_difference(discriminator.state_dict(), state)}); name a file that fits perceptual.crop and the "
            "section perceptual.discriminator, or change these."
        ) from error


def _difference(expected: dict[str, Tensor], found: dict[str, Tensor]) -> str:
    """Name the first parameter in which the file differs."""
    for key, value in expected.items():
        if key not in found:
            return f"it has no {key}"
        if found[key].shape != value.shape:
            return f"its {key} is {_size(found[key])} instead of {_size(value)}"
    return f"its {next((key for key in found if key not in expected), 'parameters')} has no place"


def _size(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "a scalar"
