"""Metrics by the paper's protocol (docs/evaluation.md): one file each, pure functions on (N, 3, H, W) in [0, 1]."""

from aesop.metrics.ae_psnr import AE_PSNR
from aesop.metrics.dists import DISTS
from aesop.metrics.lpips import LPIPS
from aesop.metrics.lr_psnr import LR_PSNR
from aesop.metrics.metric import Metric, MetricUnavailable, Sample, Settings
from aesop.metrics.proxy import LPIPS_PROXY
from aesop.metrics.psnr import PSNR
from aesop.metrics.ssim import SSIM

#: Every metric by its name on the command line, in the order of a table's columns.
METRICS: dict[str, Metric] = {
    metric.name: metric for metric in (PSNR, SSIM, LR_PSNR, AE_PSNR, LPIPS, DISTS, LPIPS_PROXY)
}

__all__ = ["METRICS", "Metric", "MetricUnavailable", "Sample", "Settings"]
