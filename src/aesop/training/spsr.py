"""SPSR (Ma 2020): the perceptual stage with terms on gradient maps, a discriminator of those among them.

A generator with a gradient branch draws the HR gradient map beside SR, and is supervised there; nothing of it but its
fusion, which starts fresh, is trained in the first iterations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from aesop.losses.term import Batch, Term
from aesop.networks.spsr import SPSRNet, gradient_map
from aesop.training.perceptual import PerceptualStage
from aesop.training.recipe import PerceptualConfig
from aesop.training.stage import WAITS


class SPSRStage(PerceptualStage):
    """The perceptual stage of a recipe with a section `gradient_loss`."""

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module | None,
        losses: Mapping[str, Callable[..., Tensor]],
        config: PerceptualConfig,
        *,
        gradient_discriminator: nn.Module | None = None,
        **options: Any,
    ) -> None:
        """Take what `PerceptualStage` takes, and the discriminator of gradient maps."""
        super().__init__(generator, discriminator, losses, config, **options)
        if (weights := config.gradient_loss) is None:
            raise ValueError("SPSR's stage needs a section gradient_loss")
        self.branch_weight = weights.branch_weight
        self._add_adversary("gradient_", gradient_discriminator, weights.adversarial_weight, config)
        if isinstance(generator, SPSRNet):
            self.trained.mark_forward_method("sr_and_gradient")
        w_adv = weights.adversarial_weight
        self.terms.append(Term("gradient_adversarial", w_adv, self._gradient_adversarial, keeps_graph=True))

    def _gradient_adversarial(self, sr: Tensor, batch: Batch) -> Tensor:
        return self.adversaries["gradient_"].loss(gradient_map(sr), gradient_map(batch.hr))

    def _parameters(self, generator: nn.Module, config: PerceptualConfig) -> list[Any]:
        if not isinstance(generator, SPSRNet) or config.gradient_loss is None:
            return super()._parameters(generator, config)
        fusion = list(generator.fusion.parameters())
        fresh = {id(parameter) for parameter in fusion}
        others = [parameter for parameter in generator.parameters() if id(parameter) not in fresh]
        return [{"params": fusion}, {"params": others, WAITS: config.gradient_loss.fusion_iterations}]

    def _upscale(self, lr: Tensor) -> Tensor:
        self.branch = None
        if not isinstance(self.network, SPSRNet):
            return super()._upscale(lr)
        sr, self.branch = self._run(self.trained.sr_and_gradient, lr)
        return sr

    def _carry_on(self, output: Tensor, gradient: Tensor | None, batch: Batch) -> dict[str, Tensor]:
        if self.branch is None or gradient is None:
            return super()._carry_on(output, gradient, batch)
        loss = F.l1_loss(self.branch, gradient_map(batch.target))
        self.fabric.backward((output * gradient).sum() + self.branch_weight * loss)
        return {"branch": loss.detach()}
