"""DISTS (Ding et al. 2020) on VGG16, through torchmetrics."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aesop.metrics.luma import require_same_size, rounded
from aesop.metrics.metric import NetworkMetric, Sample, require_file


def dists(sr: Tensor, hr: Tensor, network: nn.Module) -> Tensor:
    """DISTS of images (N, 3, H, W) in [0, 1], rounded to 8 bit, neither cropped nor resized; (N,), 0 for equal images.

    `network` is torchmetrics' (VGG16 with the authors' weights of its layers). Raises DataError where sizes differ.
    """
    require_same_size(sr, hr)
    return network(rounded(sr), rounded(hr)).view(-1)


class DISTS(NetworkMetric):
    """`dists` of a picture."""

    name, title = "dists", "DISTS"
    higher_is_better = False
    packages = ("torchmetrics", "torchvision")
    range = (0.0, 1.0)
    protocol = "RGB, no border cropped"

    def load(self, device: torch.device) -> nn.Module:
        # The network itself: torchmetrics' public metric would load it again for every picture.
        from torchmetrics.functional.image.dists import DISTSNetwork
        from torchvision.models import VGG16_Weights

        require_file(VGG16_Weights.DEFAULT.url)
        return DISTSNetwork().eval().to(device)

    def value(self, network: nn.Module, sample: Sample) -> Tensor:
        return dists(sample.sr, sample.hr, network)
