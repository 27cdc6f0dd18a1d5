"""AESOP: perceptual image super-resolution with auto-encoded supervision.

from aesop import AESOPLoss

loss = AESOPLoss.pretrained("x4")
"""

import typing as _typing

__version__ = "0.1.0"

if _typing.TYPE_CHECKING:
    from aesop.analysis import draw_crops as draw_crops
    from aesop.analysis import draw_curves as draw_curves
    from aesop.analysis import draw_loss_maps as draw_loss_maps
    from aesop.analysis import draw_loss_scales as draw_loss_scales
    from aesop.analysis import draw_spectra as draw_spectra
    from aesop.analysis import measure_crops as measure_crops
    from aesop.analysis import measure_curves as measure_curves
    from aesop.analysis import measure_loss_maps as measure_loss_maps
    from aesop.analysis import measure_loss_scales as measure_loss_scales
    from aesop.analysis import measure_spectra as measure_spectra
    from aesop.analysis.degradations import degrade as degrade
    from aesop.autoencoder import AutoEncoder as AutoEncoder
    from aesop.box import models as models
    from aesop.demos.demo import demo as demo
    from aesop.errors import AesopError as AesopError
    from aesop.evaluation.evaluate import Evaluation as Evaluation
    from aesop.evaluation.evaluate import evaluate as evaluate
    from aesop.losses.aesop import AESOPLoss as AESOPLoss
    from aesop.networks.interpolate import interpolate as interpolate
    from aesop.networks.interpolate import interpolate_files as interpolate_files
    from aesop.networks.loading import LoadedGenerator as LoadedGenerator
    from aesop.networks.loading import load_generator as load_generator
    from aesop.publishing import push as push
    from aesop.reports.report import report as report
    from aesop.training.recipe_files import load_recipe as load_recipe
    from aesop.training.recipe_names import recipe_names as recipe_names
    from aesop.training.train import train as train
    from aesop.upscaling.export import export as export
    from aesop.upscaling.in_memory import upscale_picture as upscale_picture
    from aesop.upscaling.upscale import upscale as upscale
else:
    # The same names once more: each is imported on first use, so that `import aesop` and help need no torch.
    _HOMES = {
        "aesop.analysis": (
            "draw_crops", "draw_curves", "draw_loss_maps", "draw_loss_scales", "draw_spectra",
            "measure_crops", "measure_curves", "measure_loss_maps", "measure_loss_scales", "measure_spectra",
        ),
        "aesop.analysis.degradations": ("degrade",),
        "aesop.autoencoder": ("AutoEncoder",),
        "aesop.box": ("models",),
        "aesop.demos.demo": ("demo",),
        "aesop.errors": ("AesopError",),
        "aesop.evaluation.evaluate": ("Evaluation", "evaluate"),
        "aesop.losses.aesop": ("AESOPLoss",),
        "aesop.networks.interpolate": ("interpolate", "interpolate_files"),
        "aesop.networks.loading": ("LoadedGenerator", "load_generator"),
        "aesop.publishing": ("push",),
        "aesop.reports.report": ("report",),
        "aesop.training.recipe_files": ("load_recipe",),
        "aesop.training.recipe_names": ("recipe_names",),
        "aesop.training.train": ("train",),
        "aesop.upscaling.export": ("export",),
        "aesop.upscaling.in_memory": ("upscale_picture",),
        "aesop.upscaling.upscale": ("upscale",),
    }  # fmt: skip
    __all__ = sorted(["__version__", *(name for names in _HOMES.values() for name in names)])

    def __getattr__(name: str) -> object:
        from importlib import import_module

        home = next((module for module, names in _HOMES.items() if name in names), None)
        if home is None:
            raise AttributeError(f"module 'aesop' has no attribute {name!r}")
        return getattr(import_module(home), name)

    def __dir__() -> list[str]:
        return __all__
