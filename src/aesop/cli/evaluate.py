"""`aesop evaluate`: parses, calls, prints."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from aesop.cli import options
from aesop.cli.options import Option


def evaluate(
    models: Annotated[
        list[str],
        options.ModelArgument(
            metavar="[TITLE=]MODEL",
            help="bicubic, a run folder, a model file, or a folder of SR pictures that another program made.",
        ),
    ],
    benchmark: Annotated[
        list[str] | None,
        Option(
            metavar="DIR",
            help="A folder of HR pictures, or with HRx4 (or HR) and LRx4; a folder of known benchmarks; "
            "or the name of a known one. Repeatable.",
        ),
    ] = None,
    hr: Annotated[
        Path | None, Option(metavar="DIR", help="A benchmark of any layout: its HR pictures; unset, it has none.")
    ] = None,
    lr: Annotated[Path | None, Option(metavar="DIR", help="Its LR pictures; unset, made from HR.")] = None,
    benchmarks_folder: options.BenchmarksFolder = None,
    json: Annotated[Path | None, Option(metavar="FILE", help="Write every picture's values to this file.")] = None,
    csv: Annotated[
        Path | None, Option(metavar="FILE", help="Write means, intervals and differences to this file.")
    ] = None,
    markdown: Annotated[Path | None, Option(metavar="FILE", help="Write the tables to this file.")] = None,
    latex: Annotated[Path | None, Option(metavar="FILE", help="Write the table to this file.")] = None,
    report: Annotated[
        Path | None, Option(metavar="FILE.html", help="Write tables, plots and all pictures to this page.")
    ] = None,
    report_size: Annotated[
        int, Option(min=0, metavar="MB", help="Limit to the size of all pictures in the report.")
    ] = 25,
    sr: Annotated[
        Path | None,
        Option(metavar="DIR", help="Keep SR pictures in this folder, as BENCHMARK/MODEL/PICTURE.png; unset, nowhere."),
    ] = None,
    curve: Annotated[
        list[str] | None,
        Option(
            metavar="[TITLE=]RUN|A:B",
            help="Draw a run's checkpoints, or the networks between two models, in the report. Repeatable.",
        ),
    ] = None,
    against: Annotated[
        str | None, Option(metavar="MODEL", help="The model that the others are compared with; unset, the first.")
    ] = None,
    published: Annotated[
        bool, Option("--published", help="Show the paper's values for these benchmarks and metrics too.")
    ] = False,
    autoencoder: options.AutoEncoderPath = None,
    scale: options.Scale = None,
    metrics: Annotated[
        str | None,
        Option(
            metavar="NAMES",
            help="Separated by commas: psnr, ssim, lr-psnr, ae-psnr, lpips, dists, lpips-proxy, fid, patch-fid, niqe, "
            "maniqa, musiq, clip-iqa, grid (unset, these), ntire, se, ve, ve-hr, l1, grid-hr, "
            "spectrum, or module:Class of your own.",
        ),
    ] = None,
    device: options.Device = "auto",
    processes: options.Processes = None,
    no_cache: options.NoCache = False,
    imports: options.Imports = None,
) -> None:
    """Measure models on benchmarks by the paper's protocol.

    Means and differences between models have intervals. Values that an earlier call measured are reused. Exit status 2
    if a picture could not be read, upscaled or measured or a metric of --metrics is not available; tables and files
    hold the rest.
    """
    options.share_cores()
    from aesop.data.layouts import named_folders
    from aesop.errors import AesopError
    from aesop.evaluation.curves import MeasuredCurve, evaluate_curves, open_curves
    from aesop.evaluation.evaluate import evaluate as run
    from aesop.evaluation.export import to_csv, to_latex, to_markdown
    from aesop.evaluation.terminal import print_tables
    from aesop.files import printable, require_writable, write_atomically
    from aesop.reports.report import report_text

    options.import_modules(imports)
    names = options.split_names(metrics)
    if curve and report is None:
        raise AesopError("`--curve` needs `--report FILE.html`: curves are drawn in the report.")
    outputs = [path for path in (json, csv, markdown, latex, report) if path is not None]
    for path in outputs:
        if outputs.count(path) > 1:
            raise AesopError(f"{path}: is named for two outputs; each needs a file of its own.")
        require_writable(path)
    measure = partial(
        run,
        benchmarks=[*(benchmark or ()), *([named_folders(hr, lr)] if hr or lr else [])],
        metrics=names,
        autoencoder=autoencoder,
        device=options.chosen_device(device),
        processes=processes,
        cache=not no_cache,
        benchmarks_folder=benchmarks_folder,
        imports=imports or (),
    )
    curves: list[MeasuredCurve] = []
    failed: list[AesopError] = []
    try:
        with TemporaryDirectory(prefix="aesop-evaluate-") as folder:
            found, curves_scale = open_curves(curve or (), Path(folder, "curves"))
            scale = scale or curves_scale
            sr_folder = sr or (Path(folder, "sr") if report else None)
            evaluation = measure(models, scale=scale, against=against, sr_folder=sr_folder)
            try:
                curves = evaluate_curves(found, partial(measure, scale=scale))
            except AesopError as error:  # keep what was measured before
                failed.append(error)
            evaluation.notes += [note for one in curves for note in one.notes()]

            page = partial(report_text, megabytes=report_size, published=published, curves=curves)
            writers = (
                (json, evaluation.to_json),
                (csv, partial(to_csv, evaluation, paper=published)),
                (markdown, partial(to_markdown, evaluation, paper=published)),
                (latex, partial(to_latex, evaluation, paper=published)),
                (report, partial(page, evaluation)),
            )
            written = []
            for path, write in writers:
                if path is not None:
                    try:
                        write_atomically(path, write())
                        written.append(path)
                    except AesopError as error:  # likewise
                        failed.append(error)
    except KeyboardInterrupt:
        more = "" if no_cache else "; run the same command again to resume"
        print(f"interrupted{more}.", file=sys.stderr)
        raise typer.Exit(130) from None
    print_tables(evaluation, published=published)
    for path in written:
        print(printable(path))
    if failed:
        raise failed[0]
    measured = {result.metric for result in evaluation.results if result.mean is not None}
    if evaluation.failures or any(one.evaluation.failures for one in curves) or not measured.issuperset(names or ()):
        raise typer.Exit(2)
