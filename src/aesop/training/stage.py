"""What the loop knows of a stage: a step, a validation, parts that hold its state. It knows nothing of losses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from aesop.training.recipe import StageConfig

#: Held-out (LR, HR) pairs, (1, 3, h, w) and (1, 3, H, W) in [0, 1].
Pairs = Sequence[tuple[Tensor, Tensor]]

#: Makes of HR crops the targets that a network is drawn to.
Sharpen = Callable[[Tensor], Tensor]


def as_it_is(hr: Tensor) -> Tensor:
    """Return `hr`: what a network is drawn to where nothing is sharpened."""
    return hr


#: Key of an optimizer's group of parameters: how many iterations it waits before it is trained.
WAITS = "waits"


class Part(Protocol):
    """A network or an optimizer."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that it would continue from."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Continue from what `state_dict` returned."""
        ...


class Stage(Protocol):
    """One of the three stages."""

    name: str

    @property
    def parts(self) -> Mapping[str, Part]:
        """Everything that the next step depends on."""
        ...

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """Optimizers whose learning rate the loop sets."""
        ...

    @property
    def result(self) -> nn.Module:
        """The network that the stage is for: the EMA."""
        ...

    def step(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """Take one iteration on a batch, (N, 3, h, w) and (N, 3, H, W) in [0, 1]; return its losses, detached."""
        ...

    def validate(self, pairs: Pairs) -> dict[str, float]:
        """Measure the result on held-out pictures."""
        ...


def adam(parameters: Iterable[nn.Parameter] | list[dict[str, Any]], config: StageConfig) -> Adam:
    """Build the optimizer that every network of every stage uses, of parameters or of groups of them."""
    return Adam(parameters, lr=config.learning_rate, betas=config.betas, fused=True)
