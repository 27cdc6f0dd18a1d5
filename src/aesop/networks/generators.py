"""The generators that a recipe can name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SerializeAsAny

from aesop.config import extendable
from aesop.networks.drct import DRCTConfig
from aesop.networks.rrdb import RRDBConfig
from aesop.networks.section import GeneratorSection
from aesop.networks.span import SPANConfig
from aesop.networks.spandrel_any import SpandrelConfig
from aesop.networks.srresnet import SRResNetConfig
from aesop.networks.srvgg import SRVGGConfig
from aesop.networks.swinir import SwinIRConfig

GeneratorConfig = Annotated[
    SerializeAsAny[
        Annotated[
            RRDBConfig | SwinIRConfig | DRCTConfig | SRResNetConfig | SRVGGConfig | SPANConfig | SpandrelConfig,
            Field(discriminator="type"),
        ]
    ],
    extendable(GeneratorSection),
]
