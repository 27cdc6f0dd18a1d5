"""Stage 2: the auto-encoder is pretrained to estimate the fidelity bias (eq. 4-6).

    min  |E(y) - x|_1  +  |D(E(y)) - y|_1

E and D are trained together: an encoder that merely equalled the downscaler would make the loss blind to all that
downscaling removes (bottleneck collapse).
"""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.autoencoder import AutoEncoder
from aesop.metrics.psnr import psnr
from aesop.training.ema import EMA
from aesop.training.fidelity import validation_psnr
from aesop.training.recipe import AutoEncoderConfig, Recipe
from aesop.training.stage import Pairs, adam

#: By how many dB AE(HR) must be nearer to HR than the fidelity network's G(LR) before the bottleneck can be said to
#: carry more than LR.
LEAST_GAIN = 0.5


class AutoEncoderStage:
    """Train `autoencoder`, whose decoder starts as `fidelity`, a copy of the frozen fidelity network."""

    name = "autoencoder"

    def __init__(
        self,
        fabric: Fabric,
        recipe: Recipe,
        config: AutoEncoderConfig,
        autoencoder: AutoEncoder,
        fidelity: nn.Module,
    ) -> None:
        self.fabric, self.config, self.scale = fabric, config, recipe.scale
        fabric.to_device(autoencoder)
        if config.freeze_decoder:
            autoencoder.decoder.requires_grad_(False).eval()
        self.fidelity = fabric.to_device(fidelity).requires_grad_(False).eval()
        self.fidelity_psnr: float | None = None
        self.ema = EMA(autoencoder, self.config.ema)
        self.network = autoencoder
        trained = [parameter for parameter in autoencoder.parameters() if parameter.requires_grad]
        self.autoencoder, self.optimizer = fabric.setup(autoencoder, adam(trained, self.config))
        self.autoencoder.mark_forward_method("bottleneck_and_output")
        self.optimizers = [self.optimizer]
        self.result = self.ema.model
        self.parts = {"autoencoder": autoencoder, "ema": self.ema.model, "optimizer": self.optimizer}

    def step(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """Take one iteration."""
        bottleneck, output = self.autoencoder.bottleneck_and_output(hr)
        lr_loss = F.l1_loss(bottleneck, lr)  # eq. 4
        hr_loss = F.l1_loss(output, hr)  # eq. 5
        self.fabric.backward(self.config.lr_weight * lr_loss + self.config.hr_weight * hr_loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.network)
        return {"lr": lr_loss.detach(), "hr": hr_loss.detach()}

    @torch.no_grad()
    def validate(self, pairs: Pairs) -> dict[str, float]:
        """Measure what makes an auto-encoder worth using, in dB: PSNR(AE(HR), HR), PSNR(G(LR), HR), PSNR(E(HR), LR)."""
        autoencoded, bottleneck = [], []
        for lr, hr in pairs:
            squeezed, output = self.ema.model.bottleneck_and_output(hr)
            autoencoded.append(psnr(output, hr, border=self.scale).item())
            bottleneck.append(psnr(squeezed, lr, border=1).item())
        if self.fidelity_psnr is None:
            self.fidelity_psnr = validation_psnr(self.fidelity, pairs, self.scale)
        return {
            "ae_psnr": sum(autoencoded) / len(pairs),
            "fidelity_psnr": self.fidelity_psnr,
            "bottleneck_psnr": sum(bottleneck) / len(pairs),
        }


def verdict(measured: dict[str, float], lr_weight: float) -> str:
    """Say whether the bottleneck carries more than LR, and whether it still is LR to the eye."""
    gain = measured["ae_psnr"] - measured["fidelity_psnr"]
    numbers = (
        f"AE(HR) {measured['ae_psnr']:.2f} dB, G(LR) {measured['fidelity_psnr']:.2f} dB, "
        f"E(HR) against LR {measured['bottleneck_psnr']:.1f} dB"
    )
    if gain < LEAST_GAIN:
        return (
            f"this auto-encoder has learned nothing beyond LR ({numbers}): the AESOP loss would be little more "
            f"than LR consistency; train it longer{', or lower autoencoder.lr_weight' if lr_weight else ''}"
        )
    return f"the auto-encoder keeps {gain:.2f} dB more of HR than LR allows ({numbers})"
