"""Networks of pyiqa, the optional extra `iqa`. Its licence, PolyForm Noncommercial, forbids commercial use."""

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

    `weights` is the key of the network's file in pyiqa's own list: we fetch to its place what pyiqa would fetch
    without ever giving up.
    """

    higher_is_better = True
    needs_hr = False
    packages = ("pyiqa",)
    protocol = "needs no HR; KonIQ-10k model"
    weights: ClassVar[str]

    def load(self, device: torch.device) -> Any:
        """Load pyiqa's network."""
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
        """The network's score."""
        return network(rounded(sample.sr))
