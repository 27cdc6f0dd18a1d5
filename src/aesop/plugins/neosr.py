"""neosr: `type = "aesop_loss"` instead of the pixel loss."""

from __future__ import annotations

from aesop.plugins import host, register

MEND = "call from the folder of neosr, in its environment"
register("neosr", host("neosr", "neosr.utils.registry", MEND).LOSS_REGISTRY, "aesop_loss")
