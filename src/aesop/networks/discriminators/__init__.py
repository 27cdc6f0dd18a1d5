"""Discriminators: (N, 3, crop, crop) in [0, 1] to logits (N, ...), or to `Logits` with a regulariser.

One file each. All but CALGAN's carry the parameter names of the published files.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SerializeAsAny

from aesop.config import extendable
from aesop.networks.discriminators.calgan import CALGANDiscriminatorConfig
from aesop.networks.discriminators.patchgan import PatchGANDiscriminatorConfig
from aesop.networks.discriminators.unet import UNetDiscriminatorConfig
from aesop.networks.discriminators.vgg import VGGDiscriminatorConfig
from aesop.networks.section import DiscriminatorSection, Logits

__all__ = ["DiscriminatorConfig", "Logits"]

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
