"""SRResNet: residual blocks at LR size and pixel shuffles, in the two forms in use.

`MSRResNet` is BasicSR's, without batch norm, with the published parameter names (basicsr/archs/srresnet_arch.py).
`SRResNet` is SRGAN's (Ledig et al. 2017, figure 4), with batch norm and PReLU.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.networks.rrdb import conv3x3, count_blocks, initialise_small
from aesop.networks.section import GeneratorSection
from aesop.networks.state_dicts import built_to_fit


class ResidualBlock(nn.Module):
    """Two convolutions around a ReLU, added to their input."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(features, features)
        self.conv2 = conv3x3(features, features)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x)))


class MSRResNet(nn.Module):
    """(N, 3, h, w) in [0, 1] to (N, 3, scale*h, scale*w), added to the bilinear upscaling; scale 2, 3, 4 or 8."""

    def __init__(self, scale: int, features: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.scale = scale
        self.conv_first = conv3x3(3, features)
        self.body = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        self.upconvs = _add_upconvs(self, scale, features)
        self.conv_hr = conv3x3(features, features)
        self.conv_last = conv3x3(features, 3)
        initialise_small(self)

    def forward(self, lr: Tensor) -> Tensor:
        x = self.body(F.leaky_relu(self.conv_first(lr), 0.1))
        for name, factor in self.upconvs:
            x = F.leaky_relu(F.pixel_shuffle(self.get_submodule(name)(x), factor), 0.1)
        x = self.conv_last(F.leaky_relu(self.conv_hr(x), 0.1))
        return x + F.interpolate(lr, scale_factor=float(self.scale), mode="bilinear", align_corners=False)


class NormalisedBlock(nn.Module):
    """Two convolutions with batch norm around a PReLU, added to their input."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bn2(self.conv2(self.prelu(self.bn1(self.conv1(x)))))


class SRResNet(nn.Module):
    """(N, 3, h, w) in [0, 1] to (N, 3, scale*h, scale*w), with batch norm; scale 2, 3, 4 or 8."""

    def __init__(self, scale: int, features: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.scale = scale
        self.conv_first = nn.Conv2d(3, features, 9, padding=4)
        self.prelu_first = nn.PReLU()
        self.body = nn.Sequential(*(NormalisedBlock(features) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.bn_body = nn.BatchNorm2d(features)
        self.upconvs = _add_upconvs(self, scale, features)
        self.prelu_up = nn.ModuleList(nn.PReLU() for _ in self.upconvs)
        self.conv_last = nn.Conv2d(features, 3, 9, padding=4)

    def forward(self, lr: Tensor) -> Tensor:
        first = self.prelu_first(self.conv_first(lr))
        x = first + self.bn_body(self.conv_body(self.body(first)))
        for (name, factor), prelu in zip(self.upconvs, self.prelu_up, strict=True):
            x = prelu(F.pixel_shuffle(self.get_submodule(name)(x), factor))
        return self.conv_last(x)


def _add_upconvs(network: nn.Module, scale: int, features: int) -> list[tuple[str, int]]:
    """Give `network` the convolutions `upconv1`, ... before its pixel shuffles; return their names and factors."""
    factors = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}.get(scale)
    if factors is None:
        raise ValueError(f"SRResNet has scales 2, 3, 4 and 8, not {scale}")
    upconvs = [(f"upconv{number}", factor) for number, factor in enumerate(factors, 1)]
    for name, factor in upconvs:
        network.add_module(name, conv3x3(features, features * factor**2))
    return upconvs


def srresnet_from_state(state: dict[str, Tensor]) -> MSRResNet | SRResNet:
    """Build the network whose parameters `state` holds, of the form and sizes that they say.

    Raises IndexError, KeyError, ValueError or RuntimeError if `state` is not an SRResNet's.
    """
    features = state["conv_first.weight"].shape[0]
    upconvs = sum(key.startswith("upconv") and key.endswith(".weight") for key in state)
    scale = 3 if state["upconv1.weight"].shape[0] == 9 * features else 2**upconvs
    kind, blocks = SRResNet if "body.0.bn1.weight" in state else MSRResNet, count_blocks(state)
    return built_to_fit(lambda: kind(scale, features, blocks), state)


class SRResNetConfig(GeneratorSection):
    """SRResNet generator."""

    type: Literal["srresnet"]
    features: int = Field(64, ge=1, description="width")
    blocks: int = Field(16, ge=1, le=500, description="number of residual blocks")
    norm: bool = Field(False, description="SRGAN's network with batch norm, instead of BasicSR's without")

    def build(self, scale: int) -> MSRResNet | SRResNet:
        return (SRResNet if self.norm else MSRResNet)(scale, self.features, self.blocks)
