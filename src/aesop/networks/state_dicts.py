"""Parameters in files: ours (safetensors) and the community's (torch pickles, opened with `weights_only` alone)."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from aesop.errors import ModelError
from aesop.files import atomic_path

#: Where trainers put the parameters inside a torch file, the most wanted first: EMA weights before the raw ones.
_WRAPPERS = ("params_ema", "params", "params-ema", "state_dict", "model", "generator")

#: What safetensors, zip and the restricted unpickler raise on files that are corrupt or hold more than tensors.
_UNREADABLE = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a file's parameters by name, on the CPU.

    Of a torch file that wraps them, `params_ema` is preferred to `params`; a `module.` prefix is dropped.

    Raises:
        ModelError: if the file is missing, corrupt, holds anything but tensors, or would have to run code to load.

    """
    if not path.is_file():
        raise ModelError(f"{path}: no such model file; check the path.")
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        else:
            state = _unwrap(torch.load(path, map_location="cpu", weights_only=True))
    except _UNREADABLE as error:
        raise ModelError(
            f"{path}: is not a readable model file, or holds more than parameters; get it anew."
        ) from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}).") from error
    if not state:
        raise ModelError(f"{path}: holds no parameters.")
    return {key.removeprefix("module."): value for key, value in state.items()}


def read_metadata(path: Path) -> dict[str, str]:
    """Read what a safetensors file says of itself; empty for other files and files that say nothing."""
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: is not a readable safetensors file ({error}); get it anew.") from error


def write_state(path: Path, state: dict[str, Tensor], metadata: dict[str, object]) -> None:
    """Write parameters and where they come from to a safetensors file, atomically; `metadata` values become JSON.

    The same parameters and metadata always make the same bytes.

    Raises:
        RunError: if the disk is full or the folder cannot be written.

    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    written = save(tensors, {key: json.dumps(value, default=str) for key, value in metadata.items()})
    header, data = _sorted_header(written)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(header)
        file.write(data)


def _sorted_header(written: bytes) -> tuple[bytes, memoryview]:
    """Sort the metadata of a safetensors file, which its library writes in random order: (beginning, data).

    A file begins with the header's length in 8 bytes and the header, JSON; the header says where in the data each
    tensor is, counted from the header's end.
    """
    start = 8 + int.from_bytes(written[:8], "little")
    header = json.loads(written[8:start])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # data begins at a multiple of 8
    return len(text).to_bytes(8, "little") + text, memoryview(written)[start:]


def _unwrap(loaded: object) -> dict[str, Tensor]:
    if isinstance(loaded, dict):
        for wrapper in _WRAPPERS:
            if isinstance(loaded.get(wrapper), dict):
                return _unwrap(loaded[wrapper])
        if all(isinstance(key, str) and isinstance(value, Tensor) for key, value in loaded.items()):
            return dict(loaded)
    raise ValueError("no dictionary of tensors")
