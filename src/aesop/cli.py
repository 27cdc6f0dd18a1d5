"""The command `aesop`. It parses and prints; one importable function stands behind every command."""

from __future__ import annotations

import errno
import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from aesop import cli_analyze, cli_degrade, cli_demo, cli_evaluate, cli_interpolate, cli_upscale
from aesop.cores import share_cores
from aesop.errors import AesopError

app = typer.Typer(
    name="aesop",
    help="Perceptual image super-resolution with auto-encoded supervision: train, evaluate, upscale.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="name of a recipe (see `aesop recipes`) or a .yaml file")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="e.g. perceptual.batch=4 or steps=3")
    ] = None,
    *,
    data: Annotated[Path, typer.Option(help="folder of pictures: HR, or HR and LR", metavar="DIR")],
    # torchrun takes `--run` for one of its own options; the longer name passes it by.
    run: Annotated[
        Path,
        typer.Option(
            "--run", "--run-folder", help="folder for all results; an interrupted run continues", metavar="DIR"
        ),
    ],
    validation: Annotated[
        Path | None, typer.Option(help="folder of held-out pictures; unset, some of the data", metavar="DIR")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="folder for the prepared pictures; unset, a cache folder", metavar="DIR")
    ] = None,
    devices: Annotated[int, typer.Option(help="number of devices on each machine", min=1)] = 1,
    nodes: Annotated[int, typer.Option(help="number of machines, started by torchrun or SLURM", min=1)] = 1,
    accelerator: Annotated[str, typer.Option(help="kind of device: auto, cpu, cuda, mps")] = "auto",
) -> None:
    """Train a recipe's stages: fidelity network, auto-encoder, perceptual network; finished ones are skipped."""
    share_cores()
    from aesop.training.interruption import Interrupted
    from aesop.training.recipe_files import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    from lightning_fabric.utilities.rank_zero import rank_zero_only

    from aesop.training.train import train as train_run

    try:
        train_run(
            loaded,
            data,
            run,
            validation=validation,
            store=store,
            devices=devices,
            nodes=nodes,
            accelerator=accelerator,
        )
    except Interrupted as stopped:
        print(f"{stopped}; call the same command again to resume.", file=sys.stderr)
        raise typer.Exit(128 + stopped.signum) from None
    rank_zero_only(print)(run)


@app.command()
def recipes() -> None:
    """List the recipes that come with the package."""
    from aesop.training.recipe_files import load_recipe, recipe_names

    for name in recipe_names():
        print(f"{name:24} {load_recipe(name).about}")


app.command()(cli_degrade.degrade)
app.command()(cli_demo.demo)
app.command()(cli_evaluate.evaluate)
app.add_typer(cli_analyze.app)
app.command()(cli_interpolate.interpolate)
app.command()(cli_upscale.upscale)


def main() -> None:
    """Run the command; a mistake of the user's becomes one sentence and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal or a pipe without arrows is no reason to fail
    try:
        app()
    except AesopError as error:
        print(f"aesop: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(
            f"aesop: {error.filename or 'a file'}: the disk is full; free some space and call again.", file=sys.stderr
        )
        sys.exit(2)
