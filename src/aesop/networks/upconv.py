"""Nearest-neighbour upsampling and convolutions instead of a pixel shuffle: a small network, and a head for others.

A pixel shuffle can print any pattern of scale x scale pixels on a constant, the same at every LR pixel, and short GAN
trainings take that for texture. Of a constant, upsampling makes a constant: these print no grid there.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.networks.rrdb import count_blocks
from aesop.networks.section import GeneratorSection
from aesop.networks.spandrel_any import SpandrelConfig, prepare, read_by_spandrel
from aesop.networks.state_dicts import built_to_fit

#: The factors by which each scale is reached, a convolution of 2 * factor - 1 pixels after each.
FACTORS = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
SLOPE = 0.1


def _upscaled(images: Tensor, scale: int) -> Tensor:
    return F.interpolate(images, scale_factor=float(scale), mode="bilinear", align_corners=False)


def _scale_of(state: dict[str, Tensor], head: str) -> int:
    kernels = [state[key].shape[-1] for key in state if re.fullmatch(rf"{head}\.convs\.\d\.weight", key)]
    return math.prod((kernel + 1) // 2 for kernel in kernels)


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


class SkippedHead(UpConvHead):
    """An UpConvHead that is added to the bilinear upscaling of what one convolution makes of the features."""

    def __init__(self, scale: int, features: int, last: int) -> None:
        super().__init__(scale, features, last)
        self.scale = scale
        self.conv_skip = nn.Conv2d(features, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return _upscaled(self.conv_skip(x), self.scale) + super().forward(x)


class Reheaded(nn.Module):
    """`body`, a network of spandrel's that ends in one convolution and a pixel shuffle, with an UpConvHead instead.

    Such networks have an argument `upsampler: pixelshuffledirect`. Raises ValueError for one that ends otherwise.
    """

    def __init__(self, body: nn.Module, scale: int, width: int) -> None:
        super().__init__()
        old = getattr(body, "upsample", None)
        layers = list(old) if isinstance(old, nn.Sequential) else []
        if [type(layer) for layer in layers] != [nn.Conv2d, nn.PixelShuffle]:
            raise ValueError("body: it does not end in one convolution and a pixel shuffle")
        features = next(layers[0].parameters()).shape[1]
        body.upsample = SkippedHead(scale, features, width)
        self.body, self.scale = body, scale
        self.keeps_body = False

    def forward(self, lr: Tensor) -> Tensor:
        return self.body(lr)

    def train(self, mode: bool = True) -> Reheaded:
        """Switch the mode, but not that of a body that is kept: its batch norms go by what they have learned."""
        super().train(mode)
        self.body.train(mode and not self.keeps_body)
        return self

    @torch.no_grad()
    def keep(self, trained: nn.Module) -> None:
        """Take the body from `trained`, a network of its kind with its old head, and train the new head alone.

        Raises ValueError if it is of another kind or size.
        """
        own, theirs = self.body.state_dict(), trained.state_dict()
        kept = [key for key in own if not key.startswith("upsample.")]
        if any(key not in theirs or theirs[key].shape != own[key].shape for key in kept):
            raise ValueError("holds another network than the recipe's generator.body")
        for key in kept:
            own[key].copy_(theirs[key])
        for name, parameter in self.body.named_parameters():
            parameter.requires_grad_(name.startswith("upsample."))
        self.keeps_body = True
        self.train(self.training)

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Reheaded:
        """Build the network whose parameters `state` holds: spandrel tells the body by its shapes.

        Raises KeyError, ValueError or RuntimeError if `state` is not such a network's.
        """
        skip, last = state["body.upsample.conv_skip.weight"], state["body.upsample.conv_last.weight"]
        scale, features = _scale_of(state, "body.upsample"), skip.shape[1]
        body = {key.removeprefix("body."): value for key, value in state.items() if ".upsample." not in key}
        shuffled = 3 * scale**2
        body["upsample.0.weight"], body["upsample.0.bias"] = (
            skip.new_zeros(shuffled, features, 3, 3),
            skip.new_zeros(shuffled),
        )
        read = read_by_spandrel(body)
        network = cls(prepare(read.model, read.size_requirements, scale), scale, last.shape[1])
        network.load_state_dict(state)
        return network


class UpConvBlock(nn.Module):
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
        self.body = nn.Sequential(*(UpConvBlock(features) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(features, features, 3, padding=1)
        self.head = UpConvHead(scale, features, head)

    def forward(self, lr: Tensor) -> Tensor:
        x = self.conv_first(lr)
        x = x + self.conv_body(self.body(x))
        return _upscaled(lr, self.scale) + self.head(x)

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> UpConvNet:
        """Build the network whose parameters `state` holds, of the sizes that their shapes say.

        Raises IndexError, KeyError, ValueError or RuntimeError if `state` is not an UpConv network's.
        """
        features, last = state["conv_first.weight"].shape[0], state["head.conv_last.weight"].shape[1]
        return built_to_fit(lambda: cls(_scale_of(state, "head"), features, count_blocks(state), last), state)


class UpConvHeadConfig(GeneratorSection):
    """A network of spandrel's with an UpConv head in the place of its pixel shuffle; other programs cannot read it."""

    type: Literal["upconv-head"]
    body: SpandrelConfig
    width: int = Field(16, ge=1, description="the head's width at HR size")

    @property
    def multiple(self) -> int:
        return self.body.multiple

    def check(self, scale: int) -> None:
        self.body.check(scale)

    def build(self, scale: int) -> Reheaded:
        return Reheaded(self.body.build(scale), scale, self.width)


class UpConvConfig(GeneratorSection):
    """UpConv generator."""

    type: Literal["upconv"]
    features: int = Field(32, ge=1, description="width at LR size")
    blocks: int = Field(4, ge=1, le=500, description="number of residual blocks")
    head: int = Field(16, ge=1, description="width at HR size; that of sizes between lies between")

    def build(self, scale: int) -> UpConvNet:
        return UpConvNet(scale, self.features, self.blocks, self.head)
