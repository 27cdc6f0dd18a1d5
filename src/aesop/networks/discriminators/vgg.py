"""VGG-style: ESRGAN's discriminator, one logit for each picture.

Layers and names are those of BasicSR's `VGGStyleDiscriminator` (basicsr/archs/discriminator_arch.py), which takes
crops of 128 and 256 only.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from pydantic import Field
from torch import nn

from aesop.networks.section import DiscriminatorSection


class VGGDiscriminator(nn.Sequential):
    """(N, 3, crop, crop) in [0, 1] to logits (N, 1).

    Each level is a 3x3 convolution and a 4x4 one of stride 2, with batch norm (but for the first) and LeakyReLU 0.2;
    levels halve the size, rounding down, until at most 4x4 pixels are left: 5 for a crop of 128, 6 for 256. Widths
    double up to 8 * features.
    """

    def __init__(self, crop: int, features: int = 64) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        inputs, size, level = 3, crop, 0
        while size > 4:
            width = features * min(2**level, 8)
            layers[f"conv{level}_0"] = nn.Conv2d(inputs, width, 3, padding=1, bias=level == 0)
            if level:
                layers[f"bn{level}_0"] = nn.BatchNorm2d(width)
            layers[f"relu{level}_0"] = nn.LeakyReLU(0.2, inplace=True)
            layers[f"conv{level}_1"] = nn.Conv2d(width, width, 4, stride=2, padding=1, bias=False)
            layers[f"bn{level}_1"] = nn.BatchNorm2d(width)
            layers[f"relu{level}_1"] = nn.LeakyReLU(0.2, inplace=True)
            inputs, size, level = width, size // 2, level + 1
        layers["flatten"] = nn.Flatten()
        layers["linear1"] = nn.Linear(inputs * size**2, 100)
        layers["relu"] = nn.LeakyReLU(0.2, inplace=True)
        layers["linear2"] = nn.Linear(100, 1)
        super().__init__(layers)


class VGGDiscriminatorConfig(DiscriminatorSection):
    """VGG-style discriminator."""

    type: Literal["vgg"] = "vgg"
    features: int = Field(default=64, ge=1, description="width of the first level")

    def check(self, crop: int) -> None:
        if crop < 8:
            raise ValueError(f"{crop} is too small for the VGG discriminator; take 8 pixels or more")

    def build(self, crop: int) -> VGGDiscriminator:
        self.check(crop)
        return VGGDiscriminator(crop, self.features)
