"""`aesop analyze`: parses, calls, prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from aesop.cli import options
from aesop.cli.options import Argument, Option

app = typer.Typer(name="analyze", help="Draw the paper's analysis figures for any model.", no_args_is_help=True)

Picture = Annotated[Path, Argument(metavar="PICTURE", help="An HR picture.")]
LR = Annotated[Path | None, Option(help="The picture's LR; unset, it is made by bicubic downscaling.", metavar="FILE")]
Benchmarks = Annotated[
    list[str],
    Option("--benchmark", help="A folder, or a known name, as for `aesop evaluate`. Repeatable.", metavar="DIR"),
]
Output = Annotated[Path, Option(help="File for the figure: .png, .svg or .pdf.", metavar="FILE")]
Json = Annotated[Path | None, Option("--json", help="Write all values to this file.", metavar="FILE")]
Points = Annotated[int, Option(min=1, metavar="N", help="Checkpoints of a run, at most.")]
Sigma = Annotated[float, Option(min=0.1, max=16, metavar="S", help="Deviation of the Gaussian in pixels.")]


@app.command(epilog=options.examples("aesop analyze spectra photo.png --autoencoder runs/first --output fft.pdf"))
def spectra(
    picture: Picture,
    *,
    autoencoder: options.RequiredAutoEncoder,
    output: Output,
    sigma: Sigma = 1.5,
    device: options.Device = "auto",
    imports: options.Imports = None,
) -> None:
    """Draw spectra of a picture and its auto-encoding.

    Log magnitudes of the picture, auto-encoded and low-passed, and their difference (figures 6 and 19).
    """
    chosen = _begin(imports, device, output)
    from aesop.analysis import draw_spectra, measure_spectra

    found = measure_spectra(picture, autoencoder, sigma=sigma, device=chosen)
    draw_spectra(found, output)
    _end(output, found.summary())


@app.command(epilog=options.examples("aesop analyze loss-maps hr.png x4.pth --autoencoder runs/a --output maps.pdf"))
def loss_maps(
    picture: Picture,
    models: options.Models,
    *,
    autoencoder: options.RequiredAutoEncoder,
    output: Output,
    lr: LR = None,
    sigma: Sigma = 1.5,
    device: options.Device = "auto",
    imports: options.Imports = None,
) -> None:
    """Draw where in a picture each loss penalises.

    The pixel, AESOP and high-pass losses and the fidelity biases (figures 3 and 8).
    """
    chosen = _begin(imports, device, output)
    from aesop.analysis import draw_loss_maps, measure_loss_maps
    from aesop.evaluation.model_names import titled_models

    found = measure_loss_maps(picture, titled_models(models), autoencoder, lr=lr, sigma=sigma, device=chosen)
    draw_loss_maps(found, output)
    _end(output, found.summary())


@app.command(epilog=options.examples("aesop analyze loss-scales runs/first runs/pixel --output scales.pdf"))
def loss_scales(
    runs: Annotated[list[str], Argument(metavar="[TITLE=]RUN", help="Run folders with a perceptual stage.")],
    output: Output,
    benchmark: Annotated[
        list[str] | None, Option(help="Measure snapshots on these pictures instead of reading logs.", metavar="DIR")
    ] = None,
    autoencoder: options.AutoEncoderPath = None,
    benchmarks_folder: options.BenchmarksFolder = None,
    points: Points = 10,
    device: options.Device = "auto",
    processes: options.Processes = None,
    no_cache: options.NoCache = False,
    imports: options.Imports = None,
) -> None:
    """Draw pixel and AESOP losses along trainings.

    Figure 9. Exit status 2 if a picture could not be measured; the figure is of the others.
    """
    chosen = _begin(imports, device, output)
    from aesop.analysis import draw_loss_scales, measure_loss_scales
    from aesop.evaluation.model_names import titled_models

    found = measure_loss_scales(
        {title: Path(run) for title, run in titled_models(runs).items()},
        benchmark or (),
        autoencoder,
        points=points,
        device=chosen,
        processes=processes,
        cache=not no_cache,
        benchmarks_folder=benchmarks_folder,
        imports=imports or (),
    )
    draw_loss_scales(found, output)
    _end(output, found.summary(), found.failures)


@app.command(epilog=options.examples("aesop analyze crops photo.png old.pth new.pth --output crops.pdf"))
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
    chosen = _begin(imports, device, output)
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
    _end(output, sheet.summary(), sheet.failures)


@app.command(epilog=options.examples("aesop analyze curves runs/first a.pth:b.pth --benchmark Set5 --output pd.pdf"))
def curves(
    methods: Annotated[
        list[str],
        Argument(
            metavar="[TITLE=]METHOD",
            help="RUN (its checkpoints), A:B (the networks between two models), bicubic or a model file (a point).",
        ),
    ],
    benchmark: Benchmarks,
    output: Output,
    alphas: Annotated[str, Option(metavar="A,B,...", help="Alphas of A:B, 0 to 1.")] = "0,0.2,0.4,0.6,0.8,1",
    points: Points = 10,
    x: Annotated[str, Option("--x", metavar="METRIC", help="Horizontal metric.")] = "psnr",
    y: Annotated[str, Option("--y", metavar="METRIC", help="Vertical metric.")] = "lpips",
    json: Json = None,
    benchmarks_folder: options.BenchmarksFolder = None,
    autoencoder: options.AutoEncoderPath = None,
    device: options.Device = "auto",
    processes: options.Processes = None,
    no_cache: options.NoCache = False,
    imports: options.Imports = None,
) -> None:
    """Draw perception-distortion curves by any two metrics.

    Figures 4 and 12 to 18. Exit status 2 if a picture could not be measured; the figure holds the others.
    """
    chosen = _begin(imports, device, output, json)
    from aesop.analysis import draw_curves, measure_curves
    from aesop.errors import AesopError

    try:
        numbers = [float(number) for number in alphas.split(",")]
    except ValueError as error:
        raise AesopError(f"--alphas {alphas}: must be numbers separated by commas.") from error
    found = measure_curves(
        methods,
        benchmark,
        x,
        y,
        alphas=numbers,
        points=points,
        autoencoder=autoencoder,
        device=chosen,
        processes=processes,
        cache=not no_cache,
        benchmarks_folder=benchmarks_folder,
        imports=imports or (),
    )
    draw_curves(found, output)
    if json is not None:
        found.to_json(json)
        _end(json)
    _end(output, failures=found.failures)


def _begin(imports: Sequence[str] | None, device: str, output: Path, json: Path | None = None) -> str:
    """Import the user's modules, try the outputs and choose the device."""
    options.share_cores()
    from aesop.analysis.drawing import require_drawable
    from aesop.files import require_writable

    options.import_modules(imports)
    require_drawable(output)
    if json is not None:
        require_writable(json)
    return options.chosen_device(device)


def _end(written: Path, lines: Sequence[str] = (), failures: Sequence[str] = ()) -> None:
    """Print what was found, what failed and the file; exit status 2 for failures."""
    from aesop.files import printable

    for line in lines:
        print(line)
    for failure in failures:
        print(failure, file=sys.stderr)
    print(printable(written))
    if failures:
        raise typer.Exit(2)
