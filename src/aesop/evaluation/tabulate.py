"""An evaluation as tables of texts, a table a benchmark: what the terminal, Markdown and LaTeX show alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aesop.evaluation.intervals import Interval
from aesop.evaluation.published import published_rows
from aesop.evaluation.results import Evaluation, PairedDifference, Result
from aesop.metrics import METRICS

#: What stands where nothing was measured.
NOTHING = "–"


@dataclass(frozen=True)
class Cell:
    """A value as printed, how much of the benchmark it tells of (`(2 of 3)`, or nothing), and its interval.

    `marked` is the best of a column, or a difference that is significant.
    """

    text: str = NOTHING
    part: str = ""
    interval: str = ""
    marked: bool = False


@dataclass(frozen=True)
class Row:
    """A title and a cell for every metric."""

    title: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class BenchmarkTable:
    """One benchmark: its metrics, models, what the paper prints, and differences from one of the models."""

    benchmark: str
    scale: int
    pictures: int
    metrics: Sequence[str]
    models: Sequence[Row]
    published: Sequence[Row]
    differences: Sequence[Row]
    against: str

    @property
    def title(self) -> str:
        """`Set5, x4, 5 pictures`."""
        return f"{self.benchmark}, x{self.scale}, {self.pictures} picture{'' if self.pictures == 1 else 's'}"

    @property
    def difference_title(self) -> str:
        """What the table of differences shows."""
        return f"{self.benchmark}: difference from {self.against} (* its 95 % interval excludes 0)"


def tabulate(evaluation: Evaluation, *, published: bool = False) -> list[BenchmarkTable]:
    """Arrange an evaluation; with `published`, beside the numbers of the paper for the same benchmark and metrics.

    Metrics that compare with HR have no column where a benchmark has none.
    """
    differences = {(d.benchmark, d.model, d.metric): d for d in evaluation.differences()}
    tables = []
    for benchmark in evaluation.benchmarks:
        columns = {
            metric: [evaluation.result(model, benchmark, metric) for model in evaluation.models]
            for metric in evaluation.metrics
        }
        some = next(iter(columns.values()))[0]
        columns = {m: results for m, results in columns.items() if not _without_ground_truth(results)}
        cells = {metric: _cells(results) for metric, results in columns.items()}
        models = [Row(model, [cells[m][row] for m in columns]) for row, model in enumerate(evaluation.models)]
        others = [
            Row(model, [_difference_cell(differences.get((benchmark, model, m))) for m in columns])
            for model in evaluation.models
            if any((benchmark, model, metric) in differences for metric in columns)
        ]
        paper = [
            Row(row.title, [Cell(row.values.get(metric, NOTHING)) for metric in columns])
            for row in (published_rows(benchmark, some.scale, columns) if published else [])
        ]
        against = evaluation.against or evaluation.models[0]
        tables.append(
            BenchmarkTable(benchmark, some.scale, len(some.pictures), list(columns), models, paper, others, against)
        )
    return tables


def heading(metric: str) -> str:
    """`PSNR ↑ dB`: a column's title."""
    described = METRICS[metric]
    arrow = "↑" if described.higher_is_better else "↓"
    return " ".join(filter(None, (described.title, arrow, described.unit)))


def notes(evaluation: Evaluation) -> list[str]:
    """What a reader must know beside the tables, and everything that went wrong."""
    told: dict[str, None] = {}
    for result in evaluation.results:
        if result.unavailable and not _without_ground_truth([result]):
            told[f"{METRICS[result.metric].title}: {result.unavailable}"] = None
    for benchmark in evaluation.benchmarks:
        lacking = [r.metric for r in evaluation.results if r.benchmark == benchmark and _without_ground_truth([r])]
        if lacking:
            titles = ", ".join(METRICS[metric].title for metric in dict.fromkeys(lacking))
            told[f"{benchmark}: has no HR pictures, so there is no {titles}"] = None
    if any(result.metric == "lpips-proxy" and result.measured for result in evaluation.results):
        told["LPIPS-proxy: EfficientNet-lite0 features in LPIPS's place; not comparable with published LPIPS"] = None
    lines = list(told)
    lines += _grouped(evaluation)
    for failure in evaluation.failures:
        where = " ".join(filter(None, (failure.model, failure.metric)))
        lines.append(f"{failure.benchmark}/{failure.picture}{f' ({where})' if where else ''}: {failure.reason}")
    return lines


def _grouped(evaluation: Evaluation) -> list[str]:
    """Notes, those that say the same of several pictures in one line."""
    pictures: dict[tuple[str, str], list[str]] = {}
    for note in evaluation.notes:
        named = pictures.setdefault((note.benchmark, note.text), [])
        named += [note.picture] if note.picture is not None else []
    lines = []
    for (benchmark, text), names in pictures.items():
        shown = f"/{', '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}" if names else ""
        lines.append(f"{benchmark}{shown}: {text}")
    return lines


def _without_ground_truth(results: Sequence[Result]) -> bool:
    return all(result.no_ground_truth for result in results)


def _cells(results: Sequence[Result]) -> list[Cell]:
    """One column, in the order of the models."""
    metric = METRICS[results[0].metric]
    rounded = [None if result.mean is None else round(result.mean, metric.digits) for result in results]
    # Means over different pictures do not compare: only models that were measured on the most pictures can be best.
    measured = [(result.count, frozenset(_measured_names(result))) for result in results]
    most = max(measured, key=lambda found: found[0])
    compared = [value for value, found in zip(rounded, measured, strict=True) if value is not None and found == most]
    best = (max if metric.higher_is_better else min)(compared) if len(compared) > 1 else None
    return [
        Cell()
        if value is None
        else Cell(
            f"{value:.{metric.digits}f}",
            f"({result.count} of {len(result.pictures)})" if result.count < len(result.pictures) else "",
            _interval(result.interval, max(metric.digits - 1, 0)),
            value == best and found == most,
        )
        for result, value, found in zip(results, rounded, measured, strict=True)
    ]


def _difference_cell(found: PairedDifference | None) -> Cell:
    if found is None:
        return Cell()
    digits = METRICS[found.metric].digits
    interval = _interval(found.interval, digits, "+")
    return Cell(f"{found.difference:+.{digits}f}", "", interval, found.significant)


def _interval(interval: Interval | None, digits: int, sign: str = "") -> str:
    if interval is None:
        return ""
    return " … ".join(f"{end:{sign}.{digits}f}" for end in interval)


def _measured_names(result: Result) -> list[str]:
    return [name for name, value in result.pictures.items() if value is not None]
