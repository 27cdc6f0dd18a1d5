"""Where an evaluation keeps what it computed, by content: a second call computes only what is new.

A value belongs to the bytes of a model file and of a picture, to a metric, and to the code and the packages that made
it; none of them can change without another key, so nothing here ever goes out of date. Pictures and features appear
whole or not at all, values are lines that are added: a run that was killed goes on where it was, and two may work at
once. SR pictures and features are kept too (they cost more than metrics do) up to KEPT_BYTES, values always.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from torch import Tensor

from aesop.data.pictures import read_picture, to_picture, to_planes, write_picture
from aesop.errors import DataError, RunError
from aesop.files import atomic_path

#: SR pictures and features beyond this are removed when an evaluation ends, those that were used longest ago.
KEPT_BYTES = 4 << 30
#: What was used within so many seconds stays: another evaluation may be at work with it.
IN_USE = 24 * 3600


def default_folder() -> Path:
    """The folder of all evaluations: in $AESOP_CACHE or else in ~/.cache/aesop."""
    cache = Path(os.environ.get("AESOP_CACHE") or Path.home() / ".cache" / "aesop").expanduser()
    return cache / "evaluations"


class Store:
    """Values, features and SR pictures by key, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def require_writable(self) -> None:
        """Raise RunError, with the mend, where nothing could be kept."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self.folder}: cannot be made ({error.strerror}); {_MEND}.") from error
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise RunError(f"{self.folder}: cannot be written; {_MEND}.")

    def values(self, key: str) -> dict[str, float]:
        """What is known under `key`, by name; empty if nothing is."""
        try:
            lines = self._path(key, ".jsonl").read_bytes().splitlines()
        except OSError:
            return {}
        known: dict[str, float] = {}
        for line in lines:
            with suppress(ValueError, TypeError):  # half a line, from a machine that went down
                known.update(json.loads(line))
        return known

    def add(self, key: str, values: Mapping[str, float]) -> None:
        """Keep `values` under `key`, beside those that are there and those that another process adds."""
        if values:
            path = self._path(key, ".jsonl")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("ab", buffering=0) as file:
                    file.write(f"\n{json.dumps(dict(values))}\n".encode())
            except OSError as error:
                raise RunError(f"{path}: cannot be written ({error.strerror}); {_MEND}.") from error

    def has_features(self, key: str, metric: str) -> bool:
        """Whether a picture's features for a metric of sets are there."""
        return self.features(key, metric) is not None

    def features(self, key: str, metric: str) -> np.ndarray | None:
        """A picture's features for a metric of sets, (n, d), if they are there."""
        path = self._path(key, f".{metric}.npy")
        try:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        _use(path)
        return found

    def add_features(self, key: str, metric: str, features: np.ndarray) -> None:
        """Keep a picture's features."""
        with atomic_path(self._path(key, f".{metric}.npy")) as temporary, temporary.open("wb") as file:
            np.save(file, features, allow_pickle=False)

    def picture(self, key: str) -> Tensor | None:
        """The SR picture, uint8 (3, H, W), if it is there."""
        path = self._path(key, ".png")
        try:
            found = to_planes(read_picture(path)) if path.is_file() else None
        except DataError:
            return None
        _use(path)
        return found

    def add_picture(self, key: str, picture: Tensor) -> None:
        """Keep an SR picture, uint8 (3, H, W)."""
        write_picture(self._path(key, ".png"), to_picture(picture))

    def tidy(self) -> None:
        """Remove the pictures and features beyond KEPT_BYTES that were used longest ago, but none of the last day's."""
        found = []
        for path in self.folder.glob("??/*"):
            if path.suffix in (".png", ".npy"):
                with suppress(OSError):  # another evaluation tidies too
                    status = path.stat()
                    found.append((status.st_mtime, status.st_size, path))
        room = KEPT_BYTES
        for used, size, path in sorted(found, reverse=True):
            room -= size
            if room < 0 and used < time.time() - IN_USE:
                with suppress(OSError):
                    path.unlink()

    def _path(self, key: str, suffix: str) -> Path:
        return self.folder / key[:2] / f"{key}{suffix}"


_MEND = "name another folder in $AESOP_CACHE or call with --no-cache"


def _use(path: Path) -> None:
    """Note that a file was used now."""
    with suppress(OSError):
        os.utime(path)


def digest(*parts: str | int) -> str:
    """One key of many parts."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def digest_of(path: Path) -> str:
    """The key of a file's bytes; of the reason, where they cannot be read (the measurement will name it)."""
    content = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                content.update(block)
    except OSError as error:
        return digest("unreadable", type(error).__name__, os.fsencode(path).hex())
    return content.hexdigest()
