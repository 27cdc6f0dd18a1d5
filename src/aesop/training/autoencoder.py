"""Stage 2: the auto-encoder is pretrained to estimate the fidelity bias (eq. 4-6).

    min  |E(y) - x|_1  +  |D(E(y)) - y|_1

E and D are trained together: an encoder that merely equalled the downscaler would make the loss blind to all that
downscaling removes (bottleneck collapse).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from aesop.autoencoder import AutoEncoder
from aesop.metrics.psnr import psnr
from aesop.training.fabric import Fabric
from aesop.training.recipe import AutoEncoderConfig
from aesop.training.stage import Pairs, Stage, place, validation_psnr
from aesop.training.validation import Images

#: By how many dB AE(HR) must be nearer to HR than the fidelity network's G(LR) before the bottleneck can be said to
#: carry more than LR.
LEAST_GAIN = 0.5


class AutoEncoderStage(Stage[AutoEncoder]):
    """Train `autoencoder`, whose decoder is a fidelity network; validation compares it with `fidelity`, if given."""

    name = "autoencoder"

    def __init__(
        self,
        autoencoder: AutoEncoder,
        config: AutoEncoderConfig | None = None,
        *,
        fidelity: nn.Module | None = None,
        fabric: Fabric | None = None,
    ) -> None:
        config = config or AutoEncoderConfig()
        if config.freeze_decoder:
            autoencoder.decoder.requires_grad_(False)
        trained = [parameter for parameter in autoencoder.parameters() if parameter.requires_grad]
        super().__init__(autoencoder, config, fabric, trained)
        if config.freeze_decoder:
            autoencoder.decoder.eval()
        self.trained.mark_forward_method("bottleneck_and_output")
        self.scale, self.lr_weight, self.hr_weight = autoencoder.scale, config.lr_weight, config.hr_weight
        self.fidelity = fidelity and place(fidelity, self.fabric).requires_grad_(False).eval()
        self.fidelity_psnr: float | None = None

    def gradients(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """Leave the gradients of a batch."""
        bottleneck, output = self._run(self.trained.bottleneck_and_output, hr)
        lr_loss = F.l1_loss(bottleneck, lr)  # eq. 4
        hr_loss = F.l1_loss(output, hr)  # eq. 5
        self.fabric.backward(self.lr_weight * lr_loss + self.hr_weight * hr_loss)
        return {"lr": lr_loss.detach(), "hr": hr_loss.detach()}

    def validate(self, pairs: Pairs) -> dict[str, float]:
        """Measure PSNR(AE(HR), HR), PSNR(E(HR), LR) and PSNR(G(LR), HR), in dB."""
        measured = super().validate(pairs)
        if self.fidelity is None:
            return measured
        if self.fidelity_psnr is None:  # it does not change
            self.fidelity_psnr = validation_psnr(self.fidelity, pairs)
        return measured | {"fidelity_psnr": self.fidelity_psnr}

    def look(self, lr: Tensor, hr: Tensor) -> Images:
        """Return what the auto-encoder makes of HR beside what it should make."""
        bottleneck, output = self.result.bottleneck_and_output(hr)
        return {"LR": lr, "E(HR)": bottleneck, "AE(HR)": output, "HR": hr}

    def measure(self, images: Images) -> dict[str, float]:
        """Measure what it keeps of HR, and how near its bottleneck is to LR."""
        return {
            "ae_psnr": psnr(images["AE(HR)"], images["HR"], self.scale).item(),
            "bottleneck_psnr": psnr(images["E(HR)"], images["LR"], scale=1).item(),
        }


def verdict(measured: Mapping[str, float]) -> str:
    """Say whether the bottleneck carries more than LR: what a validation with `fidelity_psnr` means for the loss."""
    gain = measured["ae_psnr"] - measured["fidelity_psnr"]
    if gain >= LEAST_GAIN:
        return f"the auto-encoder keeps {gain:.2f} dB more of HR than LR allows"
    return (
        f"the auto-encoder has learned nothing beyond LR ({gain:+.2f} dB; {LEAST_GAIN} dB would count): the AESOP loss "
        "would be little more than LR consistency; train it longer, or with a lower autoencoder.lr_weight"
    )
