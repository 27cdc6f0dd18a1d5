"""U-Net with spectral norm: Real-ESRGAN's discriminator, one logit for each pixel.

Layers and names are those of `UNetDiscriminatorSN` (Real-ESRGAN, realesrgan/archs/discriminator_arch.py), whose files
load.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import spectral_norm

from aesop.networks.section import DiscriminatorSection


class UNetDiscriminator(nn.Module):
    """(N, 3, H, W) in [0, 1] to logits (N, 1, H, W); H and W multiples of 8.

    All convolutions but the first and the last are divided by their largest singular value. It comes from one step of
    the power iteration for each pass in training mode, so two passes have slightly different weights. Each pass keeps
    its own vectors: the gradients of both may be taken afterwards.
    """

    def __init__(self, features: int = 64) -> None:
        super().__init__()
        # The older of torch's two spectral norms, whose names (weight_orig, weight_u, weight_v) the files have.
        self.conv0 = nn.Conv2d(3, features, 3, padding=1)
        self.conv1 = spectral_norm(nn.Conv2d(features, 2 * features, 4, stride=2, padding=1, bias=False))
        self.conv2 = spectral_norm(nn.Conv2d(2 * features, 4 * features, 4, stride=2, padding=1, bias=False))
        self.conv3 = spectral_norm(nn.Conv2d(4 * features, 8 * features, 4, stride=2, padding=1, bias=False))
        self.conv4 = spectral_norm(nn.Conv2d(8 * features, 4 * features, 3, padding=1, bias=False))
        self.conv5 = spectral_norm(nn.Conv2d(4 * features, 2 * features, 3, padding=1, bias=False))
        self.conv6 = spectral_norm(nn.Conv2d(2 * features, features, 3, padding=1, bias=False))
        self.conv7 = spectral_norm(nn.Conv2d(features, features, 3, padding=1, bias=False))
        self.conv8 = spectral_norm(nn.Conv2d(features, features, 3, padding=1, bias=False))
        self.conv9 = nn.Conv2d(features, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        x = F.leaky_relu(self.conv0(images), 0.2)
        passed = []
        for down in (self.conv1, self.conv2, self.conv3):
            passed.append(x)
            x = F.leaky_relu(down(x), 0.2)
        for up in (self.conv4, self.conv5, self.conv6):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = F.leaky_relu(up(x), 0.2) + passed.pop()
        for conv in (self.conv7, self.conv8):
            x = F.leaky_relu(conv(x), 0.2)
        return self.conv9(x)


class UNetDiscriminatorConfig(DiscriminatorSection):
    """U-Net discriminator with spectral norm."""

    type: Literal["unet"]
    features: int = Field(default=64, ge=1, description="width at full size")

    def check(self, crop: int) -> None:
        if crop < 8 or crop % 8:
            nearest = max(8, crop // 8 * 8)
            raise ValueError(
                f"the U-Net discriminator halves {crop} pixels three times; take a multiple of 8, as {nearest}"
            )

    def build(self, crop: int) -> UNetDiscriminator:
        self.check(crop)
        return UNetDiscriminator(self.features)
