"""The adversarial loss L_adv: the relativistic average GAN of ESRGAN (Jolicoeur-Martineau 2018), and two others.

With C the discriminator's logits, D(a, b) = sigmoid(C(a) - mean C(b)) is the belief that a looks more real than b; the
plain GAN believes D(a) = sigmoid(C(a)). Each GAN makes a scalar, unweighted, of the logits of HR and SR images, one a
picture, (N, 1), or maps, (N, 1, h, w).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from aesop.config import Config


class RelativisticGANConfig(Config):
    """Relativistic average GAN, the paper's."""

    type: Literal["relativistic"] = "relativistic"
    weight: float = Field(default=0.005, ge=0, description="of the generator's loss; the discriminator's has weight 1")

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return 1/2 (-log(1 - D(y, G(x))) - log D(G(x), y)); its gradient is in `fake` alone."""
        real = real.detach()
        return 0.5 * (F.softplus(real - fake.mean()).mean() + F.softplus(real.mean() - fake).mean())

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return 1/2 (-log D(y, G(x)) - log(1 - D(G(x), y))); the other's mean is a constant, as in the reference."""
        more_real = F.softplus(fake.mean().detach() - real)
        less_real = F.softplus(fake - real.mean().detach())
        return 0.5 * (more_real.mean() + less_real.mean())


class PlainGANConfig(Config):
    """Plain GAN: Real-ESRGAN's (realesrgan/models/realesrgan_model.py, options/train_realesrgan_x4plus.yml)."""

    type: Literal["plain"]
    weight: float = Field(default=0.1, ge=0, description="of the generator's loss; the discriminator's has weight 1")

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:  # noqa: ARG002
        """Return -log D(G(x))."""
        return F.softplus(-fake).mean()

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return -log D(y) - log(1 - D(G(x)))."""
        return F.softplus(-real).mean() + F.softplus(fake).mean()


class LeastSquaresGANConfig(Config):
    """Least-squares GAN (Mao 2017): BSRGAN's, and its weight. Logits are drawn to 1 for HR and to 0 for SR."""

    type: Literal["least-squares"]
    weight: float = Field(default=0.1, ge=0, description="of the generator's loss; the discriminator's has weight 1")

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:  # noqa: ARG002
        """Return mean (D(G(x)) - 1)^2."""
        return ((fake - 1) ** 2).mean()

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return 1/2 (mean (D(y) - 1)^2 + mean D(G(x))^2)."""
        return 0.5 * (((real - 1) ** 2).mean() + (fake**2).mean())
