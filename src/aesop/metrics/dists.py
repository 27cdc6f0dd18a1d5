"""DISTS (Ding et al. 2020) on VGG16, through torchmetrics."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aesop.errors import MissingExtraError
from aesop.metrics.luma import eight_bit, require_same_size
from aesop.metrics.metric import Measure, Metric, MetricUnavailable, Sample, Settings
from aesop.metrics.weight_files import require_file


def dists(sr: Tensor, hr: Tensor, network: nn.Module) -> Tensor:
    """DISTS of images (N, 3, H, W) in [0, 1], rounded to 8 bit, borders included, never resized.

    `network(sr, hr)` is torchmetrics' (VGG16, with the authors' weights of its layers). Returns (N,), 0 for equal
    images. Raises DataError where sizes differ.
    """
    require_same_size(sr, hr)
    return network(*((eight_bit(images) / 255).float().to(sr.device) for images in (sr, hr))).view(-1)


def _prepare(settings: Settings) -> Measure:
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
        return dists(sample.sr.to(settings.device), sample.hr.to(settings.device), network).item()

    return measure


DISTS = Metric("dists", "DISTS", False, (0.0, 1.0), "", 4, _prepare, protocol="RGB, no border cropped")
