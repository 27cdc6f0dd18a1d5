"""MANIQA (Yang et al. 2022), a transformer that rates a picture alone, through pyiqa (non-commercial licence)."""

from __future__ import annotations

from aesop.metrics.pyiqa_metric import PyiqaMetric


class MANIQA(PyiqaMetric):
    """pyiqa's default, trained on KonIQ-10k: the mean over 20 crops of 224x224 pixels, spread evenly.

    A picture with a side below 225 pixels is enlarged first.
    """

    name, title = "maniqa", "MANIQA"
    range = (0.0, 1.0)
    weights = "koniq"
