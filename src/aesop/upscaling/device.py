"""Where networks run."""

from __future__ import annotations

import torch

from aesop.errors import AesopError


def choose_device(name: str) -> torch.device:
    """Return the device called `name` (`cpu`, `cuda`, `cuda:1`, `mps`, ...); AesopError where this machine has none."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise AesopError(f"--device {name}: this machine has no such device; take cpu.") from error
    return device
