"""What the loop knows of a stage: a step, a validation, a state. It knows nothing of losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor
from torch.optim import Adam, Optimizer

from aesop.training.recipe import StageConfig

#: Held-out (LR, HR) pairs, (1, 3, h, w) and (1, 3, H, W) in [0, 1].
Pairs = Sequence[tuple[Tensor, Tensor]]


class Stage(Protocol):
    """One of the three stages."""

    name: str

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """Optimizers whose learning rate the loop sets."""
        ...

    def step(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """Take one iteration on a batch, (N, 3, h, w) and (N, 3, H, W) in [0, 1]; return its losses, detached."""
        ...

    def validate(self, pairs: Pairs) -> dict[str, float]:
        """Measure the EMA network on held-out pictures."""
        ...

    def verdict(self, measured: dict[str, float]) -> str | None:
        """Say in a sentence what the last validation means, where there is something to say."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors and plain values."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        ...

    def export(self, path: Path, metadata: dict[str, object]) -> None:
        """Write the EMA network to a file that others read."""
        ...


def adam(parameters: Any, config: StageConfig) -> Adam:
    """Build the optimizer that every network of every stage uses."""
    return Adam(parameters, lr=config.learning_rate, betas=config.betas, fused=True)
