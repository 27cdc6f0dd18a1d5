"""DRCT: densely connected shifted-window attention (Hsu et al. 2024). spandrel's network.

The defaults are those of the paper (train_Synthetic_AESOP_DRCT.yml of the released code).
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator
from spandrel import SizeRequirements
from spandrel.architectures.DRCT import DRCT

from aesop.networks.section import GeneratorSection
from aesop.networks.spandrel_any import construct, prepare
from aesop.networks.swinir import stored_size


class DRCTConfig(GeneratorSection):
    """DRCT generator."""

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
            img_size=stored_size(self.window),
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
