"""A recipe's sections on generators and discriminators: a user's own derive from these."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

from torch import Tensor, nn

from aesop.config import Config

#: What a system may upscale by.
Scale = Literal[2, 3, 4, 8]
SCALES: tuple[int, ...] = get_args(Scale)


class GeneratorSection(Config):
    """A generator: it maps LR images (N, 3, h, w) in [0, 1] to (N, 3, scale*h, scale*w)."""

    type: Any

    @property
    def multiple(self) -> int:
        """Of what the sides of an LR crop must be a multiple: the window's side, for attention in windows."""
        return 1

    def check(self, scale: int) -> None:
        """Raise ValueError, with the mend, if there is no such network of that scale."""

    def build(self, scale: int) -> nn.Module:
        """Build the network with fresh weights."""
        raise NotImplementedError


class Logits(NamedTuple):
    """Logits (N, ...) of N images, and what some discriminators have besides.

    `regulariser` is a scalar, already weighted, that joins the discriminator's loss, never the generator's. `routing`
    says which expert each position went to; the next call takes it, to send other images of the same scenes there.
    """

    values: Tensor
    regulariser: Tensor | None = None
    routing: Tensor | None = None


class DiscriminatorSection(Config):
    """A discriminator: it maps images (N, 3, crop, crop) in [0, 1] to logits (N, ...), or to `Logits`."""

    type: Any

    def check(self, crop: int) -> None:
        """Raise ValueError, with the mend, if it cannot take HR crops of `crop` pixels."""

    def build(self, crop: int) -> nn.Module:
        """Build the discriminator for HR crops of `crop` pixels, with fresh weights."""
        raise NotImplementedError
