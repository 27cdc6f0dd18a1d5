"""`aesop demo`: parses, calls, prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from aesop.cores import share_cores


def demo(
    photos: Annotated[
        Path | None, typer.Option(help="A folder of your own pictures; unset, scikit-image's.", metavar="DIR")
    ] = None,
    run: Annotated[Path, typer.Option(help="Folder for all results; an interrupted demo continues.", metavar="DIR")] = (
        Path("demo")
    ),
    quick: Annotated[bool, typer.Option("--quick", hidden=True, help="A trial of seconds.")] = False,
) -> None:
    """Train AESOP and its pixel-loss twin on photographs, in minutes on a CPU, and write a report on both."""
    share_cores()
    from aesop.demo.demo import QUICK
    from aesop.demo.demo import demo as run_demo
    from aesop.evaluation.table import print_tables
    from aesop.training.interruption import Interrupted

    try:
        evaluation, report = run_demo(run, photos, overrides=QUICK if quick else ())
    except Interrupted as stopped:
        print(f"{stopped}; call the same command again to resume.", file=sys.stderr)
        raise typer.Exit(128 + stopped.signum) from None
    print_tables(evaluation)
    print(report)
