"""A discriminator in the perceptual stage: it judges once an iteration, and both sides learn from that judgement."""

from __future__ import annotations

from collections.abc import Callable

from lightning_fabric import Fabric
from torch import Tensor, nn

from aesop.networks.discriminators import Judgement
from aesop.training.recipe import AdversarialLossConfig, StageConfig
from aesop.training.stage import adam, as_it_is


class Adversary:
    """D, its optimizer and L_adv. D judges `view(y)` and `view(G(x))`: the images, or something made of them."""

    def __init__(
        self,
        fabric: Fabric,
        discriminator: nn.Module,
        loss: AdversarialLossConfig,
        weight: float,
        config: StageConfig,
        view: Callable[[Tensor], Tensor] = as_it_is,
    ) -> None:
        self.fabric, self.loss, self.weight, self.view = fabric, loss, weight, view
        self.network = fabric.to_device(discriminator)
        self.discriminator, self.optimizer = fabric.setup(self.network, adam(self.network.parameters(), config))

    def judge(self, sr: Tensor, hr: Tensor) -> None:
        """Let D look at both; real and fake never share a batch, for the sake of batch norm."""
        self.real = _judgement(self.discriminator(self.view(hr)))
        experts = () if self.real.routing is None else (self.real.routing,)
        self.fake = _judgement(self.discriminator(self.view(sr), *experts))

    def oppose(self, sr: Tensor) -> Tensor:
        """Add the gradient of the generator's weighted loss to that of the leaf `sr`; return the plain loss."""
        loss = self.loss.generator(self.real.logits, self.fake.logits)
        self.fabric.backward(self.weight * loss, inputs=[sr], retain_graph=True)
        return loss.detach()

    def learn(self) -> Tensor:
        """Take one step of D; return its loss, the regulariser of a D that has one included."""
        loss = self.loss.discriminator(self.real.logits, self.fake.logits)
        for judgement in (self.real, self.fake):
            if judgement.regulariser is not None:
                loss = loss + judgement.regulariser
        self.fabric.backward(loss, inputs=list(self.network.parameters()))
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.logits = [judgement.logits.detach().mean() for judgement in (self.real, self.fake)]
        del self.real, self.fake  # and their graphs
        return loss.detach()


def _judgement(judged: Tensor | Judgement) -> Judgement:
    return Judgement(judged, None) if isinstance(judged, Tensor) else judged
