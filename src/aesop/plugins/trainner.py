"""traiNNer-redux: `type: AesopSRLoss` among the losses; its own AESOPLoss is another implementation."""

from __future__ import annotations

from aesop.plugins import host, register

MEND = "call from the folder of traiNNer-redux, in its environment"
register("traiNNer-redux", host("traiNNer-redux", "traiNNer.utils.registry", MEND).LOSS_REGISTRY, "AesopSRLoss")
