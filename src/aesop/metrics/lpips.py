"""LPIPS (Zhang et al. 2018) on AlexNet, through torchmetrics."""

from __future__ import annotations

import torch

from aesop.errors import MissingExtraError
from aesop.metrics.luma import eight_bit
from aesop.metrics.metric import Measure, Metric, MetricUnavailable, Sample, Settings
from aesop.metrics.weight_files import require_file


def _prepare(settings: Settings) -> Measure:
    """The distance of 8-bit-rounded RGB images, borders included (as the reference evaluates it)."""
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
        from torchvision.models import AlexNet_Weights
    except ImportError as error:
        raise MetricUnavailable(str(MissingExtraError("LPIPS", "metrics"))) from error
    require_file(AlexNet_Weights.DEFAULT.url)
    network = LearnedPerceptualImagePatchSimilarity(net_type="alex").net.to(settings.device)

    @torch.inference_mode()
    def measure(sample: Sample) -> float:
        sr, hr = ((eight_bit(images) / 255).float().to(settings.device) for images in (sample.sr, sample.hr))
        return network(sr, hr, normalize=True).item()

    return measure


LPIPS = Metric("lpips", "LPIPS", False, (0.0, float("inf")), "", 4, _prepare)
