"""`aesop interpolate`: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from aesop.cli.options import Imports, ModelArgument, Option, import_modules


def interpolate(
    first: Annotated[Path, ModelArgument(metavar="A", help="A model file or run folder, such as a fidelity network.")],
    second: Annotated[
        Path, ModelArgument(metavar="B", help="Another of the same architecture, such as a perceptual one.")
    ],
    alpha: Annotated[float, Option(metavar="ALPHA", help="0 to 1: the weights become (1 - alpha) * A + alpha * B.")],
    output: Annotated[Path, Option(help="File for the network in between.", metavar="FILE.safetensors")],
    imports: Imports = None,
) -> None:
    """Write a network between two, without training.

    A dial from fidelity (A) to perception (B).
    """
    from aesop.files import printable
    from aesop.networks.interpolate import interpolate_files

    import_modules(imports)
    interpolate_files(first, second, alpha, output)
    print(printable(output))
