"""CLIP-IQA (Wang et al. 2023): does CLIP find "Good photo." or "Bad photo." nearer to a picture? Through piq."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from aesop.metrics.luma import require_sides, rounded
from aesop.metrics.metric import NetworkMetric, Sample, require_file


class CLIPIQA(NetworkMetric):
    """CLIP-IQA with one pair of sentences, as its authors define it; rounded to 8 bit, neither cropped nor resized.

    piq's network is CLIP's ResNet-50 without position embedding. pyiqa's `clipiqa`, whose values many papers print,
    averages over five pairs: they do not compare. The paper cut DRealSR's pictures into quadrants, for lack of memory.
    """

    name, title = "clip-iqa", "CLIP-IQA"
    higher_is_better = True
    packages = ("piq",)
    range = (0.0, 1.0)
    needs_hr = False
    unlike_paper = "the paper's tool averages five pairs of sentences, ours has one"
    protocol = "needs no HR; one pair of prompts"

    def load(self, device: torch.device) -> nn.Module:
        from piq import CLIPIQA
        from piq.clip_iqa import TOKENS_URL
        from piq.feature_extractors.clip import PIQ_CLIP_MODEL_PATH

        for url in (PIQ_CLIP_MODEL_PATH, TOKENS_URL):
            require_file(url, Path("~/.cache/clip").expanduser())
        return CLIPIQA().to(device)

    def value(self, network: nn.Module, sample: Sample) -> Tensor:
        require_sides(sample.sr, 32, self.title)  # the ResNet halves a picture five times
        return network(rounded(sample.sr))
