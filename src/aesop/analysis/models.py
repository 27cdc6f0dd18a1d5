"""The models that an analysis compares, by title: what they make of LR pictures, and what the auto-encoder keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from aesop.autoencoder import AutoEncoder
from aesop.data.bicubic import resize
from aesop.data.pictures import to_float
from aesop.errors import AesopError, ModelError
from aesop.evaluation.model_names import BICUBIC, short_names
from aesop.files import printable
from aesop.networks.loading import load_generator
from aesop.upscaling.tiles import DEFAULT_TILE, Upscaler, upscale_tiled


@dataclass(frozen=True)
class Named:
    """A model as the user names it: its title in figures and tables, and `bicubic`, a model file or a run folder."""

    title: str
    model: str


def parse_models(given: Sequence[str]) -> list[Named]:
    """Read `MODEL` or `TITLE=MODEL`; those without a title are called as `aesop evaluate` calls them.

    Raises:
        AesopError: if two would have one title.

    """
    split = [_split(text) for text in given]
    names = short_names([model for title, model in split if not title])
    models = [Named(printable(title or names[model]), model) for title, model in split]
    titles = [named.title for named in models]
    twice = next((title for title in titles if titles.count(title) > 1), None)
    if twice is not None:
        raise AesopError(f"two models are called {twice}; name them apart, as TITLE=MODEL.")
    return models


def _split(text: str) -> tuple[str, str]:
    """Title, empty if there is none, and model."""
    title, equals, model = text.partition("=")
    return ("", text) if not equals or Path(text).exists() else (title, model)


class Upscaling:
    """A model of a known scale, or bicubic interpolation."""

    def __init__(self, model: nn.Module | None, scale: int) -> None:
        self.model, self.scale = model, scale
        self._tiles = Upscaler(model, scale) if model is not None else None

    @torch.inference_mode()
    def __call__(self, lr: Tensor) -> Tensor:
        """Upscale uint8 (3, h, w) to what the losses see: float32 (3, scale*h, scale*w), neither rounded nor clamped.

        Large pictures go through in tiles. Raises ModelError where the output is of another size or not a number.
        """
        if self.model is None or self._tiles is None:
            return resize(to_float(lr), self.scale)
        height, width = lr.shape[-2:]
        tile, overlap = max(height, width), 0
        if self._tiles.needs_tiles(height, width):
            tile, overlap = DEFAULT_TILE, self._tiles.overlap.pixels
        return upscale_tiled(self.model, lr, self.scale, tile=tile, overlap=overlap)


def load_models(models: Sequence[Named], scale: int, device: torch.device) -> dict[str, Upscaling]:
    """Load every model by its title.

    Raises:
        ModelError: if one cannot be loaded or is not of that scale.

    """
    loaded = {}
    for named in models:
        if named.model == BICUBIC:
            loaded[named.title] = Upscaling(None, scale)
            continue
        network = load_generator(named.model)
        if network.scale != scale:
            raise ModelError(f"{named.model}: is for scale {network.scale}, not {scale}; name one of scale {scale}.")
        loaded[named.title] = Upscaling(network.model.to(device), scale)
    return loaded


@torch.inference_mode()
def fidelity_bias(autoencoder: nn.Module, images: Tensor) -> Tensor:
    """AE(images), the estimate of their fidelity bias: (N, 3, H, W) or (3, H, W) in [0, 1] to the same, on the CPU."""
    weight = next(autoencoder.parameters(), torch.empty(0))
    batch = images if images.ndim == 4 else images.unsqueeze(0)
    return autoencoder(batch.to(weight)).float().cpu().view(images.shape)


def load_autoencoder(path: Path, device: torch.device) -> AutoEncoder:
    """Load an auto-encoder, frozen, from its file or a run folder; raises ModelError as `AutoEncoder.load` does."""
    return AutoEncoder.load(path).requires_grad_(False).eval().to(device)
