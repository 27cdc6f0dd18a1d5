"""A discriminator in the perceptual stage: it looks at HR and SR once an iteration, and both sides learn from that."""

from __future__ import annotations

from torch import Tensor, nn

from aesop.networks.discriminators import Logits
from aesop.training.fabric import Fabric
from aesop.training.recipe import AdversarialLossConfig, StageConfig
from aesop.training.stage import adam, place


class Adversary:
    """D, its optimizer and L_adv."""

    def __init__(
        self, fabric: Fabric, discriminator: nn.Module, gan: AdversarialLossConfig, config: StageConfig
    ) -> None:
        self.fabric, self.gan = fabric, gan
        self.network = place(discriminator, fabric)
        self.discriminator, self.optimizer = fabric.setup(self.network, adam(self.network.parameters(), config))

    def loss(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Return the generator's loss; `backward` uses the same logits and their graphs.

        Real and fake never share a batch, for the sake of batch norm.
        """
        self.real = _logits(self.discriminator(hr))
        routing = () if self.real.routing is None else (self.real.routing,)
        self.fake = _logits(self.discriminator(sr, *routing))
        return self.gan.generator(self.real.values, self.fake.values)

    def backward(self) -> dict[str, Tensor]:
        """Leave D's gradient; return its loss, the regulariser of a D that has one included, and its mean logits."""
        loss = self.gan.discriminator(self.real.values, self.fake.values)
        for logits in (self.real, self.fake):
            if logits.regulariser is not None:
                loss = loss + logits.regulariser
        self.fabric.backward(loss, inputs=list(self.network.parameters()))
        means = [logits.values.detach().mean() for logits in (self.real, self.fake)]
        del self.real, self.fake  # and their graphs
        return {"discriminator": loss.detach(), "logit_real": means[0], "logit_fake": means[1]}


def _logits(output: Tensor | Logits) -> Logits:
    return Logits(output) if isinstance(output, Tensor) else output
