"""The networks of an evaluation, identified by the contents of their files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from aesop.autoencoder import AutoEncoder
from aesop.errors import ModelError
from aesop.evaluation.cache import Cache, digest
from aesop.evaluation.model_names import BICUBIC
from aesop.networks.loading import load_generator, recorded_module
from aesop.networks.state_dicts import WeightsFile
from aesop.run import Run


@dataclass
class Network:
    """A model's or an auto-encoder's file as it was found; no file for bicubic.

    `key` is the SHA-256 of its contents; None for a network of the user's own class, whose code may change as well.
    """

    file: Path | None
    sha256: str
    key: str | None
    load: Callable[[WeightsFile], Any] = load_generator
    read: WeightsFile | None = None

    @cached_property
    def loaded(self) -> Any:
        """The network, loaded once per process by `load`; ModelError if the file has changed since it was found."""
        if self.file is None:
            return None
        file, self.read = self.read or WeightsFile.read(self.file), None
        if file.sha256 != self.sha256:
            raise ModelError(f"{self.file}: has changed while it was evaluated; try again.")
        return self.load(file)

    def key_of(self, _benchmark: str, _picture: str) -> str | None:
        """The network's part of the key of a picture's values."""
        return self.key

    def scale(self, cache: Cache) -> int | None:
        """Return the network's scale, from the cache if it is there; None for bicubic, which has any."""
        if self.file is None:
            return None
        key = digest("scale", self.key)
        if (known := cache.get(key)) is None:
            known = float(self.loaded.scale)
            cache.put({key: known})
        return int(known)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "loaded"} | {"read": None}


def find_model(model: str) -> Network:
    """Find a model: `bicubic`, a model file or a run folder; raises ModelError as `load_generator` does."""
    if model == BICUBIC:
        return Network(None, BICUBIC, BICUBIC)
    return _find(Path(model), Run.generator, load_generator)


def find_autoencoder(path: Path) -> Network:
    """Find an auto-encoder: a file or a run folder; raises ModelError as `AutoEncoder.load` does."""
    return _find(path, Run.autoencoder, AutoEncoder.load)


def _find(path: Path, in_run: Callable[[Run], Path], load: Callable[[WeightsFile], Any]) -> Network:
    file = WeightsFile.read(path, in_run)
    own_class = recorded_module(file.metadata) is not None
    return Network(file.path, file.sha256, None if own_class else file.sha256, load, file)
