"""`aesop analyze crops`: parses, calls, prints."""

from __future__ import annotations

from typing import Annotated

from aesop.cli import options
from aesop.cli.analyze.common import LR, Output, Picture, begin, end
from aesop.cli.options import Option


def crops(
    picture: Picture,
    models: options.Models,
    *,
    output: Output,
    lr: LR = None,
    box: Annotated[
        list[str] | None, Option(metavar="TOP,LEFT,SIDE", help="A square, in HR pixels. Repeatable.")
    ] = None,
    boxes: Annotated[int, Option(min=1, max=9, metavar="N", help="Number of squares to find without --box.")] = 2,
    side: Annotated[int, Option(min=8, metavar="N", help="Side of the squares to find, in HR pixels.")] = 64,
    metrics: Annotated[
        str | None, Option(metavar="NAMES", help="Separated by commas, '' for none; unset, psnr.")
    ] = None,
    without_hr: Annotated[bool, Option("--without-hr", help="PICTURE is LR; there is no HR.")] = False,
    scale: options.Scale = None,
    autoencoder: options.AutoEncoderPath = None,
    device: options.Device = "auto",
    no_cache: options.NoCache = False,
    imports: options.Imports = None,
) -> None:
    """Draw crops of models side by side.

    Exit status 2 if a model or a metric failed; the figure holds the others.
    """
    chosen = begin(imports, device, output)
    from aesop.analysis import draw_crops, measure_crops, parse_box
    from aesop.evaluation.model_names import titled_models
    from aesop.files import printable

    sheet = measure_crops(
        picture,
        titled_models(models),
        lr=lr,
        without_hr=without_hr,
        boxes=[parse_box(text) for text in box or []],
        count=boxes,
        side=side,
        metrics=options.split_names(metrics),
        scale=scale,
        autoencoder=autoencoder,
        device=chosen,
        cache=not no_cache,
        imports=imports or (),
    )
    draw_crops(sheet, output, printable(picture.stem))
    end(output, sheet.summary(), sheet.failures)
