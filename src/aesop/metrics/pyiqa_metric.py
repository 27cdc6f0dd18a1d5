"""MANIQA and MUSIQ through pyiqa, the optional extra `iqa`; its licence, PolyForm Noncommercial, is not ours."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from aesop.errors import MissingExtraError
from aesop.metrics.luma import rounded
from aesop.metrics.metric import MetricUnavailable, NetworkMetric, Sample, require_file
from aesop.networks.downloads import answers

HUB = "https://huggingface.co"
LICENCE = "(pyiqa; its licence, PolyForm Noncommercial, forbids commercial use)"


class PyiqaMetric(NetworkMetric):
    """The network that pyiqa has by a metric's name; it sees 8-bit-rounded RGB, uncropped.

    `weights` is the key of its file in pyiqa's list; we fetch it ourselves, since pyiqa waits for ever.
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
        require_file(url, folder)
        if not answers(HUB):
            # MANIQA's trunk comes by way of timm, which would ask for a minute before it looks into its cache.
            vars(import_module("huggingface_hub.constants"))["HF_HUB_OFFLINE"] = True
        try:
            with redirect_stdout(sys.stderr):
                return pyiqa.create_metric(self.name, device=device)
        except (OSError, RuntimeError) as error:
            raise MetricUnavailable(f"no weights: pyiqa could not load {self.title} ({error})") from error

    def value(self, network: Any, sample: Sample) -> Tensor:
        return network(rounded(sample.sr))


class MANIQA(PyiqaMetric):
    """MANIQA (Yang et al. 2022), a transformer: the mean over 20 crops of 224x224 pixels, spread evenly.

    A picture with a side below 225 pixels is enlarged first.
    """

    name, title = "maniqa", "MANIQA"
    range = (0.0, 1.0)
    weights = "koniq"


class MUSIQ(PyiqaMetric):
    """MUSIQ (Ke et al. 2021), a transformer on 32x32 patches of the picture and of copies of side 384 and 224."""

    name, title = "musiq", "MUSIQ"
    range, digits = (0.0, 100.0), 3
    weights = "koniq10k"
