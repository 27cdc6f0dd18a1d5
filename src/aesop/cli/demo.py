"""`aesop demo`: parses, calls, prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from aesop.cores import share_cores


def demo(
    photos: Annotated[
        Path | None,
        typer.Option(help="Folder of pictures; unset, scikit-image's photographs.", metavar="DIR"),
    ] = None,
    run: Annotated[Path, typer.Option(help="Folder for all results; an interrupted demo resumes.", metavar="DIR")] = (
        Path("demo")
    ),
    quick: Annotated[bool, typer.Option("--quick", hidden=True, help="A trial of seconds.")] = False,
) -> None:
    """Train AESOP and its pixel-loss twin, and write a report.

    Takes some minutes on a CPU. Both networks are trained on photographs and measured on others.
    """
    share_cores()
    from aesop.demo.demo import QUICK
    from aesop.demo.demo import demo as run_demo
    from aesop.evaluation.table import print_tables
    from aesop.training.interruption import Interrupted

    try:
        evaluation, report = run_demo(run, photos, overrides=QUICK if quick else ())
    except Interrupted as stopped:
        print(f"{stopped}; run the same command again to resume.", file=sys.stderr)
        raise typer.Exit(128 + stopped.signum) from None
    print_tables(evaluation)
    print(report)
