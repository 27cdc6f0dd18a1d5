"""`aesop evaluate`: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aesop.cli_options import Imports, import_modules


def evaluate(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="bicubic, a run folder or a model file.")],
    benchmark: Annotated[
        list[Path], typer.Option(help="A folder with HRx4 (or HR) and, optionally, LRx4; or just pictures. Repeatable.")
    ],
    json: Annotated[Path | None, typer.Option(help="Write every picture's values to this file.")] = None,
    autoencoder: Annotated[Path | None, typer.Option(help="An auto-encoder, or a run with one, for AE-PSNR.")] = None,
    scale: Annotated[int | None, typer.Option(min=2, help="Needed for bicubic alone, if not 4.")] = None,
    metrics: Annotated[str | None, typer.Option(help="Names separated by commas: psnr,ssim,lr-psnr,... .")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, ...")] = "cpu",
    imports: Imports = None,
) -> None:
    """Measure models on benchmarks: PSNR, SSIM, LR-PSNR, AE-PSNR, LPIPS, DISTS by the paper's protocol.

    Exit status 2 if a picture could not be read, upscaled or measured; the tables and the JSON file hold the others.
    """
    from aesop.evaluation.evaluate import evaluate as run
    from aesop.evaluation.table import print_tables
    from aesop.files import printable, require_writable

    import_modules(imports)
    names = None if metrics is None else [name.strip() for name in metrics.split(",") if name.strip()]
    if json is not None:
        require_writable(json)
    evaluation = run(models, benchmark, scale=scale, metrics=names, autoencoder=autoencoder, device=device)
    print_tables(evaluation)
    if json is not None:
        evaluation.to_json(json)
        print(printable(json))
    if evaluation.failures:
        raise typer.Exit(2)
