"""Networks built for a file's parameters, without trusting what the file says of their size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def built_to_fit(build: Callable[[], Network], state: dict[str, Tensor]) -> Network:
    """Build a network and load `state` into it. Raises ValueError if they do not fit, and what `build` raises."""
    try:
        with torch.device("meta"):  # takes no memory
            wanted = sum(parameter.numel() for parameter in build().parameters())
    except (NotImplementedError, RuntimeError):
        wanted = 0  # constructors that read values of tensors cannot be built there
    held = sum(value.numel() for value in state.values())
    if wanted > 2 * held:
        raise ValueError(f"the network would have {wanted:,} parameters, the file has {held:,}")
    network = build()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    return network
