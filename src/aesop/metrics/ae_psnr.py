"""AE-PSNR: how far SR and HR agree in what the auto-encoder keeps, the fidelity bias (paper, section 4.3)."""

from __future__ import annotations

from aesop.metrics.metric import Measure, Metric, Settings
from aesop.metrics.psnr import psnr


class AEPSNR(Metric):
    """`psnr` of AE(SR) and AE(HR), rounded to 8 bit before and after AE: the reference stores them as PNG."""

    name, title = "ae-psnr", "AE-PSNR"
    higher_is_better = True
    unit, digits = "dB", 3
    needs_autoencoder = True
    unlike_paper = "the paper's is of its own auto-encoder"
    protocol = "PSNR of AE(SR) against AE(HR); compare numbers of one auto-encoder only"

    def prepare(self, settings: Settings) -> Measure:
        encode = settings.auto_encode
        return lambda sample: psnr(encode(sample.sr), encode(sample.hr), border=sample.scale).item()
