"""What a discriminator returns that adds a term to its own loss; others return plain logits."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Logits(NamedTuple):
    """Logits (N, ...) of N pictures, and what some discriminators have besides.

    `regulariser` is a scalar, already weighted, that joins the discriminator's loss, never the generator's.
    `routing` says which expert each position went to; the next call takes it, to send another picture of the same
    scene to the same experts.
    """

    values: Tensor
    regulariser: Tensor | None = None
    routing: Tensor | None = None
