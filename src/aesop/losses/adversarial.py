"""The adversarial loss L_adv: the relativistic average GAN of ESRGAN (Jolicoeur-Martineau 2018).

With C the discriminator's logits, D(a, b) = sigmoid(C(a) - mean C(b)) is the belief that a looks more real than b.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """1/2 (-log D(y, G(x)) - log(1 - D(G(x), y))) from the logits of HR and SR images, (N, ...): a scalar.

    The other side's mean is a constant, as in the reference.
    """
    more_real = F.softplus(fake.mean().detach() - real)
    less_real = F.softplus(fake - real.mean().detach())
    return 0.5 * (more_real.mean() + less_real.mean())


def generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """1/2 (-log(1 - D(y, G(x))) - log D(G(x), y)) from the same logits: a scalar whose gradient is in `fake` alone."""
    real = real.detach()
    return 0.5 * (F.softplus(real - fake.mean()).mean() + F.softplus(real.mean() - fake).mean())
