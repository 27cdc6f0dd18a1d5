"""UpConv: residual blocks at LR size, then nearest-neighbour upsampling and convolutions; small ones train on a laptop.

A pixel shuffle can print any pattern of scale x scale pixels on a constant, the same at every LR pixel, and short GAN
trainings take that for texture. Of a constant, upsampling makes a constant: this network prints no grid there.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.networks.rrdb import count_blocks
from aesop.networks.section import GeneratorSection
from aesop.networks.state_dicts import built_to_fit

#: The factors by which each scale is reached, a convolution of 2 * factor - 1 pixels after each.
FACTORS = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
SLOPE = 0.1


class UpConvHead(nn.Module):
    """Features (N, c, h, w) to an image (N, 3, scale*h, scale*w); the width falls evenly, to `last`, as sizes grow."""

    def __init__(self, scale: int, features: int, last: int) -> None:
        super().__init__()
        self.factors = FACTORS[scale]
        steps = len(self.factors)
        widths = [round(features + (last - features) * step / steps) for step in range(steps + 1)]
        self.convs = nn.ModuleList(
            nn.Conv2d(*pair, 2 * factor - 1, padding=factor - 1)
            for pair, factor in zip(pairwise(widths), self.factors, strict=True)
        )
        self.conv_last = nn.Conv2d(last, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        for factor, conv in zip(self.factors, self.convs, strict=True):
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=float(factor), mode="nearest")), SLOPE)
        return self.conv_last(x)


class ResidualBlock(nn.Module):
    """EDSR's residual block (Lim et al. 2017), with a leaky ReLU."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight, SLOPE)
        # Nearly the identity at first, however many blocks there are.
        self.conv2.weight.data *= 0.1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.leaky_relu(self.conv1(x), SLOPE))


class UpConvNet(nn.Module):
    """(N, 3, h, w) in [0, 1] to (N, 3, scale*h, scale*w): what the network makes is added to the bilinear upscaling."""

    def __init__(self, scale: int, features: int = 32, blocks: int = 4, head: int = 16) -> None:
        super().__init__()
        self.scale = scale
        self.conv_first = nn.Conv2d(3, features, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(features, features, 3, padding=1)
        self.head = UpConvHead(scale, features, head)

    def forward(self, lr: Tensor) -> Tensor:
        x = self.conv_first(lr)
        x = x + self.conv_body(self.body(x))
        skip = F.interpolate(lr, scale_factor=float(self.scale), mode="bilinear", align_corners=False)
        return skip + self.head(x)

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> UpConvNet:
        """Build the network whose parameters `state` holds, of the sizes that their shapes say.

        Raises IndexError, KeyError, ValueError or RuntimeError if `state` is not an UpConv network's.
        """
        kernels = [value.shape[-1] for key, value in state.items() if re.fullmatch(r"head\.convs\.\d\.weight", key)]
        scale = math.prod((kernel + 1) // 2 for kernel in kernels)
        features, last = state["conv_first.weight"].shape[0], state["head.conv_last.weight"].shape[1]
        return built_to_fit(lambda: cls(scale, features, count_blocks(state), last), state)


class UpConvConfig(GeneratorSection):
    """UpConv generator."""

    type: Literal["upconv"]
    features: int = Field(32, ge=1, description="width at LR size")
    blocks: int = Field(4, ge=1, le=500, description="number of residual blocks")
    head: int = Field(16, ge=1, description="width at HR size; that of sizes between lies between")

    def build(self, scale: int) -> UpConvNet:
        return UpConvNet(scale, self.features, self.blocks, self.head)
