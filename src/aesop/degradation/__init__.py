"""Degradations for real-world super-resolution: LR crops made of HR crops while training."""

from aesop.degradation.bsrgan import BSRGANDegradationConfig
from aesop.degradation.realesrgan import RealESRGANDegradationConfig
from aesop.degradation.section import Degradation, DegradationSection

__all__ = ["BSRGANDegradationConfig", "Degradation", "DegradationSection", "RealESRGANDegradationConfig"]
