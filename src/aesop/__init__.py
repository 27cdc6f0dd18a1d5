"""AESOP: perceptual image super-resolution with auto-encoded supervision.

from aesop import AESOPLoss, AutoEncoder

loss = AESOPLoss(AutoEncoder.load("autoencoder.safetensors"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aesop.autoencoder import AutoEncoder
    from aesop.errors import AesopError
    from aesop.evaluation.evaluate import evaluate
    from aesop.losses.aesop import AESOPLoss
    from aesop.networks.interpolate import interpolate, interpolate_files
    from aesop.networks.loading import LoadedGenerator, load_generator
    from aesop.training.recipe_files import load_recipe, recipe_names
    from aesop.training.train import train
    from aesop.upscaling.upscale import upscale

__version__ = "0.1.0"

__all__ = [
    "AESOPLoss",
    "AesopError",
    "AutoEncoder",
    "LoadedGenerator",
    "__version__",
    "evaluate",
    "interpolate",
    "interpolate_files",
    "load_generator",
    "load_recipe",
    "recipe_names",
    "train",
    "upscale",
]

_MODULES = {
    "AESOPLoss": "losses.aesop",
    "AesopError": "errors",
    "AutoEncoder": "autoencoder",
    "LoadedGenerator": "networks.loading",
    "evaluate": "evaluation.evaluate",
    "interpolate": "networks.interpolate",
    "interpolate_files": "networks.interpolate",
    "load_generator": "networks.loading",
    "load_recipe": "training.recipe_files",
    "recipe_names": "training.recipe_files",
    "train": "training.train",
    "upscale": "upscaling.upscale",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import aesop` and the command line's help need no torch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'aesop' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"aesop.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names, those that are not imported yet among them."""
    return sorted({*globals(), *__all__})
