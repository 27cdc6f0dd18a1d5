"""Options that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from aesop.cli import completion
from aesop.errors import DataError, ModelError

#: Our functions name the paths that cannot be read and continue with the others; typer would refuse all.
Argument = partial(typer.Argument, readable=False)
Option = partial(typer.Option, readable=False)

#: Of models, a shell completes the names, too.
ModelArgument = partial(Argument, autocompletion=completion.models)
ModelOption = partial(Option, autocompletion=completion.models)

_RECIPE = "Name of a recipe (see `aesop recipes`) or a .yaml file."
RecipeName = Annotated[str, Argument(metavar="RECIPE", help=_RECIPE, autocompletion=completion.recipes)]
Models = Annotated[
    list[str],
    ModelArgument(metavar="[TITLE=]MODEL", help="bicubic, a run folder, a model file or one of `aesop models`."),
]
Scale = Annotated[int | None, Option(min=2, metavar="N", help="Where no network tells it; unset, 4.")]
BenchmarksFolder = Annotated[
    Path | None, Option(metavar="DIR", help="Folder of the benchmarks that are given by name, such as Set5.")
]
_AUTOENCODER = ModelOption("--autoencoder", metavar="FILE|RUN", help="An auto-encoder, or a run with one.")
AutoEncoderPath = Annotated[Path | None, _AUTOENCODER]
RequiredAutoEncoder = Annotated[Path, _AUTOENCODER]
Imports = Annotated[
    list[str] | None, Option("--import", metavar="MODULE", help="A module with networks of your own. Repeatable.")
]
Processes = Annotated[int | None, Option(min=1, metavar="N", help="Number of processes; unset, one per core at most.")]
NoCache = Annotated[bool, Option("--no-cache", help="Compute everything again and store nothing.")]
Device = Annotated[
    str, Option(help="auto (CUDA, else MPS, else the CPU), cpu, cuda, cuda:1, mps, ...", metavar="DEVICE")
]


def share_cores() -> None:
    """Let torch's threads sleep while they wait; call it before torch is imported.

    Where another program wants the cores too, spinning makes an iteration last seconds instead of a tenth of one.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def examples(*commands: str) -> str:
    """Return the examples below a command's help."""
    return "\n".join(("\b", "Examples:" if len(commands) > 1 else "Example:", *(f"  {line}" for line in commands)))


def chosen_device(name: str) -> str:
    """Return the device that `--device` names; print it where it is not the CPU."""
    from aesop.device import choose_device

    device = str(choose_device(name))
    if not device.startswith("cpu"):
        print(f"device: {device}", file=sys.stderr)
    return device


def named_pictures(data: Path | None, hr: Path | None, lr: Path | None) -> Path:
    """Return the folder of pictures, which either --data names, or --hr together with --lr."""
    pictures = hr or data
    if pictures is None or (hr is None) != (lr is None) or (hr is not None) == (data is not None):
        raise DataError("Name the pictures: either --data DIR, or --hr DIR and --lr DIR.")
    return pictures


def split_names(text: str | None) -> list[str] | None:
    """The names in a list that is separated by commas; None for an option that is not given."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def import_modules(modules: Sequence[str] | None) -> None:
    """Import the modules that a user names, whose classes files may refer to; ModelError for one that cannot be."""
    from aesop.config import import_here

    for module in modules or ():
        try:
            import_here(module)
        except ValueError as error:
            raise ModelError(f"--import {error}.") from error
