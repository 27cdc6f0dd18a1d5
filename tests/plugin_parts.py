"""Shared by the tests of the plugins: the examples of docs/plugins.md, and equation 8."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from aesop.autoencoder import AutoEncoder

TEXT = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")
SHELL, BASICSR, TRAINNER, NEOSR, MMENGINE, LIGHTNING, TRAINER = re.findall(
    r"^```\w+\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE
)


def equation_8(sr: Tensor, hr: Tensor) -> Tensor:
    """The loss of images inside [0, 1], computed directly with the auto-encoder in the box."""
    autoencoder = AutoEncoder.load("auto-encoder-x4").eval()
    with torch.no_grad():
        return (autoencoder(sr) - autoencoder(hr)).abs().mean()
