"""The generators that a recipe can name: ours, and here those whose networks are spandrel's."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, SerializeAsAny, model_validator
from spandrel import SizeRequirements
from spandrel.architectures.Compact import Compact
from spandrel.architectures.DRCT import DRCT
from spandrel.architectures.SPAN import SPAN
from spandrel.architectures.SwinIR import SwinIR

from aesop.config import extendable
from aesop.networks.rrdb import RRDBConfig
from aesop.networks.section import GeneratorSection
from aesop.networks.spandrel_any import SpandrelConfig, construct, prepare
from aesop.networks.srresnet import SRResNetConfig
from aesop.networks.upconv import UpConvConfig, UpConvHeadConfig

#: LR crops of the paper's SwinIR and DRCT. Files hold the attention masks of this size; those of others are computed
#: again in every forward.
CROP = 64


def _stored_size(window: int) -> int:
    """Return the size whose attention masks a network with such windows holds: CROP, rounded up to whole windows."""
    return -(-CROP // window) * window


class SwinIRConfig(GeneratorSection):
    """SwinIR generator: window attention, shifted by half a window in every other block (Liang et al. 2021).

    The defaults are SwinIR-M of classical super-resolution, as the paper uses it (train_Synthetic_AESOP_SwinIR.yml of
    the released code).
    """

    type: Literal["swinir"]
    features: int = Field(180, ge=1, le=400, description="width, divided equally among the heads")
    groups: int = Field(6, ge=1, le=16, description="number of residual groups")
    blocks: int = Field(6, ge=1, le=16, description="attention blocks a group")
    heads: int = Field(6, ge=1, description="attention heads")
    # spandrel takes a window of 7 for that of the JPEG models, whose pixels go to 255.
    window: int = Field(8, ge=2, le=32, multiple_of=2, description="side of the attention windows in LR pixels")
    mlp_ratio: int = Field(2, ge=1, le=8, description="width of the perceptrons' hidden layer, in widths")
    upsampler: Literal["pixelshuffle", "pixelshuffledirect", "nearest+conv"] = Field(
        "pixelshuffle", description="classical, lightweight and real-world SR's way up"
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> SwinIRConfig:
        if self.features % self.heads:
            raise ValueError(f"{self.features} features cannot be divided among {self.heads} heads")
        return self

    @property
    def multiple(self) -> int:
        return self.window

    def check(self, scale: int) -> None:
        if self.upsampler == "nearest+conv" and scale == 3:
            raise ValueError("SwinIR's nearest+conv doubles its size, so it has no scale 3; take pixelshuffle")

    def build(self, scale: int) -> SwinIR:
        self.check(scale)
        network = construct(
            SwinIR,
            img_size=_stored_size(self.window),
            embed_dim=self.features,
            depths=[self.blocks] * self.groups,
            num_heads=[self.heads] * self.groups,
            window_size=self.window,
            mlp_ratio=self.mlp_ratio,
            upscale=scale,
            upsampler=self.upsampler,
        )
        return prepare(network, SizeRequirements(minimum=16), scale)


class DRCTConfig(GeneratorSection):
    """DRCT generator: densely connected shifted-window attention (Hsu et al. 2024).

    The defaults are those of the paper (train_Synthetic_AESOP_DRCT.yml of the released code).
    """

    type: Literal["drct"]
    features: int = Field(180, ge=1, le=400, description="width")
    groups: int = Field(6, ge=1, le=16, description="number of residual dense groups, of five attention blocks each")
    heads: int = Field(6, ge=1, description="attention heads, fewer where they do not divide a block's width")
    growth: int = Field(32, ge=1, le=64, description="channels that each block of a group adds")
    window: int = Field(16, ge=2, le=32, multiple_of=2, description="side of the attention windows in LR pixels")
    mlp_ratio: int = Field(2, ge=1, le=8, description="width of the perceptrons' hidden layer, in widths")

    @model_validator(mode="after")
    def _heads_divide(self) -> DRCTConfig:
        for block in range(5):
            width = self.features + block * self.growth
            # The network's own rule for its heads (drct/archs/DRCT_arch.py), which does not work for every width.
            heads = self.heads - width % self.heads if block else self.heads
            if width % heads:
                raise ValueError(
                    f"DRCT divides the {width} channels of its block {block + 1} among {heads} heads, which do not "
                    "divide them; choose features, growth and heads that fit, such as multiples of the heads"
                )
        return self

    @property
    def multiple(self) -> int:
        """The window's side; spandrel pads to 16 pixels in any case."""
        return math.lcm(16, self.window)

    def build(self, scale: int) -> DRCT:
        network = construct(
            DRCT,
            img_size=_stored_size(self.window),
            embed_dim=self.features,
            depths=[6] * self.groups,  # their sum alone is used, for the drop rates
            num_heads=[self.heads] * self.groups,
            window_size=self.window,
            mlp_ratio=self.mlp_ratio,
            gc=self.growth,
            upscale=scale,
            upsampler="pixelshuffle",
        )
        return prepare(network, SizeRequirements(multiple_of=16), scale)


class SRVGGConfig(GeneratorSection):
    """SRVGG generator ("compact"): plain convolutions at LR size and one pixel shuffle; a small one trains on a laptop.

    The result is added to the nearest-neighbour upscaling.
    """

    type: Literal["srvgg"]
    features: int = Field(64, ge=1, description="width")
    convs: int = Field(16, ge=0, le=500, description="convolutions between the first and the last")

    def build(self, scale: int) -> Compact:
        return Compact(num_feat=self.features, num_conv=self.convs, upscale=scale)


class SPANConfig(GeneratorSection):
    """SPAN generator: convolutions at LR size with attention that has no parameters (Wan et al. 2024); small and fast.

    Each 3x3 convolution trains as several in a row and runs, in evaluation mode, as the one they amount to.
    """

    type: Literal["span"]
    features: int = Field(48, ge=1, description="width")
    norm: bool = Field(
        False, description="centre the input and stretch it to 255 levels, as the authors did; slower to train"
    )

    def build(self, scale: int) -> SPAN:
        network = construct(
            SPAN, num_in_ch=3, num_out_ch=3, feature_channels=self.features, upscale=scale, norm=self.norm
        )
        return prepare(network, SizeRequirements(), scale)


GeneratorConfig = Annotated[
    SerializeAsAny[
        Annotated[
            RRDBConfig
            | SwinIRConfig
            | DRCTConfig
            | SRResNetConfig
            | SRVGGConfig
            | SPANConfig
            | UpConvConfig
            | UpConvHeadConfig
            | SpandrelConfig,
            Field(discriminator="type"),
        ]
    ],
    extendable(GeneratorSection),
]
