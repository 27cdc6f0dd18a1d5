"""`aesop analyze loss-scales`: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from aesop.cli import options
from aesop.cli.analyze.common import Output, Points, begin, end
from aesop.cli.options import Argument, Option


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
    chosen = begin(imports, device, output)
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
    end(output, found.summary(), found.failures)
