"""RRDB: the residual-in-residual dense network of ESRGAN, of any width, growth and depth.

The paper's generator, the decoder of its auto-encoder and, in two blocks, the heart of its encoder. The parameters are
named as in the published files (`conv_first`, `body.0.rdb1.conv1`, ...); spandrel reads those of growth 32.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.networks.section import GeneratorSection
from aesop.networks.state_dicts import built_to_fit

#: Residual branches are scaled by this before they are added (ESRGAN, section 3.1).
RESIDUAL_SCALE = 0.2


def initialise_small(module: nn.Module) -> None:
    """Kaiming-normal weights times 0.1, zero biases, for every convolution in `module` (ESRGAN, section 3.1)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            with torch.no_grad():
                layer.weight.mul_(0.1)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps height and width."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)


class ResidualDenseBlock(nn.Module):
    """Five convolutions, each of which sees the input and all outputs before it."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(features, growth)
        self.conv2 = conv3x3(features + growth, growth)
        self.conv3 = conv3x3(features + 2 * growth, growth)
        self.conv4 = conv3x3(features + 3 * growth, growth)
        self.conv5 = conv3x3(features + 4 * growth, features)
        initialise_small(self)

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat((seen, F.leaky_relu(conv(seen), 0.2)), dim=1)
        return x + RESIDUAL_SCALE * self.conv5(seen)


class RRDB(nn.Module):
    """Residual-in-residual dense block: three dense blocks and one more residual around them."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(features, growth)
        self.rdb2 = ResidualDenseBlock(features, growth)
        self.rdb3 = ResidualDenseBlock(features, growth)

    def forward(self, x: Tensor) -> Tensor:
        return x + RESIDUAL_SCALE * self.rdb3(self.rdb2(self.rdb1(x)))


class RRDBNet(nn.Module):
    """(N, 3, h, w) in [0, 1] to (N, 3, scale*h, scale*w), by `blocks` RRDBs and log2(scale) doublings.

    `unshuffle` > 1 folds the input's pixels into channels first, as Real-ESRGAN's x2 and x1 models do: those double
    twice whatever their scale. Raises ValueError if scale * unshuffle is no power of two.
    """

    def __init__(self, scale: int, features: int = 64, blocks: int = 23, growth: int = 32, unshuffle: int = 1) -> None:
        super().__init__()
        doublings = round(math.log2(scale * unshuffle))
        if 2**doublings != scale * unshuffle:
            raise ValueError(f"RRDB doubles its size; it cannot reach scale {scale}")
        self.scale, self.unshuffle = scale, unshuffle
        self.conv_first = conv3x3(3 * unshuffle**2, features)
        self.body = nn.Sequential(*(RRDB(features, growth) for _ in range(blocks)))
        self.conv_body = conv3x3(features, features)
        self.doublings = [f"conv_up{i + 1}" for i in range(doublings)]
        for name in self.doublings:
            self.add_module(name, conv3x3(features, features))
        self.conv_hr = conv3x3(features, features)
        self.conv_last = conv3x3(features, 3)

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale `lr`; a height or width that `unshuffle` does not divide is padded by reflection."""
        height, width = lr.shape[-2:]
        if self.unshuffle > 1:
            padding = (0, -width % self.unshuffle, 0, -height % self.unshuffle)
            lr = F.pixel_unshuffle(F.pad(lr, padding, mode="reflect"), self.unshuffle)
        x = self.conv_first(lr)
        x = x + self.conv_body(self.body(x))
        for name in self.doublings:
            x = F.leaky_relu(self.get_submodule(name)(F.interpolate(x, scale_factor=2.0, mode="nearest")), 0.2)
        sr = self.conv_last(F.leaky_relu(self.conv_hr(x), 0.2))
        return sr[..., : height * self.scale, : width * self.scale]

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> RRDBNet:
        """Build the network whose parameters `state` holds, of the sizes that their shapes say.

        Raises IndexError, KeyError, ValueError or RuntimeError if `state` is not an RRDB network's.
        """
        unshuffle = {3: 1, 12: 2, 48: 4}[state["conv_first.weight"].shape[1]]
        doublings = sum(key.startswith("conv_up") and key.endswith(".weight") for key in state)
        features, growth = (state[f"{name}.weight"].shape[0] for name in ("conv_first", "body.0.rdb1.conv1"))
        scale, blocks = 2**doublings // unshuffle, count_blocks(state)
        return built_to_fit(lambda: cls(scale, features, blocks, growth, unshuffle), state)


def count_blocks(state: dict[str, Tensor], prefix: str = "body.") -> int:
    """Count the blocks `body.0`, `body.1`, ... of `state`; strict loading tells if one is missing."""
    return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})


class RRDBConfig(GeneratorSection):
    """RRDB generator."""

    type: Literal["rrdb"]
    features: int = Field(64, ge=1, description="width of the trunk")
    blocks: int = Field(23, ge=1, le=200, description="number of RRDBs")
    growth: int = Field(32, ge=1, description="channels each dense layer adds; spandrel reads 32 only")

    def check(self, scale: int) -> None:
        if scale & (scale - 1):
            raise ValueError(f"RRDB doubles its size, so it has no scale {scale}; take srvgg or swinir")

    def build(self, scale: int) -> RRDBNet:
        return RRDBNet(scale, self.features, self.blocks, self.growth)
