"""The command `aesop`. It parses and prints; one importable function stands behind every command."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings

import typer

from aesop.cli import analyze, degrade, demo, evaluate, interpolate, recipes, train, upscale
from aesop.errors import AesopError
from aesop.files import explained

app = typer.Typer(
    name="aesop",
    help="Perceptual image super-resolution with auto-encoded supervision: train, evaluate, upscale.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


app.command()(train.train)
app.command()(recipes.recipes)
app.command()(degrade.degrade)
app.command()(demo.demo)
app.command()(evaluate.evaluate)
app.add_typer(analyze.app)
app.command()(interpolate.interpolate)
app.command()(upscale.upscale)


def main() -> None:
    """Run the command; a mistake of the user's becomes one sentence and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal or a pipe without arrows is no reason to fail
    _silence_libraries()
    try:
        app()
    except AesopError as error:
        sys.exit(_failed(str(error)))
    except OSError as error:
        sys.exit(_failed(explained(error)))


def _failed(message: str) -> int:
    print(f"aesop: {message}", file=sys.stderr)
    return 2


def _silence_libraries() -> None:
    """Keep libraries' warnings and tips from the user, in worker processes too; PYTHONWARNINGS brings them back."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"
    logging.disable(logging.INFO)
