"""The command `aesop`. It parses and prints; one importable function stands behind every command."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer import Option
from typer.core import TyperCommand, TyperGroup

import aesop
from aesop.cli import (
    analyze,
    degrade,
    demo,
    evaluate,
    export,
    interpolate,
    models,
    prepare,
    push,
    recipes,
    train,
    ui,
    upscale,
)
from aesop.cli.options import examples
from aesop.errors import AesopError, Interrupted
from aesop.files import explained


class _Commands(TyperGroup):
    """The commands. Invalid values get the same messages as those of a recipe."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            from pydantic import ValidationError

            from aesop.config import complaint

            if not (isinstance(error.__cause__, ValidationError) and error.param):  # an older typer
                raise
            raise AesopError(f"{complaint(error.__cause__.errors()[0], error.param.opts[0])}.") from error


class _Command(TyperCommand):
    """A command whose help leaves out the arguments' Python types."""

    def get_help(self, ctx: Any) -> str:
        return re.sub(r" <[\w\[\]]+>", lambda found: " " * len(found[0]), super().get_help(ctx))


app = typer.Typer(
    name="aesop",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # markup would swallow `[default: auto]`
    context_settings={"max_content_width": 120},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"aesop {aesop.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Perceptual image super-resolution with auto-encoded supervision: train, evaluate, upscale."""


for _command, *_commands in (
    (
        train.train,
        "aesop train laptop --data photos/ --run runs/first",
        "aesop train aesop-rrdb-128 perceptual.batch=8 --data DF2K --run runs/paper",
    ),
    (prepare.prepare, "aesop prepare --data LSDIR --to s3://bucket/lsdir"),
    (recipes.recipes, "aesop recipes"),
    (degrade.degrade, "aesop degrade realesrgan-x4 photo.png --output degraded.png --count 9"),
    (demo.demo, "aesop demo", "aesop demo --photos photos/ --run my-demo"),
    (
        evaluate.evaluate,
        "aesop evaluate bicubic runs/first --benchmark Set14 --report report.html",
        "aesop evaluate Old=old.pth New=new.pth --benchmark Set5 --csv values.csv",
    ),
    (interpolate.interpolate, "aesop interpolate old.pth new.pth --alpha 0.5 --output half.safetensors"),
    (
        upscale.upscale,
        "aesop upscale holiday.jpg",
        "aesop upscale photos/ --model runs/first --output upscaled/",
        "aesop upscale scan.tif --model 4x.pth --width 4000 --name '{stem}_large'",
    ),
    (ui.ui, "aesop ui", "aesop ui --model runs/first --browser"),
    (
        models.models,
        "aesop models",
        "aesop models --search photo --scale 4",
        "aesop models --get 4x-Nomos8kSC",
    ),
    (
        export.export,
        "aesop export runs/first --to onnx",
        "aesop export 4x.pth --to safetensors --output models/4x.safetensors",
    ),
    (
        push.push,
        "aesop push runs/first me/x4-first --license apache-2.0",
        "aesop push x4.safetensors me/x4-second --private --dry-run",
    ),
):
    app.command(epilog=examples(*_commands))(_command)
app.add_typer(analyze.app)
for _info in (*app.registered_commands, *analyze.app.registered_commands):
    _info.cls = _Command


def main(run: Callable[[], object] = app) -> None:
    """Run the command; a mistake of the user's becomes one sentence and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal or a pipe without arrows is no reason to fail
    _silence_libraries()
    try:
        run()
    except Interrupted as stopped:
        print(f"{stopped}; run the same command again to resume.", file=sys.stderr)
        sys.exit(128 + stopped.signum)
    except (AesopError, OSError) as error:
        print(f"aesop: {explained(error) if isinstance(error, OSError) else error}", file=sys.stderr)
        sys.exit(2)


def _silence_libraries() -> None:
    """Keep libraries' warnings and tips from the user, in worker processes too; PYTHONWARNINGS brings them back.

    `import_here` lets the warnings of the user's own modules through.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"
    logging.disable(logging.WARNING)
