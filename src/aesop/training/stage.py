"""What the three stages have in common: a network, its EMA, an optimizer, a step and a validation."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import fmean
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from aesop.metrics.protocol import rounded
from aesop.metrics.psnr import psnr
from aesop.training.fabric import Fabric
from aesop.training.recipe import StageConfig
from aesop.training.validation import SHOWN, Images, quality, sheet

Network = TypeVar("Network", bound=nn.Module)
Placed = TypeVar("Placed")

#: Held-out (LR, HR) pairs, (1, 3, h, w) and (1, 3, H, W) in [0, 1].
Pairs = Sequence[tuple[Tensor, Tensor]]

#: Receives the messages of a training to its user, line by line.
Say = Callable[[str], None]

#: Makes the targets of the losses from HR crops.
Sharpen = Callable[[Tensor], Tensor]

#: Key of an optimizer's group of parameters: how many iterations it waits before it is trained.
WAITS = "waits"


class Stage(Generic[Network]):
    """A stage trains `network`, in place; `result` is its exponential moving average, in evaluation mode."""

    name: ClassVar[str]

    #: On the stage's device, where validations are to measure AE-PSNR.
    autoencoder: nn.Module | None = None
    #: The pictures of the last validation side by side: uint8, H x W x 3.
    picture: np.ndarray

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
        #: The optimizers whose learning rate the loop sets.
        self.optimizers: list[Optimizer] = [self.optimizer]
        #: All that the next step depends on.
        self.parts: dict[str, Any] = {"network": network, "ema": self.result, "optimizer": self.optimizer}
        #: Whether the last step was skipped: a scalar on the device.
        self.skipped = torch.tensor(False, device=self.fabric.device)
        self._moved: list[Tensor] | None = None
        # Held-out HR pictures are the same ones at every validation.
        self._auto_encoded = lru_cache(maxsize=16)(lambda autoencoder, hr: autoencoder(rounded(hr)))

    def step(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """Take one iteration on a batch, (N, 3, h, w) and (N, 3, H, W) in [0, 1]; return its losses, detached.

        Where one of them, or a gradient, is not finite, `skipped` becomes true, and no network, optimizer or average is
        changed. The device decides this, so that nothing has to wait for it.
        """
        before = [(buffer, buffer.clone()) for buffer in self._statistics()]
        losses = self.gradients(lr, hr)
        self.skipped = self._not_finite(losses)
        for optimizer in self.optimizers:
            fused: Any = getattr(optimizer, "optimizer", optimizer)  # in Fabric's wrapper
            fused.found_inf = self.skipped.float()  # fused Adam leaves everything as it is where this is 1
            # That of Apple's devices does not look at it.
            if self.fabric.device.type != "mps" or not self.skipped:
                optimizer.step()
            optimizer.zero_grad()
        if self._moved is None:
            self._moved = [buffer for buffer, was in before if not torch.equal(buffer, was)]
        for buffer, was in before:
            buffer.copy_(torch.where(self.skipped, was, buffer))
        self.update_result()
        return losses

    def gradients(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """Leave the gradients of a batch in all networks; return its losses, detached."""
        raise NotImplementedError

    @torch.no_grad()
    def validate(self, pairs: Pairs) -> dict[str, float]:
        """Measure the result on held-out pictures, each number on those that allow it, and draw a `picture` of some."""
        shown, values = [], defaultdict(list)
        for lr, hr in pairs:
            images = self.look(lr, hr)
            for name, value in self.measure(images).items():
                values[name].append(value)
            shown += [images][: SHOWN - len(shown)]
        self.picture = sheet(shown)
        return {name: fmean(found) for name, found in values.items()}

    def look(self, lr: Tensor, hr: Tensor) -> Images:
        """Return what a validation measures and shows of a held-out pair."""
        images = {"LR": lr, "SR": self.result(lr), "HR": hr}
        if self.autoencoder is not None:
            # Of 8-bit pictures, as in `aesop evaluate`.
            images |= {
                "AE(HR)": self._auto_encoded(self.autoencoder, hr),
                "AE(SR)": self.autoencoder(rounded(images["SR"])),
            }
        return images

    def measure(self, images: Images) -> dict[str, float]:
        """Measure what `look` returns."""
        return quality(images)

    def warning(self, log: list[dict[str, Any]]) -> str | None:  # noqa: ARG002
        """Say what its user should know about how training goes, by the lines logged so far, or None."""
        return None

    def _run(self, method: Callable[[Tensor], Sequence[Tensor]], images: Tensor) -> list[Tensor]:
        """Run a method of the network in the recipe's precision, as Fabric does with `forward` alone."""
        with self.fabric.autocast():
            return [output.to(images.dtype) for output in method(images)]

    def _statistics(self) -> list[Tensor]:
        """Return the buffers that a batch changes, such as batch norm's; all of them before the first has shown."""
        networks = [part for name, part in self.parts.items() if isinstance(part, nn.Module) and name != "ema"]
        return [buffer for network in networks for buffer in network.buffers()] if self._moved is None else self._moved

    @torch.no_grad()
    def _not_finite(self, losses: dict[str, Tensor]) -> Tensor:
        """Tell, by a scalar on the device, whether any loss or gradient of any process is not finite."""
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        gradients = [each.grad for group in groups for each in group["params"] if each.grad is not None]
        norms = torch._foreach_norm(gradients)  # pyright: ignore[reportPrivateImportUsage]
        numbers = [value.float() for value in (*losses.values(), *norms)]
        found = ~torch.stack(numbers).isfinite().all()
        if self.fabric.world_size == 1:
            return found
        return self.fabric.all_reduce(found.float(), reduce_op="max") > 0  # pyright: ignore[reportOperatorIssue]

    @torch.no_grad()
    def update_result(self) -> None:
        """Draw the average towards the network: w <- decay * w + (1 - decay) * w_network; copy the buffers.

        After a skipped step, nothing is changed.
        """
        weight = (1 - self.config.ema) * ~self.skipped
        own: list[Tensor] = list(self.result.parameters())
        new: list[Tensor] = list(self.network.parameters())
        # All parameters at once: few kernels on an accelerator.
        steps = torch._foreach_sub(new, own)  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_mul_(steps, weight)  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_add_(own, steps)  # pyright: ignore[reportPrivateImportUsage]
        for average, buffer in zip(self.result.buffers(), self.network.buffers(), strict=True):
            average.copy_(buffer)


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
def validation_psnr(generator: Callable[[Tensor], Tensor], pairs: Pairs) -> float:
    """Mean PSNR of `generator` over held-out pairs, in dB."""
    values = [psnr(generator(lr), hr, hr.shape[-1] // lr.shape[-1]).item() for lr, hr in pairs]
    return sum(values) / len(values)
