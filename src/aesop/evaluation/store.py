"""Where an evaluation keeps what it computed, by content: a second call computes only what is new.

A value belongs to the bytes of a model file and of a picture, to a metric, and to the code and the packages that made
it; none of them can change without another key, so nothing here ever goes out of date. Files appear whole or not at
all, picture by picture: a run that was killed goes on where it was, and two may work at once. SR pictures and features
are kept too (they cost more than metrics do) up to KEPT_BYTES, values always.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from torch import Tensor

import aesop
from aesop.data.pictures import read_picture, to_picture, to_planes, write_picture
from aesop.errors import DataError, RunError
from aesop.files import atomic_path, write_atomically
from aesop.versions import versions

#: Changes with every change of what is measured that the code's own text does not show.
PROTOCOL = 1
#: SR pictures and features beyond this are removed when an evaluation ends, those that were made first.
KEPT_BYTES = 4 << 30


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
            found = json.loads(self._path(key, ".json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def add(self, key: str, values: Mapping[str, float]) -> None:
        """Keep `values` under `key`, beside those that are there."""
        if values:
            write_atomically(self._path(key, ".json"), json.dumps(self.values(key) | dict(values)))

    def has_features(self, key: str, metric: str) -> bool:
        """Whether a picture's features for a metric of sets are there."""
        return self._path(key, f".{metric}.npy").is_file()

    def features(self, key: str, metric: str) -> np.ndarray:
        """A picture's features for a metric of sets, (n, d)."""
        return np.load(self._path(key, f".{metric}.npy"), allow_pickle=False)

    def add_features(self, key: str, metric: str, features: np.ndarray) -> None:
        """Keep a picture's features."""
        with atomic_path(self._path(key, f".{metric}.npy")) as temporary, temporary.open("wb") as file:
            np.save(file, features, allow_pickle=False)

    def picture(self, key: str) -> Tensor | None:
        """The SR picture, uint8 (3, H, W), if it is there."""
        path = self._path(key, ".png")
        try:
            return to_planes(read_picture(path)) if path.is_file() else None
        except DataError:
            return None

    def add_picture(self, key: str, picture: Tensor) -> None:
        """Keep an SR picture, uint8 (3, H, W)."""
        write_picture(self._path(key, ".png"), to_picture(picture))

    def tidy(self) -> None:
        """Remove the oldest pictures and features beyond KEPT_BYTES."""
        found = []
        for path in self.folder.glob("??/*"):
            if path.suffix in (".png", ".npy"):
                with suppress(OSError):  # another evaluation tidies too
                    status = path.stat()
                    found.append((status.st_mtime, status.st_size, path))
        room = KEPT_BYTES
        for _, size, path in sorted(found, reverse=True):
            room -= size
            if room < 0:
                with suppress(OSError):
                    path.unlink()

    def _path(self, key: str, suffix: str) -> Path:
        return self.folder / key[:2] / f"{key}{suffix}"


_MEND = "name another folder in $AESOP_CACHE or call with --no-cache"


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


def code_key(modules: Iterable[str]) -> str:
    """The key of the source files of `modules`, of those in this package that they import, and of the packages used.

    Files beside a module whose names begin with its name (weights, say) belong to it. The list of all metrics does not
    belong to one of them.
    """
    files: set[Path] = set()
    seen = {"aesop.metrics"}
    to_do = list(modules)
    while to_do:
        name = to_do.pop()
        path = _file_of(name)
        if name in seen or path is None:
            continue
        seen.add(name)
        files.add(path)
        if name.startswith("aesop."):
            files |= set(path.parent.glob(f"{path.stem}*"))
            to_do += re.findall(r"^\s*(?:from|import) (aesop\.[\w.]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    packages = {name: found for name, found in versions().items() if name not in ("python", "platform")}
    with suppress(PackageNotFoundError):
        packages["pyiqa"] = version("pyiqa")
    return digest(PROTOCOL, *sorted(map(digest_of, files)), *(f"{name} {found}" for name, found in packages.items()))


def _file_of(module: str) -> Path | None:
    """The source file of a module of this package, or of one that is loaded."""
    if module.startswith("aesop."):
        path = Path(aesop.__file__).parent.joinpath(*module.split(".")[1:])
        return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
    file = getattr(sys.modules.get(module), "__file__", None)
    return None if file is None else Path(file)
