"""DISTS (Ding et al. 2020) on VGG16, through torchmetrics."""

from __future__ import annotations

import torch

from aesop.errors import MissingExtraError
from aesop.metrics.luma import eight_bit
from aesop.metrics.metric import Measure, Metric, MetricUnavailable, Sample, Settings
from aesop.metrics.weight_files import require_file


def _prepare(settings: Settings) -> Measure:
    """The distance of 8-bit-rounded RGB images, borders included (as the reference evaluates it)."""
    try:
        from torchmetrics.functional.image.dists import DISTSNetwork
        from torchvision.models import VGG16_Weights
    except ImportError as error:
        raise MetricUnavailable(str(MissingExtraError("DISTS", "metrics"))) from error
    require_file(VGG16_Weights.DEFAULT.url)
    # The network itself: torchmetrics' public metric would load it anew for every picture.
    network = DISTSNetwork().eval().to(settings.device)

    @torch.inference_mode()
    def measure(sample: Sample) -> float:
        sr, hr = ((eight_bit(images) / 255).float().to(settings.device) for images in (sample.sr, sample.hr))
        return network(sr, hr).item()

    return measure


DISTS = Metric("dists", "DISTS", False, (0.0, 1.0), "", 4, _prepare)
