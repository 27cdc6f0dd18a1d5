"""Networks built for a file's parameters, without trusting the file: first without memory, and never larger than it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

Network = TypeVar("Network", bound=nn.Module)


class LinspaceOnCPU(TorchFunctionMode):
    """Constructors read drop rates off a linspace, which has no values on the meta device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Make every linspace on the CPU."""
        del types
        return func(*args, **({**(kwargs or {}), "device": "cpu"} if func is torch.linspace else kwargs or {}))


def built_to_fit(build: Callable[[], Network], state: dict[str, Tensor]) -> Network:
    """Build a network whose parameters `state` holds, and load them.

    Raises:
        ValueError: if names or shapes differ; also RuntimeError or whatever `build` raises.

    """
    limit = 2 * len(state) + 100
    try:
        with torch.device("meta"), LinspaceOnCPU(), _at_most(limit):
            shapes = {key: value.shape for key, value in build().state_dict().items()}
    except (NotImplementedError, RuntimeError):
        # A few constructors look at values, which the meta device does not have.
        with _at_most(limit):
            shapes = {key: value.shape for key, value in build().state_dict().items()}
    held = {key: value.shape for key, value in state.items()}
    if shapes != held:
        differing = next(key for key in (*shapes, *held) if shapes.get(key) != held.get(key))
        raise ValueError(f"{differing} is missing, too much or of another shape")
    network = build()
    network.load_state_dict(state)
    return network


@contextmanager
def _at_most(parameters: int) -> Iterator[None]:
    """Stop a constructor that makes more parameters than that: one of a million layers takes long on meta too."""
    made = 0

    def count(_module: nn.Module, _name: str, value: nn.Parameter | None) -> None:
        nonlocal made
        made += value is not None
        if made > parameters:
            raise ValueError(f"the network has more than {parameters} parameters")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
