"""Networks of pyiqa, the optional extra `iqa`. Its licence, PolyForm Noncommercial, forbids commercial use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path

import torch

from aesop.errors import MissingExtraError
from aesop.metrics.luma import eight_bit
from aesop.metrics.metric import Measure, MetricUnavailable, Sample, Settings
from aesop.metrics.weight_files import require_file
from aesop.networks.downloads import answers

HUB = "https://huggingface.co"

LICENCE = "(pyiqa; its licence, PolyForm Noncommercial, forbids commercial use)"


def pyiqa_metric(title: str, name: str, weights: str) -> Callable[[Settings], Measure]:
    """The `prepare` of a metric that is pyiqa's `name`, a network trained on `weights`.

    It sees 8-bit-rounded RGB in [0, 1], uncropped. `weights` is the key of the network's file in pyiqa's own list, so
    that we fetch to its place what pyiqa would fetch without ever giving up.
    """

    def prepare(settings: Settings) -> Measure:
        try:
            pyiqa = import_module("pyiqa")
            folder = Path(import_module("pyiqa.utils.download_util").DEFAULT_CACHE_DIR)
            url = import_module(f"pyiqa.archs.{name}_arch").default_model_urls[weights]
        except ImportError as error:
            raise MetricUnavailable(f"{MissingExtraError(title, 'iqa')} {LICENCE}") from error
        require_file(url, folder)
        if not answers(HUB):
            # MANIQA's trunk comes by way of timm, which would ask for a minute before it looks into its cache.
            vars(import_module("huggingface_hub.constants"))["HF_HUB_OFFLINE"] = True
        try:
            with redirect_stdout(sys.stderr):
                network = pyiqa.create_metric(name, device=settings.device)
        except (OSError, RuntimeError) as error:
            raise MetricUnavailable(f"no weights: pyiqa could not load {title} ({error})") from error

        @torch.inference_mode()
        def measure(sample: Sample) -> float:
            return network((eight_bit(sample.sr) / 255).float()).item()

        return measure

    return prepare
