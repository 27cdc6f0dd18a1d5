"""The AESOP loss (eq. 7-8): the distance between auto-encoded images.

    L_AESOP(G(x), y) = | AE(y) - AE(G(x)) |_1

The auto-encoder maps an image to its fidelity bias, so that this penalises the systematic effect alone and leaves the
perceptual variance, the textures, to the perceptual and adversarial losses.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.autoencoder import AutoEncoder
from aesop.losses.term import LossContext, LossSection


class AESOPLoss(nn.Module):
    """L1 distance of auto-encoded images: `loss = AESOPLoss(AutoEncoder.load(path)); loss(sr, hr)`.

    The auto-encoder is frozen, since AE = const would be a trivial minimum (AE collapse), and stays in evaluation
    mode. It is measured after the decoder, never at the bottleneck.

    An auto-encoder has learned images in [0, 1] only. A generator's values outside, which a picture file clips, would
    let the loss judge an image that nobody sees: two excursions that cancel in the bottleneck cost nothing, and their
    clipped remains are the colour artefacts that users of this loss have reported. So the auto-encoder sees the image
    as it will be seen, clamped, and what was cut off is added as a distance of its own:

        L_AESOP(clamp(sr), hr) + | sr - clamp(sr) |_1

    Inside [0, 1], its bounds included, this is eq. 8 to the letter; outside, every pixel is drawn back. SR and HR
    may be of any floating type, under autocast or not.
    """

    def __init__(self, autoencoder: AutoEncoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> AESOPLoss:
        """Switch the module's mode, not the frozen auto-encoder's."""
        super().train(mode)
        self.autoencoder.eval()
        return self

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """L_AESOP of SR and HR images, (N, 3, H, W), H and W multiples of the scale: a scalar of AE's type.

        Raises ValueError if the sizes differ or are not a multiple of the scale.
        """
        if sr.shape != hr.shape:
            raise ValueError(f"SR is {tuple(sr.shape)} and HR {tuple(hr.shape)}; they must be of one size")
        # Auto-encoded images differ by less than half precision can tell apart near 1: no autocast here.
        with torch.autocast(sr.device.type, enabled=False):
            sr, hr = (images.to(self._dtype()) for images in (sr, hr))
            # A clamp whose slope at 0 and 1 is 1 in every version of torch.
            seen = torch.where((sr < 0) | (sr > 1), sr.detach().clamp(0, 1), sr)
            with torch.no_grad():
                target = self.autoencoder(hr)
            return F.l1_loss(self.autoencoder(seen), target) + F.l1_loss(sr, seen.detach())

    def _dtype(self) -> torch.dtype:
        """Return the type of the auto-encoder's parameters, float32 unless the user has changed it."""
        return next((parameter.dtype for parameter in self.autoencoder.parameters()), torch.get_default_dtype())


class AESOPLossConfig(LossSection):
    """AESOP loss as the fidelity loss: eq. 9. The auto-encoder is the recipe's."""

    uses_autoencoder: ClassVar[bool] = True

    type: Literal["aesop"]
    weight: float = Field(default=1.0, ge=0)

    def build(self, context: LossContext) -> AESOPLoss:
        """Build the loss around the auto-encoder, which it freezes."""
        if context.autoencoder is None or context.autoencoder.scale != context.scale:
            raise ValueError(f"the AESOP loss needs an auto-encoder of scale {context.scale}")
        return AESOPLoss(context.autoencoder)
