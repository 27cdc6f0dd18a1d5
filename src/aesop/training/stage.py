"""What the three stages have in common: a network, its EMA, an optimizer, a step and a validation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from aesop.metrics.psnr import psnr
from aesop.training.recipe import StageConfig

Network = TypeVar("Network", bound=nn.Module)
Placed = TypeVar("Placed")

#: Held-out (LR, HR) pairs, (1, 3, h, w) and (1, 3, H, W) in [0, 1].
Pairs = Sequence[tuple[Tensor, Tensor]]

#: Takes what a training says to its user, a line at a time.
Say = Callable[[str], None]

#: Makes of HR crops the targets that a network is drawn to.
Sharpen = Callable[[Tensor], Tensor]

#: Key of an optimizer's group of parameters: how many iterations it waits before it is trained.
WAITS = "waits"


class Stage(Generic[Network]):
    """A stage trains `network`, in place; `result` is its exponential moving average, in evaluation mode."""

    name: ClassVar[str]

    def __init__(
        self, network: Network, config: StageConfig, fabric: Fabric | None, parameters: list[Any] | None = None
    ) -> None:
        """Set up the optimizer of `parameters` (or groups of them), all of the network's where None.

        Without `fabric`, everything stays on the network's device, in float32.
        """
        if fabric is None:
            device = next(network.parameters()).device
            fabric = Fabric(accelerator=device.type, devices=1 if device.index is None else [device.index])
        self.fabric = fabric
        self.config = config
        self.network = network.train()
        place(network, self.fabric)
        self.result = copy.deepcopy(network).requires_grad_(False).eval()
        optimizer = adam(network.parameters() if parameters is None else parameters, config)
        self.trained, self.optimizer = self.fabric.setup(network, optimizer)
        #: Those whose learning rate the loop sets.
        self.optimizers: list[Optimizer] = [self.optimizer]
        #: All that the next step depends on.
        self.parts: dict[str, Any] = {"network": network, "ema": self.result, "optimizer": self.optimizer}

    def step(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """Take one iteration on a batch, (N, 3, h, w) and (N, 3, H, W) in [0, 1]; return its losses, detached."""
        raise NotImplementedError

    def validate(self, pairs: Pairs) -> dict[str, float]:
        """Measure the result on held-out pictures: its PSNR."""
        return {"psnr": validation_psnr(self.result, pairs)}

    def _descend(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.update_result()

    @torch.no_grad()
    def update_result(self) -> None:
        """Draw the average towards the network: w <- decay * w + (1 - decay) * w_network; copy the buffers."""
        for own, new in zip(self.result.parameters(), self.network.parameters(), strict=True):
            own.lerp_(new, 1 - self.config.ema)
        for own, new in zip(self.result.buffers(), self.network.buffers(), strict=True):
            own.copy_(new)


def place(network: Placed, fabric: Fabric) -> Placed:
    """Move a network to the device, its convolutions channels-last: CPUs and tensor cores run them faster so.

    A loss that is a plain function is returned as it is.
    """
    if isinstance(network, nn.Module):
        network.to(memory_format=torch.channels_last)
    return fabric.to_device(network)


def adam(parameters: Any, config: StageConfig) -> Adam:
    """Build the optimizer of parameters, or of groups of them."""
    return Adam(parameters, lr=config.learning_rate, betas=config.betas, fused=True)


@torch.no_grad()
def validation_psnr(generator: nn.Module, pairs: Pairs) -> float:
    """Mean PSNR of `generator` over held-out pairs, in dB."""
    values = [psnr(generator(lr), hr, hr.shape[-1] // lr.shape[-1]).item() for lr, hr in pairs]
    return sum(values) / len(values)
