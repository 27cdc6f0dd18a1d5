"""Degradations for real-world super-resolution: LR crops made of HR crops while training."""

from aesop.degradation.bsrgan import BSRGANDegradationConfig
from aesop.degradation.degradation import Degradation, DegradationSection
from aesop.degradation.realesrgan import RealESRGANDegradationConfig

__all__ = ["BSRGANDegradationConfig", "Degradation", "DegradationSection", "RealESRGANDegradationConfig"]
