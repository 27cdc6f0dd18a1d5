"""Stage 3: the perceptual network, a generative adversarial network with a fidelity loss.

    AESOP      min  w_fid * L_AESOP(G(x), y)   + w_percep * L_percep + w_adv * L_adv + w_art * L_art      (eq. 9)
    baselines  min  w_fid * |G(x) - y|_1       + w_percep * L_percep + w_adv * L_adv + w_art * L_art      (eq. 3)

Only the fidelity term differs. SPSR adds terms on gradient maps, a discriminator of those among them.

No work is done twice. Every loss sees G(x) as a leaf: its graph is freed as soon as its gradient has joined the
others there, and one pass carries the sum on into G. D judges y and G(x) once an iteration; both networks' losses use
the same two logits, each with the gradient that it would have alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.losses.artifact import artifact_loss
from aesop.losses.gradient import gradient_loss
from aesop.losses.perceptual import PerceptualLoss
from aesop.networks.gradient_map import gradient_map
from aesop.networks.spsr import SPSRNet
from aesop.training.adversary import Adversary
from aesop.training.ema import EMA
from aesop.training.fidelity import validation_psnr
from aesop.training.recipe import PerceptualConfig, Recipe
from aesop.training.stage import WAITS, Pairs, Sharpen, adam, as_it_is


class PerceptualStage:
    """Train `generator`, which starts as the fidelity network, against `discriminator`.

    `fidelity_loss` and `perceptual_loss` map (SR, HR) to a scalar; their networks are frozen. `gradient_discriminator`
    judges gradient maps (SPSR). `sharpen` makes the target of every loss but the adversarial one (Real-ESRGAN).
    """

    name = "perceptual"

    def __init__(
        self,
        fabric: Fabric,
        recipe: Recipe,
        config: PerceptualConfig,
        generator: nn.Module,
        discriminator: nn.Module,
        fidelity_loss: nn.Module,
        perceptual_loss: PerceptualLoss,
        gradient_discriminator: nn.Module | None = None,
        sharpen: Sharpen = as_it_is,
    ) -> None:
        self.fabric, self.config, self.scale, self.sharpen = fabric, config, recipe.scale, sharpen
        self.network = fabric.to_device(generator)
        self.ema = EMA(self.network, config.ema)
        self.generator, self.optimizer_g = fabric.setup(self.network, adam(self._trained(), config))
        if config.generator is not None:
            self.generator.mark_forward_method("sr_and_gradient")
        loss = config.adversarial_loss
        self.adversary = Adversary(fabric, discriminator, loss, loss.weight, config)
        self.adversaries = {"": self.adversary}
        if gradient_discriminator is not None and config.gradient_loss is not None:
            weight = config.gradient_loss.adversarial_weight
            self.adversaries["gradient_"] = Adversary(
                fabric, gradient_discriminator, loss, weight, config, view=gradient_map
            )
        self.optimizers = [self.optimizer_g, *(adversary.optimizer for adversary in self.adversaries.values())]
        self.result = self.ema.model
        self.parts = {"generator": self.network, "ema": self.ema.model, "optimizer_g": self.optimizer_g}
        for prefix, adversary in self.adversaries.items():
            self.parts[f"{prefix}discriminator"] = adversary.network
            self.parts[f"{prefix}optimizer_d"] = adversary.optimizer
        self.fidelity_loss = fabric.to_device(fidelity_loss)
        self.perceptual_loss = fabric.to_device(perceptual_loss)

    def _trained(self) -> list[dict[str, Any]]:
        """Return Adam's groups of parameters; all but SPSR's fusion, which starts fresh, wait until that has begun."""
        if not isinstance(self.network, SPSRNet) or self.config.gradient_loss is None:
            return [{"params": list(self.network.parameters())}]
        fusion = list(self.network.fusion.parameters())
        fresh = {id(parameter) for parameter in fusion}
        others = [parameter for parameter in self.network.parameters() if id(parameter) not in fresh]
        return [{"params": fusion}, {"params": others, WAITS: self.config.gradient_loss.fusion_iterations}]

    def step(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """Take one iteration of all networks."""
        config = self.config
        output, branch = (self.generator(lr), None) if config.generator is None else self.generator.sr_and_gradient(lr)
        sr = output.detach().requires_grad_()
        for adversary in self.adversaries.values():
            adversary.judge(sr, hr)
        target = self.sharpen(hr)

        losses = {
            config.fidelity_loss.type: self._gradient(config.fidelity_loss.weight, self.fidelity_loss, sr, target),
            "perceptual": self._gradient(config.perceptual_loss.weight, self.perceptual_loss, sr, target),
        }
        # For the comparison of both losses' scales (figure 9), at the cost of one pass over the pixels.
        losses.setdefault("pixel", F.l1_loss(sr.detach(), target))
        if config.artifact_loss.weight:
            with torch.no_grad(), self.fabric.autocast():
                ema_sr = self.ema.model(lr).to(hr.dtype)
            losses["artifact"] = self._gradient(config.artifact_loss.weight, artifact_loss, sr, target, ema_sr)
        if config.gradient_loss is not None:
            losses["gradient"] = self._gradient(config.gradient_loss.weight, gradient_loss, sr, target)
        for prefix, adversary in self.adversaries.items():
            losses[f"{prefix}adversarial"] = adversary.oppose(sr)
        if branch is None or config.gradient_loss is None:
            self.fabric.backward(output, gradient=sr.grad)
        else:
            branch_loss = F.l1_loss(branch, gradient_map(target))
            losses["branch"] = branch_loss.detach()
            self.fabric.backward((output * sr.grad).sum() + config.gradient_loss.branch_weight * branch_loss)
        self.optimizer_g.step()
        self.optimizer_g.zero_grad()

        for prefix, adversary in self.adversaries.items():
            losses[f"{prefix}discriminator"] = adversary.learn()
            losses[f"{prefix}logit_real"], losses[f"{prefix}logit_fake"] = adversary.logits
        self.ema.update(self.network)
        return losses

    def _gradient(self, weight: float, loss: Callable[..., Tensor], sr: Tensor, *others: Tensor) -> Tensor:
        """Add the gradient of `weight * loss(sr, ...)` to that of `sr`, free the graph, return the plain loss."""
        with self.fabric.autocast():
            value = loss(sr, *others)
        self.fabric.backward(weight * value, inputs=[sr])
        return value.detach()

    def validate(self, pairs: Pairs) -> dict[str, float]:
        """PSNR of the EMA network on held-out pictures."""
        return {"psnr": validation_psnr(self.ema.model, pairs, self.scale)}
