"""Discriminators: (N, 3, crop, crop) in [0, 1] to logits (N, ...), or to `Logits` with a regulariser.

One file each. All but CALGAN's carry the parameter names of the published files.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SerializeAsAny

from aesop.config import extendable
from aesop.networks.discriminators.calgan import CALGANDiscriminator, CALGANDiscriminatorConfig
from aesop.networks.discriminators.logits import Logits
from aesop.networks.discriminators.patchgan import PatchGANDiscriminator, PatchGANDiscriminatorConfig
from aesop.networks.discriminators.unet import UNetDiscriminator, UNetDiscriminatorConfig
from aesop.networks.discriminators.vgg import VGGDiscriminator, VGGDiscriminatorConfig
from aesop.networks.section import DiscriminatorSection

#: The discriminators that a recipe can name.
DiscriminatorConfig = Annotated[
    SerializeAsAny[
        Annotated[
            VGGDiscriminatorConfig | UNetDiscriminatorConfig | PatchGANDiscriminatorConfig | CALGANDiscriminatorConfig,
            Field(discriminator="type"),
        ]
    ],
    extendable(DiscriminatorSection),
]

__all__ = [
    "CALGANDiscriminator",
    "CALGANDiscriminatorConfig",
    "DiscriminatorConfig",
    "Logits",
    "PatchGANDiscriminator",
    "PatchGANDiscriminatorConfig",
    "UNetDiscriminator",
    "UNetDiscriminatorConfig",
    "VGGDiscriminator",
    "VGGDiscriminatorConfig",
]
