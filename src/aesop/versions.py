"""The versions of packages that a run and an evaluation record."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = (
    "aesop-sr", "torch", "torchvision", "torchmetrics", "lightning-fabric", "spandrel", "numpy", "pyvips", "pillow",
    "torch-fidelity", "piq", "pyiqa", "efficientnet-lite-pytorch",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions of Python, the platform and the packages that decide numbers, as far as installed."""
    found = {package: installed for package in _PACKAGES if (installed := version_of(package))}
    return {"python": platform.python_version(), "platform": platform.platform(), **found}


def version_of(package: str) -> str:
    """Return the version of an installed package, or an empty string."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
