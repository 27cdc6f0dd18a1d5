"""Parameters in files: ours (safetensors) and the community's (torch pickles, opened with `weights_only` alone)."""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zipfile import ZipFile

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from aesop.box import SUFFIXES, resolved
from aesop.errors import ModelError
from aesop.files import atomic_path, explained
from aesop.networks.kinds import HEAD, kind_of_archive, kind_of_file, kind_of_object
from aesop.run import Run

Network = TypeVar("Network", bound=nn.Module)

#: Where trainers put the parameters inside a torch file, the most wanted first: EMA weights before the raw ones.
_WRAPPERS = ("params_ema", "params", "params-ema", "state_dict", "model_state_dict", "model", "generator")

#: Key of the metadata of our safetensors files: SHA-256 of all that they hold beside it.
_DIGEST = "aesop_sha256"


@dataclass(frozen=True)
class WeightsFile:
    """A model file, opened and read once.

    `state` holds the parameters by name, on the CPU, `params_ema` rather than `params`, without the prefixes `module.`
    and `netG.`. `metadata` is what a safetensors file says of itself, decoded from JSON.
    """

    path: Path
    state: dict[str, Tensor]
    metadata: dict[str, Any]
    sha256: str

    @classmethod
    def read(cls, path: Path | str, in_run: Callable[[Run], Path] | None = None) -> WeightsFile:
        """Read a file, that of a run folder which `in_run` names, or one of `aesop models` by its name.

        Raises ModelError if it is missing, unreadable, damaged, no model, quantised or would have to run code to load.
        """
        path = Path(path)
        try:
            path = resolved(path)
            if in_run is not None and path.is_dir():
                path = in_run(Run(path))
            data = _read(path)
        except OSError as error:
            raise ModelError(explained(error, path)) from error
        except MemoryError as error:
            raise ModelError(f"{path}: is larger than the memory; name a model file.") from error
        try:
            if data[8:9] == b"{":
                state, metadata = dict(sorted(load(data).items())), _decoded(_checked_metadata(path, data))
            else:
                state, metadata = _torch_state(path, data), {}
            state = {key.removeprefix("module.").removeprefix("netG."): value for key, value in state.items()}
            _require_plausible(state, len(data))
        except ModelError:
            raise
        except Exception as error:  # a restricted unpickler may raise anything on a damaged file
            if "GLOBAL" in str(error):
                raise ModelError(
                    f"{path}: holds Python objects, which might run code; save the model's state_dict() instead."
                ) from error
            raise ModelError(f"{path}: is damaged, or not a model file; download it again.") from error
        if not state:
            raise ModelError(f"{path}: holds no parameters.")
        for key, value in state.items():
            if not value.is_floating_point() and key.rpartition(".")[2].partition("_")[0] in ("weight", "bias"):
                kind = str(value.dtype).removeprefix("torch.")
                raise ModelError(f"{path}: is quantised ({key} is {kind}); get it in floating point.")
        return cls(path, state, metadata, hashlib.sha256(data).hexdigest())


def read_state(path: Path | str) -> dict[str, Tensor]:
    """Read a file's parameters by name, on the CPU; raises as `WeightsFile.read` does."""
    return WeightsFile.read(path).state


def read_metadata(path: Path | str) -> dict[str, Any]:
    """Read what a safetensors file says of itself, from its header alone; ModelError if unreadable."""
    try:
        with safe_open(path, "pt") as file:
            return _decoded(file.metadata())
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: is not a readable safetensors file ({error}); download it again.") from error


def write_state(path: Path, state: dict[str, Tensor], metadata: dict[str, object]) -> None:
    """Write parameters and where they come from to a safetensors file, atomically; `metadata` values become JSON.

    The same input always makes the same bytes. Raises RunError if the disk is full or the folder cannot be written.
    """
    write_tensors(path, state, {key: json.dumps(value, default=str) for key, value in metadata.items()})


