"""SwinIR: window attention, shifted by half a window in every other block (Liang et al. 2021). spandrel's network.

The defaults are SwinIR-M of classical super-resolution, as the paper uses it (train_Synthetic_AESOP_SwinIR.yml of the
released code).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from spandrel import SizeRequirements
from spandrel.architectures.SwinIR import SwinIR

from aesop.networks.section import GeneratorSection
from aesop.networks.spandrel_any import construct, prepare

#: LR crops of the paper's SwinIR and DRCT. Files hold the attention masks of this size; those of others are computed
#: again in every forward.
CROP = 64


def stored_size(window: int) -> int:
    """Return the size whose attention masks a network with such windows holds: CROP, rounded up to whole windows."""
    return -(-CROP // window) * window


class SwinIRConfig(GeneratorSection):
    """SwinIR generator."""

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
            img_size=stored_size(self.window),
            embed_dim=self.features,
            depths=[self.blocks] * self.groups,
            num_heads=[self.heads] * self.groups,
            window_size=self.window,
            mlp_ratio=self.mlp_ratio,
            upscale=scale,
            upsampler=self.upsampler,
        )
        return prepare(network, SizeRequirements(minimum=16), scale)
