"""MUSIQ (Ke et al. 2021), a transformer on patches of several scales, through pyiqa (non-commercial licence)."""

from __future__ import annotations

from aesop.metrics.pyiqa_metric import PyiqaMetric


class MUSIQ(PyiqaMetric):
    """pyiqa's default, trained on KonIQ-10k.

    It sees 32x32 patches of the whole picture and of copies whose longer side is 384 and 224 pixels.
    """

    name, title = "musiq", "MUSIQ"
    range, digits = (0.0, 100.0), 3
    weights = "koniq10k"
