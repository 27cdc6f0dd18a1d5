"""The options, first and last steps that the commands of `aesop analyze` share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from aesop.cli import options
from aesop.cli.options import Argument, Option

Picture = Annotated[Path, Argument(metavar="PICTURE", help="An HR picture.")]
LR = Annotated[Path | None, Option(help="The picture's LR; unset, it is made by bicubic downscaling.", metavar="FILE")]
Output = Annotated[Path, Option(help="File for the figure: .png, .svg or .pdf.", metavar="FILE")]
Points = Annotated[int, Option(min=1, metavar="N", help="Checkpoints of a run, at most.")]
Sigma = Annotated[float, Option(min=0.1, max=16, metavar="S", help="Deviation of the Gaussian in pixels.")]


def begin(imports: Sequence[str] | None, device: str, output: Path, json: Path | None = None) -> str:
    """Import the user's modules, try the outputs and choose the device."""
    options.share_cores()
    from aesop.analysis.drawing import require_drawable
    from aesop.files import require_writable

    options.import_modules(imports)
    require_drawable(output)
    if json is not None:
        require_writable(json)
    return options.chosen_device(device)


def end(written: Path, lines: Sequence[str] = (), failures: Sequence[str] = ()) -> None:
    """Print what was found, what failed and the file; exit status 2 for failures."""
    from aesop.files import printable

    for line in lines:
        print(line)
    for failure in failures:
        print(failure, file=sys.stderr)
    print(printable(written))
    if failures:
        raise typer.Exit(2)
