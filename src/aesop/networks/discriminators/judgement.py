"""What a discriminator that adds a term to its own loss returns, where others return plain logits."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Judgement(NamedTuple):
    """Logits (N, ...) of N pictures; None stands for what a discriminator does not have.

    `regulariser` is a scalar, already weighted, that joins the discriminator's loss, never the generator's.
    `routing` says by whom each place was judged; handed to the next call, it has another picture of the same places
    judged by the same ones.
    """

    logits: Tensor
    regulariser: Tensor | None
    routing: Tensor | None = None
