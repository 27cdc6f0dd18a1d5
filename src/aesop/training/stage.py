"""What the three stages have in common: a network, its EMA, an optimizer, a step and a validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from aesop.metrics.psnr import psnr
from aesop.training.ema import EMA, Network
from aesop.training.recipe import StageConfig

#: Held-out (LR, HR) pairs, (1, 3, h, w) and (1, 3, H, W) in [0, 1].
Pairs = Sequence[tuple[Tensor, Tensor]]

#: Makes of HR crops the targets that a network is drawn to.
Sharpen = Callable[[Tensor], Tensor]

#: Key of an optimizer's group of parameters: how many iterations it waits before it is trained.
WAITS = "waits"


class Stage(Generic[Network]):
    """A stage trains `network`, in place; `result` is its exponential moving average.

    Attributes:
        optimizers: those whose learning rate the loop sets.
        parts: all that the next step depends on, by name; each has `state_dict` and `load_state_dict`.

    """

    name: ClassVar[str]

    def __init__(
        self,
        network: Network,
        config: StageConfig,
        fabric: Fabric | None,
        parameters: list[Any] | None = None,
    ) -> None:
        """Set up the optimizer of `parameters` (or groups of them), all of the network's where None.

        Without `fabric`, everything stays on the network's device, in float32.
        """
        self.fabric = fabric or _fabric_of(network)
        self.config = config
        self.network = network.train()
        self.fabric.to_device(network)
        self.ema = EMA(network, config.ema)
        optimizer = adam(network.parameters() if parameters is None else parameters, config)
        self.trained, self.optimizer = self.fabric.setup(network, optimizer)
        self.optimizers: list[Optimizer] = [self.optimizer]
        self.parts: dict[str, Any] = {"network": network, "ema": self.ema.model, "optimizer": self.optimizer}

    @property
    def result(self) -> Network:
        """The network that the stage is for."""
        return self.ema.model

    def step(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """Take one iteration on a batch, (N, 3, h, w) and (N, 3, H, W) in [0, 1]; return its losses, detached."""
        raise NotImplementedError

    def validate(self, pairs: Pairs) -> dict[str, float]:
        """Measure the result on held-out pictures: its PSNR."""
        return {"psnr": validation_psnr(self.result, pairs)}

    def _descend(self) -> None:
        """Take the optimizer's step, and the EMA's after it."""
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.network)


def adam(parameters: Any, config: StageConfig) -> Adam:
    """Build the optimizer that every network of every stage uses, of parameters or of groups of them."""
    return Adam(parameters, lr=config.learning_rate, betas=config.betas, fused=True)


@torch.no_grad()
def validation_psnr(generator: nn.Module, pairs: Pairs) -> float:
    """Mean PSNR of `generator` over held-out pairs, in dB (the protocol of `aesop.metrics.psnr`)."""
    values = [psnr(generator(lr), hr, border=hr.shape[-1] // lr.shape[-1]).item() for lr, hr in pairs]
    return sum(values) / len(values)


def _fabric_of(network: nn.Module) -> Fabric:
    device = next(network.parameters()).device
    return Fabric(accelerator=device.type, devices=1 if device.index is None else [device.index])
