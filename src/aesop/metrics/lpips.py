"""LPIPS (Zhang et al. 2018) on AlexNet, through torchmetrics."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aesop.errors import MissingExtraError
from aesop.metrics.luma import eight_bit, require_same_size, require_sides
from aesop.metrics.metric import Measure, Metric, MetricUnavailable, Sample, Settings
from aesop.metrics.weight_files import require_file

#: What AlexNet's strides and poolings leave something of.
LEAST_SIDE = 31


def lpips(sr: Tensor, hr: Tensor, network: nn.Module) -> Tensor:
    """LPIPS of images (N, 3, H, W) in [0, 1], rounded to 8 bit, borders included, as the reference evaluates it.

    `network(sr, hr, normalize=True)` is torchmetrics' (AlexNet, with the linear weights of version 0.1). Returns
    (N,), 0 for equal images. Raises DataError where sizes differ or a side is shorter than 31 pixels.
    """
    require_same_size(sr, hr)
    require_sides(sr, LEAST_SIDE, "LPIPS")
    return network(*((eight_bit(images) / 255).float().to(sr.device) for images in (sr, hr)), normalize=True).view(-1)


def _prepare(settings: Settings) -> Measure:
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
        from torchvision.models import AlexNet_Weights
    except ImportError as error:
        raise MetricUnavailable(str(MissingExtraError("LPIPS", "metrics"))) from error
    require_file(AlexNet_Weights.DEFAULT.url)
    network = LearnedPerceptualImagePatchSimilarity(net_type="alex").net.to(settings.device)

    @torch.inference_mode()
    def measure(sample: Sample) -> float:
        return lpips(sample.sr.to(settings.device), sample.hr.to(settings.device), network).item()

    return measure


LPIPS = Metric(
    "lpips", "LPIPS", False, (0.0, float("inf")), "", 4, _prepare, protocol="AlexNet, RGB, no border cropped"
)
