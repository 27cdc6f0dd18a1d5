"""CLIP-IQA (Wang et al. 2023): does CLIP find "Good photo." or "Bad photo." nearer to a picture? Through piq."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from aesop.metrics.luma import require_sides, rounded
from aesop.metrics.metric import NetworkMetric, Sample, require_file

#: CLIP's ResNet-50 halves a picture five times.
LEAST_SIDE = 32


def clip_iqa(images: Tensor, network: nn.Module) -> Tensor:
    """CLIP-IQA of images (N, 3, H, W) in [0, 1], rounded to 8 bit, uncropped and unresized; (N,) in [0, 1].

    `network` is piq's: CLIP's ResNet-50 without position embedding, with one pair of sentences, as the metric's
    authors define it. pyiqa's `clipiqa` averages over five pairs: its values, which many papers print, are not
    comparable. The paper cut DRealSR's pictures into quadrants, for lack of memory; nothing is cut here.

    Raises DataError where a side is shorter than 32 pixels.
    """
    require_sides(images, LEAST_SIDE, "CLIP-IQA")
    return network(rounded(images)).view(-1)


class CLIPIQA(NetworkMetric):
    """`clip_iqa` of a picture."""

    name, title = "clip-iqa", "CLIP-IQA"
    higher_is_better = True
    packages = ("piq",)
    range = (0.0, 1.0)
    needs_hr = False
    unlike_paper = "the paper's tool averages five pairs of sentences, ours has one"
    protocol = "needs no HR; one pair of prompts"

    def load(self, device: torch.device) -> nn.Module:
        """CLIP, which piq keeps in a folder of its own, with the tokens of the two sentences."""
        from piq import CLIPIQA
        from piq.clip_iqa import TOKENS_URL
        from piq.feature_extractors.clip import PIQ_CLIP_MODEL_PATH

        for url in (PIQ_CLIP_MODEL_PATH, TOKENS_URL):
            require_file(url, Path("~/.cache/clip").expanduser())
        return CLIPIQA().to(device)

    def value(self, network: nn.Module, sample: Sample) -> Tensor:
        """CLIP-IQA, in [0, 1]."""
        return clip_iqa(sample.sr, network)
