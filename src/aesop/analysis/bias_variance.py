"""The paper's two parts of the expected pixel loss, estimated through the auto-encoder.

    SE  the systematic effect: the distance of the fidelity biases, |AE(SR) - AE(HR)|_1 (eq. 7)
    VE  the variance effect: what the auto-encoder removes, |SR - AE(SR)|_1, beside HR's own |HR - AE(HR)|_1

SE is error to be driven down. VE is texture: less than HR's is blur, more is invention.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor, nn

from aesop.analysis.models import Upscaling, fidelity_bias
from aesop.data.pictures import to_float
from aesop.data.sources import Source
from aesop.errors import AesopError, DataError
from aesop.evaluation.benchmarks import open_benchmark
from aesop.files import write_atomically
from aesop.progress import progress


@dataclass(frozen=True)
class BiasVariance:
    """SE, SR's VE and HR's, and the pixel loss |SR - HR|_1 that they are parts of: means over all values in [0, 1]."""

    se: float
    ve: float
    ve_hr: float
    pixel: float


@dataclass(frozen=True)
class ModelBiasVariance:
    """What one model is like on one benchmark: every picture by its name, None where it could not be measured."""

    model: str
    benchmark: str
    pictures: dict[str, BiasVariance | None] = field(default_factory=dict)
    #: Why pictures could not be measured, by their names.
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def mean(self) -> BiasVariance | None:
        """Mean over the pictures that could be measured; None if there are none."""
        measured = [asdict(found) for found in self.pictures.values() if found is not None]
        if not measured:
            return None
        return BiasVariance(**{name: math.fsum(one[name] for one in measured) / len(measured) for name in measured[0]})


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
    models: Mapping[str, Upscaling], benchmarks: Sequence[Path], autoencoder: nn.Module, scale: int
) -> list[ModelBiasVariance]:
    """Estimate SE and VE of every model on every benchmark; a picture that cannot be measured is marked.

    Raises:
        DataError: if a benchmark is missing or incomplete.

    """
    sets = [open_benchmark(folder, scale) for folder in benchmarks]
    results = []
    with progress("bias and variance", sum(len(found.pairs) for found in sets), unit="pictures") as advance:
        for benchmark in sets:
            rows = {title: ModelBiasVariance(title, benchmark.name) for title in models}
            results += rows.values()
            for pair in benchmark.pairs:
                _measure_picture(pair, scale, models, autoencoder, rows)
                advance(1, f"{benchmark.name}/{pair.name}")
    return results


def print_bias_variance(results: Sequence[ModelBiasVariance], console: Console | None = None) -> None:
    """Print a table a benchmark, a row a model, in units of 1/255, and below it what could not be measured."""
    console = console or Console()
    for benchmark in dict.fromkeys(result.benchmark for result in results):
        table = Table(title=f"{escape(benchmark)}, in 8-bit levels", title_justify="left")
        for column in ("model", "SE ↓", "VE(SR)", "VE(HR)", "VE(SR) / VE(HR) →1", "|SR - HR|"):
            table.add_column(column, justify="left" if column == "model" else "right")
        for result in results:
            if result.benchmark == benchmark:
                table.add_row(escape(result.model), *_cells(result))
        console.print(table)
    for result in results:
        for picture, reason in result.failures.items():
            console.print(escape(f"{result.benchmark}/{picture} ({result.model}): {reason}"), soft_wrap=True)


def write_bias_variance(results: Sequence[ModelBiasVariance], path: Path) -> None:
    """Write all values as JSON, atomically.

    [{"model", "benchmark", "mean": {"se", "ve", "ve_hr", "pixel"} or null,
      "pictures": {name: {"se", "ve", "ve_hr", "pixel"} or null}, "failures": {name: reason}}], values in [0, 1].
    """
    document = [asdict(result) | {"mean": None if result.mean is None else asdict(result.mean)} for result in results]
    write_atomically(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def _measure_picture(
    pair: Source,
    scale: int,
    models: Mapping[str, Upscaling],
    autoencoder: nn.Module,
    rows: Mapping[str, ModelBiasVariance],
) -> None:
    """Add one picture's values, or why there are none, to every model's row."""
    try:
        pixels, lr = pair.read(scale)
        hr = to_float(pixels)
        hr_bias = fidelity_bias(autoencoder, hr)
    except (AesopError, OSError, RuntimeError) as error:
        for row in rows.values():
            _fail(row, pair.name, error)
        return
    for title, upscale in models.items():
        try:
            rows[title].pictures[pair.name] = bias_variance(upscale(lr), hr, autoencoder, hr_bias=hr_bias)
        except Exception as error:  # whatever one network does with one picture, the others go on
            _fail(rows[title], pair.name, error)


def _cells(result: ModelBiasVariance) -> list[str]:
    mean = result.mean
    if mean is None:
        return ["–"] * 5
    missing = f" ({len(result.pictures) - len(result.failures)} of {len(result.pictures)})" if result.failures else ""
    ratio = f"{mean.ve / mean.ve_hr:.3f}" if mean.ve_hr else "–"
    levels = [f"{255 * value:.3f}" for value in (mean.se, mean.ve, mean.ve_hr, mean.pixel)]
    return [levels[0] + missing, *levels[1:3], ratio, levels[3]]


def _fail(row: ModelBiasVariance, picture: str, error: Exception) -> None:
    row.pictures[picture] = None
    row.failures[picture] = next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def _distance(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().double().mean())
