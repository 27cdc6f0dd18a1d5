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
from aesop.data.sources import Source
from aesop.errors import ModelError
from aesop.evaluation.model_names import BICUBIC, titled_models
from aesop.networks.loading import load_generator
from aesop.upscaling.tiles import DEFAULT_TILE, Upscaler, upscale_tiled

#: The scale of bicubic interpolation where nothing tells another.
DEFAULT_SCALE = 4


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
    return [Named(title, model) for title, model in titled_models(given).items()]


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


def load_models(
    models: Sequence[Named], device: torch.device | str = "cpu", scale: int | None = None
) -> dict[str, Upscaling]:
    """Load every model by its title; all are of one scale.

    Args:
        models: as of `parse_models`.
        device: where they run.
        scale: of all of them; unset, the files', or 4 for bicubic alone.

    Raises:
        ModelError: if one cannot be loaded or is of another scale.

    """
    networks = {named.title: load_generator(named.model) for named in models if named.model != BICUBIC}
    wanted = scale or next((network.scale for network in networks.values()), DEFAULT_SCALE)
    loaded = {}
    for named in models:
        network = networks.get(named.title)
        if network is not None and network.scale != wanted:
            raise ModelError(f"{named.model}: is for scale {network.scale}, not {wanted}; name one of scale {wanted}.")
        loaded[named.title] = Upscaling(None if network is None else network.model.to(device), wanted)
    return loaded


def load_autoencoder(path: Path, device: torch.device | str = "cpu", scale: int | None = None) -> AutoEncoder:
    """Load an auto-encoder, frozen, from its file or a run folder.

    Raises:
        ModelError: as `AutoEncoder.load` does, and if it is not of `scale`, where one is given.

    """
    autoencoder = AutoEncoder.load(path)
    if scale is not None and autoencoder.scale != scale:
        raise ModelError(
            f"{path}: is an auto-encoder for scale {autoencoder.scale}, not {scale}; name one of scale {scale}."
        )
    return autoencoder.requires_grad_(False).eval().to(device)


def read_pair(picture: Path, scale: int, lr: Path | None = None) -> tuple[Tensor, Tensor]:
    """Read an HR picture, cropped to multiples of the scale, and its LR, made if there is none: uint8.

    Raises:
        DataError: if one cannot be read, or they do not pair.

    """
    return Source(picture.name, picture, lr, "").read(scale)


@torch.inference_mode()
def fidelity_bias(autoencoder: nn.Module, images: Tensor) -> Tensor:
    """AE(images), the estimate of their fidelity bias: (N, 3, H, W) or (3, H, W) in [0, 1] to the same, on the CPU."""
    weight = next(autoencoder.parameters(), torch.empty(0))
    batch = images if images.ndim == 4 else images.unsqueeze(0)
    return autoencoder(batch.to(weight)).float().cpu().view(images.shape)


def reason_of(error: Exception) -> str:
    """The first line of what went wrong."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
