"""The command `aesop`. It parses and prints; one importable function stands behind every command."""

from __future__ import annotations

import errno
import io
import sys

import typer

from aesop.cli import analyze, degrade, demo, evaluate, interpolate, recipes, train, upscale
from aesop.errors import AesopError

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
