"""What spectra and loss maps are made of: a picture, its LR, a frozen auto-encoder and what it keeps."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from aesop.autoencoder import AutoEncoder
from aesop.data.pairs import Pair


def load_autoencoder(path: Path, device: torch.device | str = "cpu") -> AutoEncoder:
    """Load a frozen auto-encoder as `AutoEncoder.load` does."""
    return AutoEncoder.load(path).requires_grad_(False).eval().to(device)


def read_pair(picture: Path, scale: int, lr: Path | None = None) -> tuple[Tensor, Tensor]:
    """Read an HR picture, cropped to multiples of the scale, and its LR, made if there is none: uint8 (3, H, W)."""
    return Pair(picture.name, picture, lr, "").read(scale)


@torch.inference_mode()
def fidelity_bias(autoencoder: nn.Module, image: Tensor) -> Tensor:
    """AE(image), the estimate of its fidelity bias: (3, H, W) in [0, 1] to the same, on the CPU."""
    weight = next(autoencoder.parameters(), torch.empty(0))
    return autoencoder(image.unsqueeze(0).to(weight)).float().cpu()[0]
