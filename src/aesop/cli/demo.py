"""`aesop demo`: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from aesop.cli.options import Device, Option, share_cores


def demo(
    photos: Annotated[
        Path | None, Option(help="Folder of pictures; unset, scikit-image's photographs.", metavar="DIR")
    ] = None,
    run: Annotated[Path, Option(help="Folder for all results; an interrupted demo resumes.", metavar="DIR")] = Path(
        "demo"
    ),
    from_scratch: Annotated[
        bool,
        Option("--from-scratch", help="Train the fidelity network and the auto-encoder, too; unset, those in the box."),
    ] = False,
    quick: Annotated[bool, Option("--quick", help="Every step once, in a minute; the values mean nothing.")] = False,
    device: Device = "auto",
) -> None:
    """Train AESOP and its pixel-loss twin, and write a report.

    Takes some minutes on a CPU. Both networks are trained on photographs and measured on others.
    """
    share_cores()
    from aesop.demos.demo import QUICK
    from aesop.demos.demo import demo as run_demo
    from aesop.evaluation.terminal import print_tables

    evaluation, report = run_demo(
        run, photos, from_scratch=from_scratch, overrides=QUICK if quick else (), device=device
    )
    print_tables(evaluation)
    print(report)
