"""LPIPS (Zhang et al. 2018) on AlexNet, through torchmetrics."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aesop.metrics.luma import require_same_size, require_sides, rounded
from aesop.metrics.metric import NetworkMetric, Sample, require_file


def lpips(sr: Tensor, hr: Tensor, network: nn.Module) -> Tensor:
    """LPIPS of images (N, 3, H, W) in [0, 1], rounded to 8 bit, borders included; (N,), 0 for equal images.

    `network` is torchmetrics' (AlexNet with the linear weights of version 0.1). Raises DataError where sizes differ or
    a side is shorter than 31 pixels.
    """
    require_same_size(sr, hr)
    require_sides(sr, 31, "LPIPS")  # AlexNet's strides and poolings leave nothing of less
    return network(rounded(sr), rounded(hr), normalize=True).view(-1)


class LPIPS(NetworkMetric):
    """`lpips` of a picture."""

    name, title = "lpips", "LPIPS"
    higher_is_better = False
    packages = ("torchmetrics", "torchvision")
    protocol = "AlexNet, RGB, no border cropped"

    def load(self, device: torch.device) -> nn.Module:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
        from torchvision.models import AlexNet_Weights

        require_file(AlexNet_Weights.DEFAULT.url)
        return LearnedPerceptualImagePatchSimilarity(net_type="alex").net.to(device)

    def value(self, network: nn.Module, sample: Sample) -> Tensor:
        return lpips(sample.sr, sample.hr, network)
