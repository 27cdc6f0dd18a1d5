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
    from aesop.reports.report import write_report as report
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
    "report",
    "train",
    "upscale",
]

_HOMES = {
    "AESOPLoss": "aesop.losses.aesop.AESOPLoss",
    "AesopError": "aesop.errors.AesopError",
    "AutoEncoder": "aesop.autoencoder.AutoEncoder",
    "LoadedGenerator": "aesop.networks.loading.LoadedGenerator",
    "evaluate": "aesop.evaluation.evaluate.evaluate",
    "interpolate": "aesop.networks.interpolate.interpolate",
    "interpolate_files": "aesop.networks.interpolate.interpolate_files",
    "load_generator": "aesop.networks.loading.load_generator",
    "load_recipe": "aesop.training.recipe_files.load_recipe",
    "recipe_names": "aesop.training.recipe_files.recipe_names",
    "report": "aesop.reports.report.write_report",
    "train": "aesop.training.train.train",
    "upscale": "aesop.upscaling.upscale.upscale",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import aesop` and the command line's help need no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'aesop' has no attribute {name!r}")
    from importlib import import_module

    module, _, attribute = _HOMES[name].rpartition(".")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    """List the public names, those that are not imported yet among them."""
    return sorted({*globals(), *__all__})
