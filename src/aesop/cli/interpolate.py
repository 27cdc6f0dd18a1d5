"""`aesop interpolate`: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aesop.cli.options import Imports, import_modules


def interpolate(
    first: Annotated[Path, typer.Argument(metavar="A", help="A model file or run folder, e.g. the fidelity network.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another of the same architecture, e.g. a perceptual.")],
    alpha: Annotated[float, typer.Option(help="0 to 1: the weights become (1 - alpha) * A + alpha * B.")],
    output: Annotated[Path, typer.Option(help="The file for the network in between.", metavar="FILE.safetensors")],
    imports: Imports = None,
) -> None:
    """Write a network between two: a dial from fidelity to perception, no training needed."""
    from aesop.files import printable
    from aesop.networks.interpolate import interpolate_files

    import_modules(imports)
    interpolate_files(first, second, alpha, output)
    print(printable(output))
