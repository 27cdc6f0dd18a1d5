"""Metrics by the paper's protocol (docs/evaluation.md): pure functions on (N, 3, H, W) in [0, 1], and their classes."""

from __future__ import annotations

import difflib

from aesop.config import import_here
from aesop.errors import AesopError
from aesop.metrics.ae_psnr import AEPSNR
from aesop.metrics.bias_variance import HRVE, L1, SE, VE
from aesop.metrics.clip_iqa import CLIPIQA
from aesop.metrics.dists import DISTS
from aesop.metrics.fid import FID
from aesop.metrics.grid import Grid, HRGrid
from aesop.metrics.lpips import LPIPS
from aesop.metrics.lr_psnr import LRPSNR
from aesop.metrics.metric import Metric, MetricUnavailable, Sample, SetMeasure, SetMetric, Settings
from aesop.metrics.niqe import NIQE
from aesop.metrics.patch_fid import PatchFID
from aesop.metrics.proxy import LPIPSProxy
from aesop.metrics.psnr import PSNR
from aesop.metrics.pyiqa_metric import MANIQA, MUSIQ
from aesop.metrics.ssim import SSIM

#: Every metric by its name on the command line, in the order of a table's columns.
METRICS: dict[str, Metric | SetMetric] = {
    metric.name: metric
    for metric in (
        PSNR(), SSIM(), LRPSNR(), AEPSNR(), SE(), VE(), HRVE(), L1(), LPIPS(), DISTS(), LPIPSProxy(), FID(), PatchFID(),
        NIQE(), MANIQA(), MUSIQ(), CLIPIQA(), Grid(), HRGrid(),
    )
}  # fmt: skip

__all__ = ["METRICS", "Metric", "MetricUnavailable", "Sample", "SetMeasure", "SetMetric", "Settings", "metric_named"]


def metric_named(text: str) -> Metric | SetMetric:
    """The metric of METRICS that `text` names, or the user's own of `module:Class` (docs/extending.md).

    The user's module is imported from the present folder or wherever Python looks; afterwards the metric stands in
    METRICS. Raises AesopError for a name that is neither.
    """
    if text not in METRICS:
        if ":" not in text:
            near = difflib.get_close_matches(text, METRICS, n=1)
            mend = f"did you mean {near[0]}?" if near else f"choose from {', '.join(METRICS)}."
            raise AesopError(f"unknown metric {text!r}; {mend}")
        METRICS[text] = _own(text)
    return METRICS[text]


def _own(text: str) -> Metric | SetMetric:
    module, _, name = text.partition(":")
    try:
        found = getattr(import_here(module), name, None)
    except ValueError as error:
        raise AesopError(f"{text}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Metric | SetMetric)):
        raise AesopError(f"{text}: {module} has no class {name} derived from Metric; see docs/extending.md")
    if not hasattr(found, "higher_is_better"):
        raise AesopError(f"{text}: does not say what is better; give it `higher_is_better = True`, False or None")
    metric = found()
    metric.name, metric.title = text, metric.title or name
    return metric
