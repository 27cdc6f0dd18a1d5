"""Keys of the contents and the code behind every value: what the store files it under."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from aesop.data.sources import Source
from aesop.errors import ModelError
from aesop.evaluation.benchmarks import Picture
from aesop.evaluation.code_key import code_key
from aesop.evaluation.model_names import BICUBIC
from aesop.evaluation.store import Store, digest, digest_of
from aesop.metrics import METRICS
from aesop.networks.loading import LoadedGenerator, load_generator
from aesop.networks.recorded import recorded_module
from aesop.networks.state_dicts import read_metadata
from aesop.run import Run

if TYPE_CHECKING:
    from aesop.autoencoder import AutoEncoder


class Code:
    """Keys of the code that makes SR pictures and values, and of the kind of device it runs on."""

    def __init__(self, device: torch.device) -> None:
        self._device = device.type
        self.sr = self._key("aesop.networks.loading", "aesop.upscaling.tiles", "aesop.data.sources")
        self._autoencoder = self._key("aesop.autoencoder")

    def of_model(self, file: Path | None) -> str:
        """The key of what makes SR pictures of a model's file (None: bicubic), with the user's module it is from."""
        return self.sr if file is None else self._with_users(self.sr, file)

    def of_autoencoder(self, file: Path) -> str:
        """The key of what auto-encodes."""
        return self._with_users(self._autoencoder, file)

    def of_metric(self, name: str, *used: str) -> str:
        """The key of a metric that is made of its code and of what it `used` besides."""
        own = self._key(type(METRICS[name]).__module__)
        return f"{name}-{digest(own, *used)[:16]}"

    def _with_users(self, own: str, file: Path) -> str:
        module = recorded_module(read_metadata(file))
        return own if module is None else digest(own, self._key(module))

    def _key(self, *modules: str) -> str:
        return digest(self._device, code_key(modules))


@dataclass(frozen=True)
class Network:
    """A model's or an auto-encoder's file, None for bicubic, with the key of its contents and of contents and code."""

    file: Path | None
    content: str
    key: str

    def require_unchanged(self) -> None:
        """Raise ModelError if the file is no longer what it was: call it once the file has been read."""
        if self.file is not None and digest_of(self.file) != self.content:
            raise ModelError(f"{self.file}: has changed while it was evaluated; call again.")


def picture_key(picture: Picture, scale: int) -> str:
    """The key of a picture's HR and LR file at this scale."""
    hr, lr = (picture.hr, picture.lr) if isinstance(picture, Source) else (None, picture.lr)
    return digest("picture", digest_of(hr) if hr else "", digest_of(lr) if lr else "", scale)


def find_model(model: str, code: Code) -> Network:
    """Find a model's file; ModelError where there is none."""
    if model == BICUBIC:
        return Network(None, BICUBIC, digest(BICUBIC, code.of_model(None)))
    path = Path(model)
    if path.is_dir():
        path = Run(path).generator()
    elif not path.is_file():
        load_generator(path)  # says what is wrong
    content = digest_of(path)
    return Network(path, content, digest("model", content, code.of_model(path)))


def find_autoencoder(path: Path, code: Code) -> Network:
    """Find an auto-encoder's file; ModelError where there is none."""
    file = Run(path).autoencoder() if path.is_dir() else path
    if not file.is_file():
        load_autoencoder(file)  # says what is wrong
    content = digest_of(file)
    return Network(file, content, digest("autoencoder", content, code.of_autoencoder(file)))


def load_autoencoder(path: Path) -> AutoEncoder:
    """Load an auto-encoder; as a function, since that is all of the package that a repeated call need not load."""
    from aesop.autoencoder import AutoEncoder

    return AutoEncoder.load(path)


def scale_of(network: Network, load: Callable[[Path], AutoEncoder | LoadedGenerator], store: Store) -> int | None:
    """A network's scale, from the store, so that a repeated call need not load it; None for bicubic, which has any."""
    if network.file is None:
        return None
    if not (known := store.values(network.key)):
        known = {"scale": load(network.file).scale}
        network.require_unchanged()
        store.add(network.key, known)
    return int(known["scale"])
