"""The score that NTIRE's challenge of super-resolution ranks its perceptual track by (x4, 2026)."""

from __future__ import annotations

from aesop.metrics.metric import CombinedMetric


class NTIRE(CombinedMetric):
    """The sum of six metrics that are turned so that more is better; 6 at most, for MUSIQ up to 100."""

    name, title = "ntire", "NTIRE"
    higher_is_better = True
    by_default = False
    parts = ("lpips", "dists", "clip-iqa", "maniqa", "musiq", "niqe")
    protocol = "sum of six metrics as measured here; the challenge measures its own by pyiqa, CLIP-IQA otherwise"

    def combine(self, *values: float) -> float:
        lpips, dists, clip_iqa, maniqa, musiq, niqe = values
        return (1 - lpips) + (1 - dists) + clip_iqa + maniqa + musiq / 100 + max(0.0, (10 - niqe) / 10)
