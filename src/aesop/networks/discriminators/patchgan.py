"""PatchGAN: pix2pix's discriminator, one logit for each patch of 70x70 pixels (Isola et al. 2017, appendix 6.1.2).

Layers, names and start are those of `NLayerDiscriminator` with pix2pix's batch norm and weights of N(0, 0.02)
(pytorch-CycleGAN-and-pix2pix, models/networks.py). BSRGAN's has spectral norm on every layer instead (KAIR,
models/network_discriminator.py).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from aesop.networks.section import DiscriminatorSection


class PatchGANDiscriminator(nn.Module):
    """(N, 3, H, W) in [0, 1] to logits (N, 1, H // 2**layers - 2, W // 2**layers - 2).

    4x4 convolutions, `layers` of stride 2 and two of stride 1, widths doubling up to 8 * features; batch norm on all
    but the first and the last (or `spectral` norm on all), LeakyReLU 0.2 on all but the last. 1, 2, 3, 4 layers see
    16, 34, 70, 142 pixels.
    """

    def __init__(self, features: int = 64, layers: int = 3, spectral: bool = False) -> None:
        super().__init__()
        widths = [features * min(2**level, 8) for level in range(layers + 1)]
        modules: list[nn.Module] = [nn.Conv2d(3, features, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        for level in range(1, layers + 1):
            stride = 2 if level < layers else 1
            modules.append(nn.Conv2d(widths[level - 1], widths[level], 4, stride=stride, padding=1, bias=spectral))
            if not spectral:
                modules.append(nn.BatchNorm2d(widths[level]))
            modules.append(nn.LeakyReLU(0.2, inplace=True))
        self.model = nn.Sequential(*modules, nn.Conv2d(widths[-1], 1, 4, padding=1))
        for module in self.model:
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0, 0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            if spectral and isinstance(module, nn.Conv2d):
                spectral_norm(module)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


class PatchGANDiscriminatorConfig(DiscriminatorSection):
    """PatchGAN discriminator."""

    type: Literal["patchgan"]
    features: int = Field(default=64, ge=1, description="width of the first layer")
    layers: int = Field(default=3, ge=1, le=5, description="layers that halve the size; 3 judge patches of 70 pixels")
    spectral: bool = Field(default=False, description="spectral norm in the place of batch norm")

    def check(self, crop: int) -> None:
        smallest = 3 * 2**self.layers
        if crop < smallest:
            raise ValueError(
                f"{crop} is too small for a PatchGAN discriminator of {self.layers} layers; take {smallest} pixels or "
                "more, or fewer layers"
            )

    def build(self, crop: int) -> PatchGANDiscriminator:
        self.check(crop)
        return PatchGANDiscriminator(self.features, self.layers, self.spectral)
