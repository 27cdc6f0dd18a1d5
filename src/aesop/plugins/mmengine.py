"""mmengine, mmagic: `custom_imports = dict(imports=["aesop.plugins.mmengine"])` and `dict(type="AESOPLoss")`."""

from __future__ import annotations

from aesop.plugins import host, loss_named

MODELS = host("mmengine", "mmengine.registry", "run: pip install mmengine-lite").MODELS
MODELS.register_module(name="AESOPLoss", module=loss_named("AESOPLoss"))
