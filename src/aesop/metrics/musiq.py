"""MUSIQ (Ke et al. 2021), a transformer on patches of several scales, through pyiqa (non-commercial licence).

pyiqa's default, trained on KonIQ-10k: 32x32 patches of the whole picture and of copies whose longer side is 384 and 224
pixels, of 8-bit-rounded RGB.
"""

from __future__ import annotations

from aesop.metrics.metric import Metric
from aesop.metrics.pyiqa_bridge import pyiqa_metric

MUSIQ = Metric(
    "musiq",
    "MUSIQ",
    True,
    (0.0, 100.0),
    "",
    3,
    pyiqa_metric("MUSIQ", "musiq", "koniq10k"),
    needs_hr=False,
    protocol="needs no HR; KonIQ-10k model",
)
