"""What engines were found to be, by model and machine, in a small file that may be deleted at any time."""

from __future__ import annotations

import hashlib
import json
import platform
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from pydantic import TypeAdapter

from aesop.errors import AesopError
from aesop.files import cache_folder, write_atomically

#: How many models are remembered; the oldest are forgotten.
MOST = 200
_PACKAGES = ("aesop-sr", "torch", "openvino", "onnxruntime", "ncnn", "pnnx")


@dataclass(frozen=True)
class Measured:
    """An engine and a model: times as fast as eager float32, PSNR between the two in dB, and seconds to set it up.

    An engine that failed, or made what are no numbers, agrees to 0 dB.
    """

    speed: float
    agreement: float
    setup: float


@dataclass
class Record:
    """All that is known of a model on a machine: seconds of eager float32 per LR pixel (0: not measured), engines."""

    seconds: float = 0.0
    engines: dict[str, Measured] = field(default_factory=dict)


_FILE = TypeAdapter(dict[str, Record])


def memory_file() -> Path:
    """Return the file of all records, in the cache folder."""
    return cache_folder() / "engines.json"


def memory_key(model_sha256: str, device: torch.device) -> str:
    """Return the key of a model on this machine as it is: its processor, threads and versions of packages."""
    versions = []
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions.append(f"{package} {version(package)}")
    parts = [model_sha256, str(device), *_processor(device), torch.get_num_threads(), *versions]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def recall(path: Path, key: str) -> Record:
    """Return what is known under `key`: nothing where the file is missing or damaged."""
    return _read(path).get(key, Record())


def remember(path: Path, key: str, record: Record) -> None:
    """Add a record to the file, which is replaced as a whole; where it cannot be written, nothing is remembered."""
    records = _read(path)
    records.pop(key, None)
    records = {**dict(list(records.items())[1 - MOST :]), key: record}
    with suppress(AesopError):
        write_atomically(path, _FILE.dump_json(records, indent=1).decode())


def _read(path: Path) -> dict[str, Record]:
    try:
        return _FILE.validate_json(path.read_bytes())
    except (OSError, ValueError):
        return {}


def _processor(device: torch.device) -> list[str]:
    if device.type == "cuda":
        return [torch.cuda.get_device_name(device)]
    with suppress(OSError, UnicodeDecodeError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))})
    return [platform.machine(), platform.processor()]
