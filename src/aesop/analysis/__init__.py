"""The paper's analysis figures for any model: `measure_...` computes, `draw_...` draws what it returned."""

from aesop.analysis.crops import CropSheet, draw_crops, measure_crops, parse_box
from aesop.analysis.curves import PerceptionDistortion, draw_curves, measure_curves
from aesop.analysis.loss_maps import LossMaps, draw_loss_maps, measure_loss_maps
from aesop.analysis.loss_scales import LossScales, draw_loss_scales, measure_loss_scales
from aesop.analysis.spectra import Spectra, draw_spectra, measure_spectra

__all__ = [
    "CropSheet", "LossMaps", "LossScales", "PerceptionDistortion", "Spectra", "draw_crops", "draw_curves",
    "draw_loss_maps", "draw_loss_scales", "draw_spectra", "measure_crops", "measure_curves", "measure_loss_maps",
    "measure_loss_scales", "measure_spectra", "parse_box",
]  # fmt: skip
