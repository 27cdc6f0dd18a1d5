"""Where networks run."""

from __future__ import annotations

import torch

from aesop.errors import AesopError


def choose_device(name: str) -> torch.device:
    """Return the device called `name` (`cpu`, `cuda`, `cuda:1`, `mps`, ...); AesopError where this machine has none."""
    try:
        device = torch.device(name)
        # There and back: the device `meta` holds nothing.
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        raise AesopError(f"--device {name}: this machine has no such device; take cpu.") from error
    return device
