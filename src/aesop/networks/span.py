"""SPAN: convolutions at LR size with attention that has no parameters (Wan et al. 2024). spandrel's network.

Small and fast. Each 3x3 convolution trains as several in a row and runs, in evaluation mode, as the one they amount to.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from spandrel import SizeRequirements
from spandrel.architectures.SPAN import SPAN

from aesop.networks.section import GeneratorSection
from aesop.networks.spandrel_any import construct, prepare


class SPANConfig(GeneratorSection):
    """SPAN generator."""

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
