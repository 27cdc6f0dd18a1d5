"""What every fidelity loss says of itself in a recipe: the one term in which eq. 3 and eq. 9 differ."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from torch import nn

from aesop.autoencoder import AutoEncoder
from aesop.config import Config


class FidelityLossConfig(Config):
    """A fidelity loss: it maps SR and HR images, (N, 3, H, W) in [0, 1], to a scalar."""

    #: Whether `build` wants the recipe's auto-encoder, which then is trained first.
    uses_autoencoder: ClassVar[bool] = False

    type: Any
    weight: float = Field(1.0, ge=0)

    def check(self, crop: int) -> None:
        """Raise ValueError, with the mend, if the loss cannot take HR crops of `crop` pixels."""

    def build(self, scale: int, autoencoder: AutoEncoder | None) -> nn.Module:
        """Build the loss for images of that scale."""
        raise NotImplementedError
