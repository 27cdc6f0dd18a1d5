"""Stage 3: the perceptual network, a generative adversarial network with a fidelity loss.

    AESOP      min  w_fid * L_AESOP(G(x), y)   + w_percep * L_percep + w_adv * L_adv + w_art * L_art      (eq. 9)
    baselines  min  w_fid * |G(x) - y|_1       + w_percep * L_percep + w_adv * L_adv + w_art * L_art      (eq. 3)

Only the fidelity term differs.

No work is done twice. Every loss sees G(x) as a leaf: its graph is freed as soon as its gradient has joined the
others there, and one pass carries the sum on into G. D judges y and G(x) once an iteration; both networks' losses use
the same two logits, each with the gradient that it would have alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from aesop.losses import adversarial
from aesop.losses.artifact import artifact_loss
from aesop.losses.perceptual import PerceptualLoss
from aesop.training.ema import EMA
from aesop.training.fidelity import validation_psnr
from aesop.training.recipe import Recipe
from aesop.training.stage import Pairs, adam


class PerceptualStage:
    """Train `generator`, which starts as the fidelity network, against `discriminator`.

    `fidelity_loss` and `perceptual_loss` map (SR, HR) to a scalar; their networks are frozen.
    """

    name = "perceptual"

    def __init__(
        self,
        fabric: Fabric,
        recipe: Recipe,
        generator: nn.Module,
        discriminator: nn.Module,
        fidelity_loss: nn.Module,
        perceptual_loss: PerceptualLoss,
    ) -> None:
        config = recipe.perceptual
        self.fabric, self.config, self.scale = fabric, config, recipe.scale
        self.network, self.network_d = fabric.to_device(generator), fabric.to_device(discriminator)
        self.ema = EMA(self.network, config.ema)
        self.generator, self.optimizer_g = fabric.setup(self.network, adam(self.network.parameters(), config))
        self.discriminator, self.optimizer_d = fabric.setup(self.network_d, adam(self.network_d.parameters(), config))
        self.optimizers = [self.optimizer_g, self.optimizer_d]
        self.result = self.ema.model
        self.parts = {
            "generator": self.network,
            "discriminator": self.network_d,
            "ema": self.ema.model,
            "optimizer_g": self.optimizer_g,
            "optimizer_d": self.optimizer_d,
        }
        self.fidelity_loss = fabric.to_device(fidelity_loss)
        self.perceptual_loss = fabric.to_device(perceptual_loss)

    def step(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """Take one iteration of both networks."""
        output = self.generator(lr)
        sr = output.detach().requires_grad_()
        real, fake = self.discriminator(hr), self.discriminator(sr)

        losses = {
            self.config.fidelity_loss.type: self._gradient(
                self.config.fidelity_loss.weight, self.fidelity_loss, sr, hr
            ),
            "perceptual": self._gradient(self.config.perceptual_loss.weight, self.perceptual_loss, sr, hr),
        }
        if self.config.artifact_loss.weight:
            with torch.no_grad(), self.fabric.autocast():
                ema_sr = self.ema.model(lr).to(hr.dtype)
            losses["artifact"] = self._gradient(self.config.artifact_loss.weight, artifact_loss, sr, hr, ema_sr)
        adversarial_loss = adversarial.generator_loss(real, fake)
        self.fabric.backward(self.config.adversarial_loss.weight * adversarial_loss, inputs=[sr], retain_graph=True)
        self.fabric.backward(output, gradient=sr.grad)
        self.optimizer_g.step()
        self.optimizer_g.zero_grad()

        discriminator_loss = adversarial.discriminator_loss(real, fake)
        self.fabric.backward(discriminator_loss, inputs=list(self.network_d.parameters()))
        self.optimizer_d.step()
        self.optimizer_d.zero_grad()

        self.ema.update(self.network)
        return {
            **losses,
            "adversarial": adversarial_loss.detach(),
            "discriminator": discriminator_loss.detach(),
            "logit_real": real.detach().mean(),
            "logit_fake": fake.detach().mean(),
        }

    def _gradient(self, weight: float, loss: Callable[..., Tensor], sr: Tensor, *others: Tensor) -> Tensor:
        """Add the gradient of `weight * loss(sr, ...)` to that of `sr`, free the graph, return the plain loss."""
        with self.fabric.autocast():
            value = loss(sr, *others)
        self.fabric.backward(weight * value, inputs=[sr])
        return value.detach()

    def validate(self, pairs: Pairs) -> dict[str, float]:
        """PSNR of the EMA network on held-out pictures."""
        return {"psnr": validation_psnr(self.ema.model, pairs, self.scale)}
