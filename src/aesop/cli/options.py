"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from aesop.errors import ModelError

if TYPE_CHECKING:
    import torch

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="Name of a recipe (see `aesop recipes`) or a .yaml file.")
]
Imports = Annotated[
    list[str] | None,
    typer.Option("--import", metavar="MODULE", help="A module with networks of your own. Repeatable."),
]
Processes = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Number of processes; unset, one per core at most."),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Compute everything anew and store nothing.")]
Device = Annotated[
    str, typer.Option(help="auto (CUDA, else MPS, else the CPU), cpu, cuda, cuda:1, mps, ...", metavar="DEVICE")
]


def examples(*commands: str) -> str:
    """Return what stands under a command's help: commands to copy."""
    return "\n".join(("\b", "Examples:" if len(commands) > 1 else "Example:", *(f"  {line}" for line in commands)))


def chosen_device(name: str) -> torch.device:
    """Return the device that `--device` names, and tell which one it is where it is not the CPU."""
    from aesop.device import choose_device

    device = choose_device(name)
    if device.type != "cpu":
        print(f"device: {device}", file=sys.stderr)
    return device


def import_modules(modules: Sequence[str] | None) -> None:
    """Import the modules that a user names, so that files may refer to their classes.

    Raises:
        ModelError: naming one that cannot be imported.

    """
    from aesop.config import import_here

    for module in modules or ():
        try:
            import_here(module)
        except ValueError as error:
            raise ModelError(f"--import {error}.") from error
