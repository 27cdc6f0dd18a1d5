"""`aesop upscale`: parses, calls, prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from aesop.cli.options import Device, Imports, chosen_device, import_modules


def upscale(
    inputs: Annotated[list[Path], typer.Argument(metavar="PICTURE|FOLDER...", help="Folders are searched whole.")],
    model: Annotated[Path, typer.Option(help="A model file or a run folder.")],
    output: Annotated[Path, typer.Option(help="The folder for the results, of the same relative names.")],
    tile: Annotated[
        int | None, typer.Option(help="A tile's side in pixels of the input; less needs less memory. [default: auto]")
    ] = None,
    device: Device = "auto",
    keep_format: Annotated[bool, typer.Option("--keep-format", help="Write each input's format, not PNG.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make results anew that exist already.")] = False,
    imports: Imports = None,
) -> None:
    """Upscale pictures and folders of pictures.

    Originals are never touched. Results that exist already are skipped. Exit status 2 if a picture could not be
    upscaled; all others are written.
    """
    from aesop.files import printable
    from aesop.upscaling.upscale import upscale as run

    import_modules(imports)
    report = run(
        inputs,
        model,
        output,
        tile=tile,
        device=str(chosen_device(device)),
        keep_format=keep_format,
        overwrite=overwrite,
    )
    print(f"{len(report.written)} written to {printable(output)}")
    if report.skipped:
        print(f"{len(report.skipped)} skipped: they exist already; --overwrite makes them anew")
    if report.seams:
        print("This model looks at more of a picture than tiles can overlap: look for seams, or take a larger --tile.")
    for source, reason in report.failed.items():
        named = printable(source)
        print(reason if named in reason else f"{named}: {reason}", file=sys.stderr)
    if report.failed:
        raise typer.Exit(2)
