"""`aesop upscale`: parses, calls, prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from aesop.box import AUTO
from aesop.cli.options import Argument, Device, Imports, ModelOption, Option, chosen_device, import_modules
from aesop.heap import share_heap


def upscale(
    inputs: Annotated[list[Path], Argument(metavar="PICTURE|FOLDER", help="Folders are searched to any depth.")],
    model: Annotated[
        Path,
        ModelOption(
            help="A model file, a run folder, one of `aesop models`, hf://OWNER/NAME; auto: from the box what fits.",
            metavar="FILE|RUN|NAME",
        ),
    ] = Path(AUTO),
    output: Annotated[Path, Option(help="Folder for the results, named as the inputs.", metavar="DIR")] = Path(
        "upscaled"
    ),
    scale: Annotated[
        float | None, Option(metavar="X", help="Times as high and wide: 2, 1.5, 16, ... Unset, the model's.")
    ] = None,
    width: Annotated[int | None, Option(metavar="N", help="Width of the results, in their place.")] = None,
    height: Annotated[int | None, Option(metavar="N", help="Height of the results, in their place.")] = None,
    megapixels: Annotated[float | None, Option(metavar="X", help="Size of the results, in their place.")] = None,
    fidelity: Annotated[
        float | None,
        Option(metavar="0..1", help="Of a run, or clean-x4: 0 is its perceptual network, 1 its fidelity network."),
    ] = None,
    ensemble: Annotated[
        bool, Option("--ensemble", help="Mean over eight flips and rotations, for eight times the work.")
    ] = False,
    name: Annotated[
        str, Option(metavar="TEMPLATE", help="Results' names: {stem}, {model}, {scale}, such as {stem}_x{scale}.")
    ] = "{stem}",
    tile: Annotated[
        int | None,
        Option(metavar="N", help="Side of a tile in input pixels; smaller needs less memory. Unset, chosen by size."),
    ] = None,
    device: Device = "auto",
    format: Annotated[
        str | None,
        Option(metavar="FORMAT", help="png, jpeg, webp, tiff, avif or bmp. Unset, by each input's suffix, or PNG."),
    ] = None,
    quality: Annotated[int | None, Option(metavar="1..100", help="Of JPEG, WebP and AVIF. Unset, 95.")] = None,
    strip: Annotated[bool, Option("--strip", help="Leave metadata out, in sRGB.")] = False,
    engine: Annotated[
        str,
        Option(metavar="ENGINE", help="auto: fastest that looks the same; exact: same but for rounding; or torch, ..."),
    ] = "auto",
    overwrite: Annotated[bool, Option("--overwrite", help="Replace results that exist.")] = False,
    imports: Imports = None,
) -> None:
    """Upscale pictures and folders of pictures.

    Inputs are never changed. Results that exist are skipped. Exit status 2 if a picture could not be upscaled or a
    folder not be read; all others are written.
    """
    share_heap()
    from aesop.files import printable
    from aesop.progress import duration
    from aesop.upscaling.upscale import upscale as run

    import_modules(imports)
    report = run(
        inputs,
        model,
        output,
        scale=scale,
        width=width,
        height=height,
        megapixels=megapixels,
        fidelity=fidelity,
        ensemble=ensemble,
        name=name,
        tile=tile,
        device=chosen_device(device),
        format=format,
        quality=quality,
        strip=strip,
        engine=engine,
        overwrite=overwrite,
    )
    print(f"{len(report.written)} written to {printable(output)}")
    if report.written:
        speed = report.megapixels / max(report.seconds, 1e-3)
        print(f"{max(report.megapixels, 0.1):.1f} megapixels in {duration(report.seconds)}, {speed:.2f} a second")
    if report.skipped:
        print(f"{len(report.skipped)} skipped: already there; --overwrite writes anew")
    if report.seams:
        print("This model looks at more of a picture than tiles can overlap: look for seams, or take a larger --tile.")
    if report.renamed:
        keep = "1 keeps its" if len(report.renamed) == 1 else f"{len(report.renamed)} keep their"
        print(f"{keep} input's suffix, since another result has the name:", end=" ")
        print(printable(report.renamed[0].name) + (", ..." if len(report.renamed) > 1 else ""))
    for line in (*report.notes, *report.unreadable):
        print(printable(line), file=sys.stderr)
    for source, reason in report.failed.items():
        named = printable(source)
        print(reason if named in reason else f"{named}: {reason}", file=sys.stderr)
    if report.failed:
        print(f"{len(report.failed)} failed", file=sys.stderr)
    if report.failed or report.unreadable:
        raise typer.Exit(2)
