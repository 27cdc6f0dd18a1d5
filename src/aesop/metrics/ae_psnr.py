"""AE-PSNR: how far SR and HR agree in what the auto-encoder keeps, the fidelity bias (paper, section 4.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aesop.metrics.luma import eight_bit
from aesop.metrics.metric import Measure, Metric, MetricUnavailable, Sample, Settings
from aesop.metrics.psnr import psnr


def ae_psnr(sr: Tensor, hr: Tensor, autoencoder: nn.Module, *, border: int) -> Tensor:
    """PSNR(AE(SR), AE(HR)) by the protocol of `psnr`.

    `sr` and `hr` are (N, 3, H, W) in [0, 1] and rounded to 8 bit before the auto-encoder as its outputs are after it
    (the reference stores both as PNG). Returns (N,) float64 in dB.
    """
    return psnr(_auto_encode(autoencoder, sr), _auto_encode(autoencoder, hr), border=border)


@torch.inference_mode()
def _auto_encode(autoencoder: nn.Module, images: Tensor) -> Tensor:
    """AE(images), on the CPU."""
    weight = next(autoencoder.parameters(), torch.empty(0))
    return autoencoder((eight_bit(images) / 255).float().to(weight)).cpu()


def _prepare(settings: Settings) -> Measure:
    if settings.autoencoder is None:
        raise MetricUnavailable("needs an auto-encoder; name one with --autoencoder FILE")
    autoencoder = settings.autoencoder
    known: tuple[Tensor | None, Tensor | None] = None, None

    def measure(sample: Sample) -> float:
        nonlocal known
        hr, encoded = known
        if hr is not sample.hr or encoded is None:
            # AE(HR) is the same for every model that is compared on this picture.
            encoded = _auto_encode(autoencoder, sample.hr)
            known = sample.hr, encoded
        return psnr(_auto_encode(autoencoder, sample.sr), encoded, border=settings.scale).item()

    return measure


AE_PSNR = Metric(
    "ae-psnr",
    "AE-PSNR",
    True,
    (0.0, float("inf")),
    "dB",
    3,
    _prepare,
    needs_autoencoder=True,
    unlike_paper="the paper's is of its own auto-encoder",
    protocol="PSNR of AE(SR) against AE(HR); compare numbers of one auto-encoder only",
)
