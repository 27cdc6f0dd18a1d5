"""Metrics by the paper's protocol (docs/evaluation.md): pure functions on (N, 3, H, W) in [0, 1], and their classes."""

from __future__ import annotations

import difflib

from aesop.config import named_class
from aesop.errors import AesopError
from aesop.metrics.bias_variance import HRVE, L1, SE, VE
from aesop.metrics.fid import FID, PatchFID
from aesop.metrics.grid import Grid, HRGrid
from aesop.metrics.metric import CombinedMetric, Metric, MetricUnavailable, Sample, SetMeasure, SetMetric, Settings
from aesop.metrics.niqe import NIQE
from aesop.metrics.no_reference import CLIPIQA, MANIQA, MUSIQ
from aesop.metrics.ntire import NTIRE
from aesop.metrics.perceptual import DISTS, LPIPS, LPIPSProxy
from aesop.metrics.psnr import AEPSNR, LRPSNR, PSNR
from aesop.metrics.spectrum import Spectrum
from aesop.metrics.ssim import SSIM

#: Every metric by its name on the command line, in the order of a table's columns.
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        PSNR(), SSIM(), LRPSNR(), AEPSNR(), SE(), VE(), HRVE(), L1(), LPIPS(), DISTS(), LPIPSProxy(), FID(), PatchFID(),
        NIQE(), MANIQA(), MUSIQ(), CLIPIQA(), NTIRE(), Grid(), HRGrid(), Spectrum(),
    )
}  # fmt: skip

__all__ = [
    "METRICS", "CombinedMetric", "Metric", "MetricUnavailable", "Sample", "SetMeasure", "SetMetric", "Settings",
    "metric_named",
]  # fmt: skip


def metric_named(text: str) -> Metric:
    """Return the metric of METRICS that `text` names, or the user's own of `module:Class` (docs/extending.md).

    The user's module is imported from the current folder or wherever Python looks, and the metric added to METRICS.
    Raises AesopError for a name that is neither.
    """
    if text not in METRICS:
        if ":" not in text:
            near = difflib.get_close_matches(text, METRICS, n=1)
            mend = f"did you mean {near[0]}?" if near else f"choose from {', '.join(METRICS)}."
            raise AesopError(f"unknown metric {text!r}; {mend}")
        try:
            own = named_class(text, Metric)
        except ValueError as error:
            raise AesopError(str(error)) from error
        if not hasattr(own, "higher_is_better"):
            raise AesopError(f"{text}: has no `higher_is_better`; set it to True, False or None.")
        METRICS[text] = own()
        METRICS[text].name, METRICS[text].title = text, own.title or own.__name__
    return METRICS[text]
