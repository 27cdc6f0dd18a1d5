"""Exponential moving average of a network's weights: the network that is validated and kept."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class EMA(Generic[Network]):
    """A copy of `source`, which `update` draws towards it: w <- decay * w + (1 - decay) * w_source.

    The copy never asks for gradients and stays in evaluation mode. Buffers are copied as they are.
    """

    def __init__(self, source: Network, decay: float) -> None:
        self.model = copy.deepcopy(source)
        self.model.requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, source: nn.Module) -> None:
        """Take one step towards the present weights of `source`."""
        for own, new in zip(self.model.parameters(), source.parameters(), strict=True):
            own.lerp_(new, 1 - self.decay)
        for own, new in zip(self.model.buffers(), source.buffers(), strict=True):
            own.copy_(new)
