"""A user-defined generator that can interrupt its own training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from spandrel.architectures.Compact import Compact
from torch import Tensor

from aesop.networks.section import GeneratorSection
from aesop.run import STAGES

SECTION = "generator={type: 'stopping:StoppingConfig'}"
ITERATIONS = 6

_left: int | None = None
_stop: Callable[[], None] | None = None


@contextmanager
def stop_at(stage: str, iteration: int, stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` in an iteration of a stage, if each stage trains for `ITERATIONS`."""
    global _left, _stop
    _left, _stop = ITERATIONS * STAGES.index(stage) + iteration, stop
    yield
    _left = None


class Stopping(Compact):
    """Every stage calls it once per iteration in training mode: as the generator or as the auto-encoder's decoder."""

    def forward(self, x: Tensor) -> Tensor:
        global _left
        if _left is not None and self.training and torch.is_grad_enabled():
            _left -= 1
            if _left == 0 and _stop is not None:
                _stop()
        return super().forward(x)


class StoppingConfig(GeneratorSection):
    type: str

    def build(self, scale: int) -> Stopping:
        return Stopping(num_feat=4, num_conv=1, upscale=scale)
