"""The key of the code behind a value: of its source files, and of the packages that these import."""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

import aesop
from aesop.evaluation.store import digest, digest_of

#: Changes with every change of what is measured that the code's own text does not show.
PROTOCOL = 2

#: Folders of environments and of the standard library's place in them.
_ENVIRONMENT = {"site-packages", "dist-packages", *Path(sysconfig.get_paths()["stdlib"]).parts[-1:]}
_OWN = re.compile(r"^\s*(?:from|import) (aesop\.[\w.]+)", re.MULTILINE)
_OTHERS = re.compile(r"""^\s*(?:from|import) (\w+)|import_module\(f?"(\w+)""", re.MULTILINE)


def code_key(modules: Iterable[str]) -> str:
    """The key of the source files of `modules`, of those in this package that they import, and of the packages used.

    Files beside a module whose names begin with its name (weights, say) belong to it. The list of all metrics does not
    belong to one of them, and neither does what only another metric needs. Of a module of the user's, all that is
    loaded from its package, or from its folder, belongs to it.
    """
    files: set[Path] = set()
    packages: set[str] = set()
    seen = {"aesop.metrics"}
    to_do = list(modules)
    while to_do:
        name = to_do.pop()
        if name in seen:
            continue
        seen.add(name)
        if not name.startswith("aesop."):
            files |= _beside(name)
        elif (path := _file_of(name)) is not None:
            files |= set(path.parent.glob(f"{path.stem}*"))
            text = path.read_text(encoding="utf-8")
            to_do += _OWN.findall(text)
            packages |= {first or second for first, second in _OTHERS.findall(text)}
    return digest(PROTOCOL, *sorted(map(digest_of, files)), *sorted(filter(None, map(_installed, packages))))


def _file_of(module: str) -> Path | None:
    """The source file of a module of this package."""
    path = Path(aesop.__file__).parent.joinpath(*module.split(".")[1:])
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _beside(module: str) -> set[Path]:
    """The files of a loaded module of the user's, and of what is loaded from its package or its folder."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return set()
    # A copy: another thread may import meanwhile.
    loaded = {Path(found) for other in list(sys.modules.values()) if (found := getattr(other, "__file__", None))}
    package = getattr(sys.modules.get(module.partition(".")[0]), "__path__", None)
    folders = {Path(file).resolve().parent} if package is None else {Path(folder).resolve() for folder in package}
    beside = {path for path in loaded if folders & set(path.resolve().parents)}
    # A folder may hold an environment too, or be one; what is installed there is not the user's.
    return {Path(file)} | {path for path in beside if package is not None or not _ENVIRONMENT & set(path.parts)}


@cache
def _installed(package: str) -> str | None:
    """`name version` of every distribution that has this package; None for the standard library's and missing ones."""
    found = []
    for name in sorted(set(_distributions().get(package, ()))):
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    if package == "pyvips" and found:
        import pyvips

        found.append(f"libvips {pyvips.version(0)}.{pyvips.version(1)}.{pyvips.version(2)}")
    return ", ".join(found) or None


@cache
def _distributions() -> dict[str, list[str]]:
    return {name: list(found) for name, found in packages_distributions().items() if name != "aesop"}
