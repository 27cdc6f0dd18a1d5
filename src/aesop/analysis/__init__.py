"""What the paper's analysis figures show, measured on any model: tensors and files in, numbers out, drawings of each.

A `measure_...` function computes, a `draw_...` (or `print_...`) function shows what it returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aesop.analysis.bias_variance import measure_bias_variance, print_bias_variance
    from aesop.analysis.crops import CropSheet, draw_crops, measure_crops, parse_box
    from aesop.analysis.curves import PerceptionDistortion, draw_curves, measure_curves, open_methods
    from aesop.analysis.loss_maps import PictureLossMaps, draw_loss_maps, measure_loss_maps
    from aesop.analysis.loss_scales import LossScales, draw_loss_scales, measure_loss_scales
    from aesop.analysis.models import Upscaling, load_autoencoder, load_models, parse_models, read_pair
    from aesop.analysis.spectra import Spectra, draw_spectra, measure_spectra

__all__ = [
    "CropSheet",
    "LossScales",
    "PerceptionDistortion",
    "PictureLossMaps",
    "Spectra",
    "Upscaling",
    "draw_crops",
    "draw_curves",
    "draw_loss_maps",
    "draw_loss_scales",
    "draw_spectra",
    "load_autoencoder",
    "load_models",
    "measure_bias_variance",
    "measure_crops",
    "measure_curves",
    "measure_loss_maps",
    "measure_loss_scales",
    "measure_spectra",
    "open_methods",
    "parse_box",
    "parse_models",
    "print_bias_variance",
    "read_pair",
]

#: What each module has of them.
_HOMES = {
    "bias_variance": ("measure_bias_variance", "print_bias_variance"),
    "crops": ("CropSheet", "draw_crops", "measure_crops", "parse_box"),
    "curves": ("PerceptionDistortion", "draw_curves", "measure_curves", "open_methods"),
    "loss_maps": ("PictureLossMaps", "draw_loss_maps", "measure_loss_maps"),
    "loss_scales": ("LossScales", "draw_loss_scales", "measure_loss_scales"),
    "models": ("Upscaling", "load_autoencoder", "load_models", "parse_models", "read_pair"),
    "spectra": ("Spectra", "draw_spectra", "measure_spectra"),
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: a spectrum needs nothing of what evaluates models."""
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'aesop.analysis' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"aesop.analysis.{home}"), name)
