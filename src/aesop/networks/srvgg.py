"""SRVGG ("compact"): plain convolutions at LR size and one pixel shuffle, added to the nearest-neighbour upscaling.

The network is spandrel's; a small one trains on a laptop.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from spandrel.architectures.Compact import Compact

from aesop.networks.section import GeneratorSection


class SRVGGConfig(GeneratorSection):
    """SRVGG generator."""

    type: Literal["srvgg"]
    features: int = Field(64, ge=1, description="width")
    convs: int = Field(16, ge=0, le=500, description="convolutions between the first and the last")

    def build(self, scale: int) -> Compact:
        return Compact(num_feat=self.features, num_conv=self.convs, upscale=scale)
