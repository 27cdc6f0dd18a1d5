"""`aesop analyze curves`: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from aesop.cli import options
from aesop.cli.analyze.common import Output, Points, begin, end
from aesop.cli.options import Argument, Option


def curves(
    methods: Annotated[
        list[str],
        Argument(
            metavar="[TITLE=]METHOD",
            help="RUN (its checkpoints), A:B (the networks between two models), bicubic or a model file (a point).",
        ),
    ],
    benchmark: Annotated[
        list[str], Option(help="A folder, or a known name, as for `aesop evaluate`. Repeatable.", metavar="DIR")
    ],
    output: Output,
    alphas: Annotated[str, Option(metavar="A,B,...", help="Alphas of A:B, 0 to 1.")] = "0,0.2,0.4,0.6,0.8,1",
    points: Points = 10,
    x: Annotated[str, Option("--x", metavar="METRIC", help="Horizontal metric.")] = "psnr",
    y: Annotated[str, Option("--y", metavar="METRIC", help="Vertical metric.")] = "lpips",
    json: Annotated[Path | None, Option(metavar="FILE", help="Write all values to this file.")] = None,
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
    chosen = begin(imports, device, output, json)
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
        end(json)
    end(output, failures=found.failures)
