"""Where networks run: `--device` of every command."""

from __future__ import annotations

import torch

from aesop.errors import AesopError

#: What torch says on the CPU, where it raises a plain RuntimeError.
_FULL = ("can't allocate memory", "not enough memory", "out of memory")


def choose_device(name: str = "auto") -> torch.device:
    """Return the device `name` (`cpu`, `cuda`, `cuda:1`, `mps`, ...); `auto` is CUDA, else MPS, else the CPU.

    Raises:
        AesopError: where this machine has no such device.

    """
    for kind in ("cuda", "mps", "cpu") if name == "auto" else (name,):
        try:
            device = torch.device(kind)
            # There and back: the device `meta` holds nothing.
            torch.zeros(1, device=device).cpu()
        except (RuntimeError, AssertionError, NotImplementedError, ImportError):
            continue
        return device
    raise AesopError(f"--device {name}: not available on this machine; use cpu, or auto for the best there is.")


def computes_bfloat16(device: torch.device) -> bool:
    """Whether `device` computes in bfloat16; others emulate it, many times slower than float32."""
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or Python says that memory does not suffice."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(words in str(error).lower() for words in _FULL)
