"""Metrics by the paper's protocol (docs/evaluation.md): one file each, pure functions on (N, 3, H, W) in [0, 1]."""

from aesop.metrics.ae_psnr import AE_PSNR
from aesop.metrics.clip_iqa import CLIP_IQA
from aesop.metrics.dists import DISTS
from aesop.metrics.fid import FID
from aesop.metrics.lpips import LPIPS
from aesop.metrics.lr_psnr import LR_PSNR
from aesop.metrics.maniqa import MANIQA
from aesop.metrics.metric import Metric, MetricUnavailable, Sample, SetMeasure, SetMetric, Settings
from aesop.metrics.musiq import MUSIQ
from aesop.metrics.niqe import NIQE
from aesop.metrics.patch_fid import PATCH_FID
from aesop.metrics.proxy import LPIPS_PROXY
from aesop.metrics.psnr import PSNR
from aesop.metrics.ssim import SSIM

#: Every metric by its name on the command line, in the order of a table's columns.
METRICS: dict[str, Metric | SetMetric] = {
    metric.name: metric
    for metric in (
        PSNR, SSIM, LR_PSNR, AE_PSNR, LPIPS, DISTS, LPIPS_PROXY, FID, PATCH_FID, NIQE, MANIQA, MUSIQ, CLIP_IQA,
    )
}  # fmt: skip

__all__ = ["METRICS", "Metric", "MetricUnavailable", "Sample", "SetMeasure", "SetMetric", "Settings"]
