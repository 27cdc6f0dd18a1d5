"""The paper's two parts of the expected pixel loss, estimated through the auto-encoder.

    SE  the systematic effect: the distance of the fidelity biases, |AE(SR) - AE(HR)|_1 (eq. 7)
    VE  the variance effect: what the auto-encoder removes, |SR - AE(SR)|_1, beside HR's own |HR - AE(HR)|_1

SE is error to be driven down. VE is texture: less than HR's is blur, more is invention.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor, nn

from aesop.analysis.models import Upscaling, fidelity_bias, reason_of
from aesop.data.pictures import to_float
from aesop.data.sources import Source
from aesop.errors import AesopError, DataError
from aesop.evaluation.benchmarks import look_at, open_sets
from aesop.evaluation.intervals import Interval
from aesop.evaluation.results import Evaluation, Failure, PairedDifference, Result
from aesop.progress import progress
from aesop.versions import versions


@dataclass(frozen=True)
class BiasVariance:
    """SE, SR's VE and HR's, and the pixel loss |SR - HR|_1 that they are parts of: means over all values in [0, 1]."""

    se: float
    ve: float
    ve_hr: float
    pixel: float


#: The names of the four in results and JSON.
NAMES = tuple(field.name for field in fields(BiasVariance))


def bias_variance(sr: Tensor, hr: Tensor, autoencoder: nn.Module, *, hr_bias: Tensor | None = None) -> BiasVariance:
    """Estimate SE and VE of an SR image.

    Args:
        sr: (3, H, W); clamped to [0, 1], as a picture file would.
        hr: (3, H, W) in [0, 1], H and W multiples of the auto-encoder's scale.
        autoencoder: maps (N, 3, H, W) to the same.
        hr_bias: AE(hr), where it is at hand.

    Raises:
        DataError: if the sizes differ.

    """
    if sr.shape != hr.shape:
        raise DataError(f"SR is {tuple(sr.shape)} and HR {tuple(hr.shape)}; the model's scale or the pair is wrong")
    sr = sr.clamp(0, 1)
    sr_bias = fidelity_bias(autoencoder, sr)
    hr_bias = fidelity_bias(autoencoder, hr) if hr_bias is None else hr_bias
    return BiasVariance(
        se=_distance(sr_bias, hr_bias),
        ve=_distance(sr, sr_bias),
        ve_hr=_distance(hr, hr_bias),
        pixel=_distance(sr, hr),
    )


def measure_bias_variance(
    models: Mapping[str, Upscaling],
    benchmarks: Sequence[Path | str],
    autoencoder: nn.Module,
    scale: int,
    *,
    benchmarks_folder: Path | None = None,
    against: str | None = None,
) -> Evaluation:
    """Estimate SE and VE of every model on every benchmark; a picture that cannot be measured is marked.

    Args:
        models: by title.
        benchmarks: as of `aesop.evaluation.evaluate.evaluate`.
        autoencoder: the estimator.
        scale: of all of them.
        benchmarks_folder: where benchmarks lie that are given by name.
        against: the title of the model that others are compared with; None for the first.

    Returns:
        Results of the "metrics" se, ve, ve_hr and pixel, as those of `BiasVariance`: with means, intervals, paired
        differences and JSON.

    Raises:
        DataError: if a benchmark is missing or incomplete.
        AesopError: if `against` is none of the models.

    """
    if against is not None and against not in models:
        raise AesopError(f"against {against}: is none of the models; choose from {', '.join(models)}.")
    sets = open_sets(benchmarks, scale, benchmarks_folder)
    for benchmark in sets:
        if not benchmark.pairs:
            raise DataError(f"{benchmark.name}: has no HR pictures, and so neither SE nor VE; name another benchmark.")
    evaluation = Evaluation(
        list(models), [found.name for found in sets], list(NAMES), versions=versions(), against=against
    )
    with progress("bias and variance", sum(len(found.pairs) for found in sets), unit="pictures") as advance:
        for benchmark in sets:
            evaluation.notes += look_at(benchmark)
            rows = {title: {name: Result(title, benchmark.name, scale, name) for name in NAMES} for title in models}
            evaluation.results += [result for row in rows.values() for result in row.values()]
            for pair in benchmark.pairs:
                found, reasons = _measure_picture(pair, scale, models, autoencoder)
                for title, row in rows.items():
                    values = asdict(found[title]) if title in found else {}
                    for name, result in row.items():
                        result.pictures[pair.name] = values.get(name)
                evaluation.failures += [
                    Failure(benchmark.name, pair.name, title, None, reason) for title, reason in reasons.items()
                ]
                advance(1, f"{benchmark.name}/{pair.name}")
    return evaluation


def print_bias_variance(evaluation: Evaluation, console: Console | None = None) -> None:
    """Print two tables a benchmark, in units of 1/255: the models, and their differences from one of them.

    Below stands what could not be measured.
    """
    console = console or Console()
    differences = {(found.benchmark, found.model, found.metric): found for found in evaluation.differences()}
    against = evaluation.against or evaluation.models[0]
    for benchmark in evaluation.benchmarks:
        table = Table(
            title=f"{escape(benchmark)}, in 8-bit levels, with 95 % intervals of the means", title_justify="left"
        )
        for column in ("model", "SE ↓", "VE(SR)", "VE(HR)", "ratio →1", "|SR - HR|"):
            table.add_column(column, justify="left" if column == "model" else "right")
        rows = {m: {name: evaluation.result(m, benchmark, name) for name in NAMES} for m in evaluation.models}
        for model, row in rows.items():
            table.add_row(escape(model), *_cells(row))
        console.print(table)
        others = [model for model in evaluation.models if (benchmark, model, "se") in differences]
        if not others:
            continue
        table = Table(
            title=f"{escape(benchmark)}: difference from {escape(against)}, picture by picture (* its 95 % interval "
            "excludes 0)",
            title_justify="left",
        )
        for column in ("model", "SE ↓", "VE(SR)", "|SR - HR|"):
            table.add_column(column, justify="left" if column == "model" else "right")
        for model in others:
            cells = [
                _difference(differences[benchmark, model, name], rows[model][name], rows[against][name])
                for name in ("se", "ve", "pixel")
            ]
            table.add_row(escape(model), *cells)
        console.print(table)
    for failure in evaluation.failures:
        line = f"{failure.benchmark}/{failure.picture} ({failure.model}): {failure.reason}"
        console.print(escape(line), soft_wrap=True, highlight=False)


def _measure_picture(
    pair: Source, scale: int, models: Mapping[str, Upscaling], autoencoder: nn.Module
) -> tuple[dict[str, BiasVariance], dict[str, str]]:
    """One picture's values by the models' titles, and why others have none."""
    try:
        pixels, lr = pair.read(scale)
        hr = to_float(pixels)
        hr_bias = fidelity_bias(autoencoder, hr)
    except (AesopError, OSError, RuntimeError) as error:
        return {}, dict.fromkeys(models, reason_of(error))
    found, reasons = {}, {}
    for title, upscale in models.items():
        try:
            found[title] = bias_variance(upscale(lr), hr, autoencoder, hr_bias=hr_bias)
        except Exception as error:  # whatever one network does with one picture, the others go on
            reasons[title] = reason_of(error)
    return found, reasons


def _cells(row: Mapping[str, Result]) -> list[str]:
    means = {name: result.mean for name, result in row.items()}
    se, ve, ve_hr, pixel = (means[name] for name in NAMES)
    if se is None or ve is None or ve_hr is None or pixel is None:
        return ["–"] * 5
    pictures = row["se"].pictures
    measured = sum(value is not None for value in pictures.values())
    missing = f" ({measured} of {len(pictures)})" if measured < len(pictures) else ""
    ratio = f"{ve / ve_hr:.3f}" if ve_hr else "–"
    return [
        f"{255 * se:.3f}{missing}{_ends(row['se'].interval)}",
        f"{255 * ve:.3f}{_ends(row['ve'].interval)}",
        f"{255 * ve_hr:.3f}",
        ratio,
        f"{255 * pixel:.3f}{_ends(row['pixel'].interval)}",
    ]


def _difference(found: PairedDifference, result: Result, other: Result) -> str:
    """Its mean, starred if its interval excludes 0, the interval and on how many pictures it is below 0."""
    pairs = [(value, other.pictures.get(name)) for name, value in result.pictures.items()]
    below = sum(a is not None and b is not None and a < b for a, b in pairs)
    text = f"{255 * found.difference:+.3f}"
    text = f"[bold]{text} *[/bold]" if found.significant else text
    return f"{text}{_ends(found.interval, '+.3f')}\n[dim]less on {below} of {found.count}[/dim]"


def _ends(interval: Interval | None, style: str = ".2f") -> str:
    if interval is None:
        return ""
    low, high = interval
    return f"\n[dim]{255 * low:{style}} … {255 * high:{style}}[/dim]"


def _distance(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().double().mean())
