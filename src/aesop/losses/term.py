"""The one form of all losses: an objective is a sum of terms, each a weight times a loss of SR images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from aesop.autoencoder import AutoEncoder
from aesop.config import Config


class Batch(NamedTuple):
    """The images that SR images (N, 3, H, W) are compared with."""

    lr: Tensor
    hr: Tensor
    #: HR, sharpened where the recipe says so.
    target: Tensor
    #: The moving average of the generator.
    ema: Callable[[Tensor], Tensor]

    @torch.no_grad()
    def ema_sr(self) -> Tensor:
        """Return SR images of the moving average, without a graph."""
        return self.ema(self.lr).to(self.hr.dtype)


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
    """A loss of a recipe: it maps SR and HR images, (N, 3, H, W) in [0, 1], to a scalar."""

    #: Whether `build` needs the recipe's auto-encoder, which then is trained first.
    uses_autoencoder: ClassVar[bool] = False

    weight: float = Field(default=1.0, ge=0)

    def check(self, crop: int) -> None:
        """Raise ValueError, with the mend, if the loss cannot take HR crops of `crop` pixels."""

    def build(self, context: LossContext) -> Callable[..., Tensor]:
        """Build the loss, unweighted."""
        raise NotImplementedError

    def term(self, name: str, loss: Callable[..., Tensor]) -> Term:
        """Weigh a loss of `build`; one that asks for more than the target overrides this."""
        return Term(name, self.weight, lambda sr, batch: loss(sr, batch.target))
