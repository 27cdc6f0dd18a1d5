"""Stage 1: the fidelity network, min |G(x) - y|_1: the average of all plausible images, sharp where it can be."""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from aesop.losses.pixel import PixelLoss
from aesop.metrics.psnr import psnr
from aesop.training.ema import EMA
from aesop.training.recipe import Recipe
from aesop.training.stage import Pairs, Sharpen, adam, as_it_is


class FidelityStage:
    """Train `generator` with the pixel loss alone; `sharpen` makes its target (Real-ESRNet)."""

    name = "fidelity"

    def __init__(self, fabric: Fabric, recipe: Recipe, generator: nn.Module, sharpen: Sharpen = as_it_is) -> None:
        config = recipe.fidelity
        self.fabric, self.scale, self.sharpen = fabric, recipe.scale, sharpen
        generator = fabric.to_device(generator)
        self.ema = EMA(generator, config.ema)
        self.network = generator
        self.generator, self.optimizer = fabric.setup(generator, adam(generator.parameters(), config))
        self.optimizers = [self.optimizer]
        self.result = self.ema.model
        self.parts = {"generator": generator, "ema": self.ema.model, "optimizer": self.optimizer}
        self.loss = PixelLoss()

    def step(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """Take one iteration."""
        loss = self.loss(self.generator(lr), self.sharpen(hr))
        self.fabric.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.network)
        return {"pixel": loss.detach()}

    def validate(self, pairs: Pairs) -> dict[str, float]:
        """PSNR of the EMA network on held-out pictures."""
        return {"psnr": validation_psnr(self.ema.model, pairs, self.scale)}


@torch.no_grad()
def validation_psnr(generator: nn.Module, pairs: Pairs, scale: int) -> float:
    """Mean PSNR of `generator` over held-out pairs, in dB (the protocol of `aesop.metrics.psnr`)."""
    values = [psnr(generator(lr), hr, border=scale).item() for lr, hr in pairs]
    return sum(values) / len(values)
