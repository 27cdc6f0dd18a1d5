"""CLIP-IQA (Wang et al. 2023): does CLIP find "Good photo." or "Bad photo." nearer to a picture? Through piq."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from aesop.errors import MissingExtraError
from aesop.metrics.luma import eight_bit, require_sides
from aesop.metrics.metric import Measure, Metric, MetricUnavailable, Sample, Settings
from aesop.metrics.weight_files import require_file

#: Where piq keeps CLIP and the tokens of the two sentences.
FOLDER = Path("~/.cache/clip")


#: CLIP's ResNet-50 halves a picture five times.
LEAST_SIDE = 32


def clip_iqa(images: Tensor, network: nn.Module) -> Tensor:
    """CLIP-IQA of images (N, 3, H, W) in [0, 1], rounded to 8 bit, uncropped and unresized; (N,) in [0, 1].

    `network` is piq's: CLIP's ResNet-50 without position embedding, with one pair of sentences, as the metric's
    authors define it. pyiqa's `clipiqa` averages over five pairs: its values, which many papers print, are not
    comparable. The paper cut DRealSR's pictures into quadrants, for want of memory; nothing is cut here.

    Raises DataError where a side is shorter than 32 pixels.
    """
    require_sides(images, LEAST_SIDE, "CLIP-IQA")
    return network((eight_bit(images) / 255).float().to(images.device)).view(-1)


def _prepare(settings: Settings) -> Measure:
    try:
        from piq import CLIPIQA
        from piq.clip_iqa import TOKENS_URL
        from piq.feature_extractors.clip import PIQ_CLIP_MODEL_PATH
    except ImportError as error:
        raise MetricUnavailable(str(MissingExtraError("CLIP-IQA", "metrics"))) from error
    for url in (PIQ_CLIP_MODEL_PATH, TOKENS_URL):
        require_file(url, FOLDER.expanduser())
    network = CLIPIQA().to(settings.device)

    @torch.inference_mode()
    def measure(sample: Sample) -> float:
        return clip_iqa(sample.sr.to(settings.device), network).item()

    return measure


CLIP_IQA = Metric(
    "clip-iqa",
    "CLIP-IQA",
    True,
    (0.0, 1.0),
    "",
    4,
    _prepare,
    needs_hr=False,
    unlike_paper="the paper's tool averages five pairs of sentences, ours has one",
    protocol="needs no HR; one pair of prompts",
)
