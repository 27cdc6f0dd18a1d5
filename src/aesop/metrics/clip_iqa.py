"""CLIP-IQA (Wang et al. 2023): does CLIP find "Good photo." or "Bad photo." nearer to a picture? Through piq."""

from __future__ import annotations

from pathlib import Path

import torch

from aesop.errors import MissingExtraError
from aesop.metrics.luma import eight_bit
from aesop.metrics.metric import Measure, Metric, MetricUnavailable, Sample, Settings
from aesop.metrics.weight_files import require_file

#: Where piq keeps CLIP and the tokens of the two sentences.
FOLDER = Path("~/.cache/clip")


def _prepare(settings: Settings) -> Measure:
    """Of 8-bit-rounded RGB, uncropped and unresized, by CLIP's ResNet-50 without position embedding.

    The metric as its authors define it, on the network that torchmetrics takes for it too. pyiqa's `clipiqa` averages
    over five pairs of sentences instead: its values, which many papers print, are not comparable. Memory grows with
    the square of the pixels; the paper cut DRealSR's pictures into quadrants.
    """
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
        return network((eight_bit(sample.sr) / 255).float().to(settings.device)).item()

    return measure


CLIP_IQA = Metric("clip-iqa", "CLIP-IQA", True, (0.0, 1.0), "", 4, _prepare, needs_hr=False)
