"""Networks that judge a picture without HR: CLIP-IQA, MANIQA and MUSIQ."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from aesop.errors import MissingExtraError
from aesop.metrics.metric import MetricUnavailable, NetworkMetric
from aesop.networks.downloads import answers, fetch

HUB = "https://huggingface.co"
LICENCE = "(pyiqa; its licence, PolyForm Noncommercial, forbids commercial use)"


class CLIPIQA(NetworkMetric):
    """CLIP-IQA (Wang et al. 2023): does CLIP find "Good photo." or "Bad photo." nearer to a picture? Through piq.

    One pair of sentences, as its authors define it; piq's network is CLIP's ResNet-50 without position embedding.
    pyiqa's `clipiqa`, whose values many papers print, averages over five pairs: they do not compare. The paper cut
    DRealSR's pictures into quadrants, for lack of memory.
    """

    name, title = "clip-iqa", "CLIP-IQA"
    higher_is_better = True
    packages = ("piq",)
    needs_hr = False
    least_side = 32  # the ResNet halves a picture five times
    unlike_paper = "the paper's tool averages five pairs of sentences, ours has one"
    protocol = "needs no HR; one pair of prompts"

    def load(self, device: torch.device) -> nn.Module:
        from piq import CLIPIQA
        from piq.clip_iqa import TOKENS_URL
        from piq.feature_extractors.clip import PIQ_CLIP_MODEL_PATH

        for url in (PIQ_CLIP_MODEL_PATH, TOKENS_URL):
            fetch(url, Path("~/.cache/clip").expanduser())
        return CLIPIQA().to(device)


class PyiqaMetric(NetworkMetric):
    """The network that pyiqa has by a metric's name.

    pyiqa is the optional extra `iqa`; its licence, PolyForm Noncommercial, is not ours. `weights` is the key of the
    network's file in pyiqa's list; we fetch it ourselves, since pyiqa waits for ever.
    """

    higher_is_better = True
    needs_hr = False
    packages = ("pyiqa",)
    protocol = "needs no HR; KonIQ-10k model"
    weights: ClassVar[str]

    def load(self, device: torch.device) -> Any:
        try:
            pyiqa = import_module("pyiqa")
            folder = Path(import_module("pyiqa.utils.download_util").DEFAULT_CACHE_DIR)
            url = import_module(f"pyiqa.archs.{self.name}_arch").default_model_urls[self.weights]
        except ImportError as error:
            raise MetricUnavailable(f"{MissingExtraError(self.title, 'iqa')} {LICENCE}") from error
        fetch(url, folder)
        if not answers(HUB):
            # MANIQA's trunk comes by way of timm, which would ask for a minute before it looks into its cache.
            vars(import_module("huggingface_hub.constants"))["HF_HUB_OFFLINE"] = True
        try:
            with redirect_stdout(sys.stderr):
                return pyiqa.create_metric(self.name, device=device)
        except (OSError, RuntimeError) as error:
            raise MetricUnavailable(f"no weights: pyiqa could not load {self.title} ({error})") from error


class MANIQA(PyiqaMetric):
    """MANIQA (Yang et al. 2022), a transformer: the mean over 20 crops of 224x224 pixels, spread evenly.

    A picture with a side below 225 pixels is enlarged first.
    """

    name, title = "maniqa", "MANIQA"
    weights = "koniq"


class MUSIQ(PyiqaMetric):
    """MUSIQ (Ke et al. 2021), a transformer on 32x32 patches of the picture and of copies of side 384 and 224."""

    name, title = "musiq", "MUSIQ"
    digits = 3
    weights = "koniq10k"
