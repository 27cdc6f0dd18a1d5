"""`aesop export`: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from aesop.cli.options import Imports, ModelArgument, Option, import_modules


def export(
    model: Annotated[Path, ModelArgument(metavar="FILE|RUN", help="A model file or a run folder.")],
    to: Annotated[str, Option("--to", metavar="FORMAT", help="onnx, safetensors, ncnn or openvino.")],
    output: Annotated[
        Path | None, Option(metavar="FILE", help="Unset, the model's name, in the current folder.")
    ] = None,
    imports: Imports = None,
) -> None:
    """Write a generator for other programs.

    It takes pictures of every size. The file is compared with torch at two sizes before it is put in place.
    """
    from aesop.files import printable
    from aesop.upscaling.export import export as run

    import_modules(imports)
    exported = run(model, to, output)
    agreement = "equal" if exported.agreement >= 200 else f"{exported.agreement:.0f} dB from torch"
    print(f"{' and '.join(printable(path) for path in exported.files)}: {agreement}")
    if exported.spandrel is not None:
        print("spandrel reads it" if exported.spandrel else "spandrel, which other programs use, has no such network")
