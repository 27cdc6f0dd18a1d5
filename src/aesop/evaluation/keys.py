"""Keys of the contents and the code behind every value: what the store files it under."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from aesop.data.sources import Source
from aesop.errors import ModelError
from aesop.evaluation.benchmarks import Picture
from aesop.evaluation.model_names import BICUBIC
from aesop.evaluation.store import Store, code_key, digest, digest_of
from aesop.metrics import METRICS
from aesop.networks.loading import load_generator
from aesop.networks.run_files import autoencoder_file, generator_file


class Code:
    """Keys of the code that makes SR pictures and values, and of the kind of device it runs on."""

    def __init__(self, device: torch.device, imports: Sequence[str]) -> None:
        self._device, self._imports = device.type, imports
        self.sr = self._key("aesop.networks.loading", "aesop.upscaling.tiles", "aesop.data.sources")
        self.autoencoder = self._key("aesop.autoencoder")

    def metric_key(self, name: str, autoencoder_key: str) -> str:
        """A metric's key: that of its code, and of the auto-encoder if it needs one."""
        metric = METRICS[name]
        prepare = metric.prepare
        prepare = getattr(prepare, "func", prepare)  # of functools.partial
        own = self._key(prepare.__module__, f"aesop.metrics.{name.replace('-', '_')}")
        used = (self.autoencoder, autoencoder_key) if metric.needs_autoencoder else ()
        return f"{name}-{digest(self.sr, own, *used)[:16]}"

    def _key(self, *modules: str) -> str:
        return digest(self._device, code_key([*modules, *self._imports]))


def picture_key(picture: Picture, scale: int) -> str:
    """The key of a picture's HR and LR file at this scale."""
    hr, lr = (picture.hr, picture.lr) if isinstance(picture, Source) else (None, picture.lr)
    return digest("picture", digest_of(hr) if hr else "", digest_of(lr) if lr else "", scale)


def model_key(model: str) -> str:
    """The key of a model's file; ModelError where there is none."""
    if model == BICUBIC:
        return BICUBIC
    path = Path(model)
    if path.is_dir():
        path = generator_file(path)
    elif not path.is_file():
        load_generator(path)  # says what is wrong
    return digest_of(path)


def model_scale(model: str, key: str, code: Code, store: Store) -> int:
    """A model's scale, from the store, so that a repeated call need not load it."""
    key = digest("model", key, code.sr)
    if not (known := store.values(key)):
        known = {"scale": load_generator(Path(model)).scale}
        store.add(key, known)
    return int(known["scale"])


def autoencoder_key(path: Path | None, scale: int, code: Code, store: Store) -> str:
    """The key of an auto-encoder that is of this scale; ModelError if it is of another."""
    if path is None:
        return ""
    from aesop.autoencoder import AutoEncoder

    content = digest_of(autoencoder_file(path) if path.is_dir() else path)
    key = digest("autoencoder", content, code.autoencoder)
    if not (known := store.values(key)):
        known = {"scale": AutoEncoder.load(path).scale}
        store.add(key, known)
    if (own := int(known["scale"])) != scale:
        raise ModelError(f"{path}: is an auto-encoder for scale {own}, not {scale}; name one of {scale}.")
    return content