def write_tensors(path: Path, state: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write as `write_state` does, with `metadata` as it is, and a digest that `WeightsFile.read` checks."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    written = save(tensors, metadata)
    # The library writes metadata in random order: sort them. Data begins at a multiple of 8.
    end, header = _header(written)
    tensors_of = memoryview(written)[end:]
    said = {key: value for key, value in sorted((header.pop("__metadata__", None) or {}).items()) if key != _DIGEST}
    digest = _digest(header, said, tensors_of)
    text = _json({**header, "__metadata__": dict(sorted({**said, _DIGEST: digest}.items()))})
    text += b" " * (-len(text) % 8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.write(tensors_of)


@contextmanager
def default_float32() -> Iterator[None]:
    """Build networks, whose constants need not be buffers, in float32 whatever torch's default type is."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(default)


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


def _read(path: Path) -> bytes:
    if not path.is_file():
        if path.is_dir():
            raise ModelError(f"{path} is a folder; a model file is expected here.")
        mend = f"check the path, or fetch a model of that name from OpenModelDB: aesop models --get {path}"
        named = path.name == str(path) and path.suffix.lower() not in SUFFIXES
        raise ModelError(f"{path}: no such model file or folder; {mend if named else 'check the path.'}")
    with path.open("rb") as file:
        if (kind := kind_of_file(file.read(HEAD), path.suffix)) is not None:
            raise ModelError(f"{path} is {kind}; a .safetensors or .pth file is expected here.")
        file.seek(0)
        return file.read()


def _header(data: bytes) -> tuple[int, dict[str, Any]]:
    """Parse a safetensors file's JSON header, whose length its first 8 bytes hold: (its end, the header)."""
    end = 8 + int.from_bytes(data[:8], "little")
    return end, json.loads(data[8:end])


def _checked_metadata(path: Path, data: bytes) -> dict[str, str]:
    """Return a safetensors file's metadata; ModelError where it is ours and its digest is not that of what it holds."""
    end, header = _header(data)
    metadata = header.pop("__metadata__", None) or {}
    digest = metadata.pop(_DIGEST, None)
    if digest is not None and digest != _digest(header, metadata, memoryview(data)[end:]):
        raise ModelError(
            f"{path}: is damaged (its digest differs); get it again: in a run folder, delete it and repeat `aesop "
            "train`, which writes it from the checkpoint."
        )
    return metadata


def _digest(header: dict[str, Any], metadata: dict[str, str], tensors: memoryview) -> str:
    digest = hashlib.sha256(_json([header, metadata]))
    digest.update(tensors)
    return digest.hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _decoded(metadata: dict[str, str] | None) -> dict[str, Any]:
    """Decode the values of a safetensors file's metadata that are JSON, as ours are; leave out the others."""
    decoded = {}
    for key, text in (metadata or {}).items():
        try:
            decoded[key] = json.loads(text)
        except (RecursionError, ValueError):
            continue
    return decoded


def _torch_state(path: Path, data: bytes) -> dict[str, Tensor]:
    kind = state = None
    if data.startswith(b"PK"):
        with ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
        kind = kind_of_archive([entry.filename for entry in entries])
        if sum(entry.file_size for entry in entries) > len(data):
            raise ValueError("its parts are larger than the file")
    if kind is None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # in a damaged file
            loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        state, kind = _unwrap(loaded), kind_of_object(loaded)
    if state is None:
        raise ModelError(f"{path} is {kind}; a .safetensors or .pth file of parameters is expected here.")
    return state


def _unwrap(loaded: object) -> dict[str, Tensor] | None:
    if isinstance(loaded, dict):
        for wrapper in _WRAPPERS:
            if isinstance(loaded.get(wrapper), dict):
                return _unwrap(loaded[wrapper])
        if all(isinstance(key, str) and isinstance(value, Tensor) for key, value in loaded.items()):
            return {key: value.detach() for key, value in loaded.items()}
    return None


def _require_plausible(state: dict[str, Tensor], size: int) -> None:
    """Raise ValueError for what only a forged or damaged file says: tensors without data, layers without end."""
    if any(value.layout != torch.strided or value.is_quantized or value.is_meta for value in state.values()):
        raise ValueError("its tensors are not plain")
    # Tensors may share their data, as an official auto-encoder's do.
    if sum(value.numel() * value.element_size() for value in state.values()) > 4 * size:
        raise ValueError("its tensors are larger than the file")
    numbers = (int(number[:9]) for key in state for number in re.findall(r"\d+", key))
    if max(numbers, default=0) > 10 * len(state) + 1000:
        raise ValueError("its layers have numbers that are too large")
