"""The AESOP loss in other trainers: registered in their loss registries, under their name for it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from aesop.errors import AesopError
from aesop.losses.aesop import AESOPLoss


def loss_named(name: str) -> Callable[..., AESOPLoss]:
    """Return a builder of the loss from a host's options, named as the host registers it."""

    def build(
        autoencoder: Path | str = "x4", loss_weight: float = 1.0, reduction: Literal["mean", "none"] = "mean"
    ) -> AESOPLoss:
        return AESOPLoss.pretrained(autoencoder, reduction, loss_weight)

    build.__name__ = build.__qualname__ = name
    return build


def host(title: str, module: str, mend: str) -> Any:
    """Import a host's module; raises AesopError with the mend if that fails."""
    try:
        return import_module(module)
    except ImportError as error:
        raise AesopError(f"{title} cannot be imported ({error}); {mend}.") from error


def register(title: str, registry: Any, name: str) -> None:
    """Register the loss in a registry of BasicSR's kind, once. Raises AesopError if the host has one of that name."""
    if name not in registry:
        registry.register(loss_named(name))
    elif registry.get(name).__module__ != __name__:
        raise AesopError(f"{title} has a loss of its own named {name}, and refuses a second one; remove either.")
