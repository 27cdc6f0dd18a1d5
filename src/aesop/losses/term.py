"""The one form of all losses: an objective is a sum of terms, each a weight times a loss of SR images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from aesop.autoencoder import AutoEncoder
from aesop.config import Config


class Batch(NamedTuple):
    """What SR images (N, 3, H, W) are compared with."""

    lr: Tensor
    hr: Tensor
    #: HR, sharpened where the recipe says so.
    target: Tensor


@dataclass(frozen=True)
class Term:
    """`weight * loss(sr, batch)`, a scalar; one of weight 0 is not run."""

    name: str
    weight: float
    loss: Callable[[Tensor, Batch], Tensor]
    #: Whether the loss's graph is used again after its gradient was taken.
    keeps_graph: bool = False


class LossContext(NamedTuple):
    """What a loss may be built from."""

    scale: int
    autoencoder: AutoEncoder | None = None


class LossSection(Config):
    """A fidelity or perceptual loss: it maps SR and HR images, (N, 3, H, W) in [0, 1], to a scalar."""

    #: Whether `build` needs the recipe's auto-encoder, which then is trained first.
    uses_autoencoder: ClassVar[bool] = False

    type: Any
    weight: float = Field(default=1.0, ge=0)

    def check(self, crop: int) -> None:
        """Raise ValueError, with the mend, if the loss cannot take HR crops of `crop` pixels."""

    def build(self, context: LossContext) -> nn.Module:
        """Build the loss, unweighted."""
        raise NotImplementedError
