"""MANIQA (Yang et al. 2022), a transformer that judges a picture alone, through pyiqa (non-commercial licence).

pyiqa's default, trained on KonIQ-10k: the mean over 20 crops of 224x224 pixels, spread evenly, of 8-bit-rounded RGB. A
picture with a side below 225 pixels is enlarged first.
"""

from __future__ import annotations

from aesop.metrics.metric import Metric
from aesop.metrics.pyiqa_bridge import pyiqa_metric

MANIQA = Metric(
    "maniqa",
    "MANIQA",
    True,
    (0.0, 1.0),
    "",
    4,
    pyiqa_metric("MANIQA", "maniqa", "koniq"),
    needs_hr=False,
    protocol="needs no HR; KonIQ-10k model",
)
