"""AESOP: perceptual image super-resolution with auto-encoded supervision.

from aesop import AESOPLoss, AutoEncoder

loss = AESOPLoss(AutoEncoder.load("autoencoder.safetensors"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aesop.autoencoder import AutoEncoder
    from aesop.losses.aesop import AESOPLoss
    from aesop.networks.loading import LoadedGenerator, load_generator

__version__ = "0.1.0"

__all__ = ["AESOPLoss", "AutoEncoder", "LoadedGenerator", "__version__", "load_generator"]

_HOMES = {
    "AESOPLoss": "aesop.losses.aesop",
    "AutoEncoder": "aesop.autoencoder",
    "LoadedGenerator": "aesop.networks.loading",
    "load_generator": "aesop.networks.loading",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import aesop` and the command line's help need no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'aesop' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
