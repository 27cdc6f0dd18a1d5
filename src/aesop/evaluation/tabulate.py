"""An evaluation as tables of texts, one a benchmark: what the terminal, Markdown, LaTeX and the report show alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from aesop.evaluation.published import published_rows
from aesop.evaluation.results import Evaluation, PairedDifference, Result
from aesop.metrics import METRICS
from aesop.words import first_few

#: What stands where nothing was measured.
NOTHING = "–"

#: What a difference says of a model: `even` where its interval holds 0 or it is printed as 0, `open` without interval.
Outcome = Literal["better", "worse", "even", "open"]
OUTCOMES: tuple[Outcome, ...] = ("better", "worse", "even", "open")


@dataclass(frozen=True)
class Cell:
    """A value as printed, the part of the benchmark it is of, such as `(2 of 3)`, and its interval.

    `marked` is the best of a column, or a significant difference; `outcome` is a difference's.
    """

    text: str = NOTHING
    part: str = ""
    interval: str = ""
    marked: bool = False
    outcome: Outcome = "open"

    @property
    def whole(self) -> str:
        """`27.12 (2 of 3)`."""
        return f"{self.text} {self.part}".rstrip()


@dataclass(frozen=True)
class Row:
    """A title and a cell for every metric."""

    title: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class BenchmarkTable:
    """One benchmark: its metrics, models, what the paper prints, and differences from the model `against`."""

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
        some = evaluation.result(evaluation.models[0], benchmark, evaluation.metrics[0])
        columns = {
            m: [evaluation.result(model, benchmark, m) for model in evaluation.models] for m in evaluation.metrics
        }
        columns = {m: results for m, results in columns.items() if not results[0].no_ground_truth}
        cells = {metric: _cells(results) for metric, results in columns.items()}
        models = [Row(model, [cells[m][row] for m in columns]) for row, model in enumerate(evaluation.models)]
        others = [
            Row(model, [_difference_cell(differences.get((benchmark, model, m)), len(some.pictures)) for m in columns])
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
    return " ".join(filter(None, (described.title, described.arrow, described.unit)))


def notes(evaluation: Evaluation, *, published: bool = False) -> list[str]:
    """What a reader must know beside the tables (and beside what the paper prints), and all that went wrong."""
    lines: list[str] = []
    for result in evaluation.results:
        if result.unavailable and not result.no_ground_truth:
            title = METRICS[result.metric].title
            named = result.unavailable.startswith(f"{title} ")
            lines.append(result.unavailable if named else f"{title}: {result.unavailable}")
    for benchmark in evaluation.benchmarks:
        lacking = [r.metric for r in evaluation.results if r.benchmark == benchmark and r.no_ground_truth]
        if lacking:
            titles = ", ".join(METRICS[metric].title for metric in dict.fromkeys(lacking))
            lines.append(f"{benchmark}: has no HR pictures, so there is no {titles}")
    measured = [METRICS[result.metric] for result in evaluation.results if result.mean is not None]
    lines += [f"{metric.title}: {metric.caution}" for metric in measured if metric.caution]
    if published:
        lines += _beside_the_paper(evaluation)
    lines += [
        f"{result.benchmark}/{first_few(result.infinite)} ({result.model} {result.metric}): equal and so infinite; "
        "left out of the mean and of differences"
        for result in evaluation.results
        if result.infinite and result.finite
    ]
    return list(dict.fromkeys([*lines, *_grouped(evaluation)]))


def _beside_the_paper(evaluation: Evaluation) -> list[str]:
    """Where the paper has no numbers, and where they are not made as ours are."""
    scales = {result.benchmark: result.scale for result in evaluation.results}
    rows = {name: published_rows(name, scale, evaluation.metrics) for name, scale in scales.items()}
    lines = [f"{benchmark}: the paper prints nothing for it" for benchmark, found in rows.items() if not found]
    printed = {metric for found in rows.values() for row in found for metric in row.values}
    described = [METRICS[name] for name in evaluation.metrics if name in printed]
    return lines + [f"{metric.title}: {metric.unlike_paper}" for metric in described if metric.unlike_paper]


def _grouped(evaluation: Evaluation) -> list[str]:
    """Notes and failures, those that say the same of several pictures in one line."""
    pictures: dict[tuple[str, str, str], list[str]] = {}
    for note in evaluation.notes:
        named = pictures.setdefault((note.benchmark, "", note.text), [])
        named += [note.picture] if note.picture is not None else []
    for failure in evaluation.failures:
        what = " ".join(filter(None, (failure.model, failure.metric)))
        pictures.setdefault((failure.benchmark, f" ({what})" if what else "", failure.reason), []).append(
            failure.picture
        )
    return [
        f"{benchmark}{f'/{first_few(names)}' if names else ''}{what}: {text}"
        for (benchmark, what, text), names in pictures.items()
    ]


def outcome_of(found: PairedDifference) -> Outcome:
    """Whether a model is better or worse than the one it is compared with, by the interval of their difference."""
    metric = METRICS[found.metric]
    if found.interval is None or metric.higher_is_better is None:
        return "open"
    if not found.significant or round(found.difference, metric.digits) == 0:
        return "even"
    return "better" if (found.difference > 0) == metric.higher_is_better else "worse"


def signed(number: float, digits: int) -> str:
    """`+0.10`; without a sign what rounds to zero."""
    text = f"{number:+.{digits}f}"
    return text if float(text) else text[1:]


def _part(count: int, pictures: int) -> str:
    return f"({count} of {pictures})" if count < pictures else ""


def _cells(results: Sequence[Result]) -> list[Cell]:
    """One column, in the order of the models."""
    metric = METRICS[results[0].metric]
    rounded = [None if result.mean is None else round(result.mean, metric.digits) for result in results]
    # Means over different pictures do not compare: only models that were measured on the most pictures can be best.
    measured = [frozenset(result.of_pictures) for result in results]
    most = max(measured, key=len)
    compared = [value for value, found in zip(rounded, measured, strict=True) if value is not None and found == most]
    best = metric.best(compared) if len(compared) > 1 else None
    return [
        Cell()
        if value is None
        else Cell(
            f"{value:.{metric.digits}f}",
            _part(result.count, len(result.pictures)),
            " … ".join(f"{end:.{max(metric.digits - 1, 0)}f}" for end in result.interval or ()),
            value == best and found == most,
        )
        for result, value, found in zip(results, rounded, measured, strict=True)
    ]


def _difference_cell(found: PairedDifference | None, pictures: int) -> Cell:
    if found is None:
        return Cell()
    digits = METRICS[found.metric].digits
    interval = " … ".join(signed(end, digits) for end in found.interval or ())
    text = signed(found.difference, digits)
    return Cell(text, _part(found.count, pictures), interval, found.significant, outcome_of(found))
