"""The tables of a report: means, differences from one of the models, what the paper prints, and a picture's values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from aesop.evaluation.results import Evaluation, Result
from aesop.evaluation.tabulate import NOTHING, BenchmarkTable, Cell, Row, outcome_of
from aesop.metrics import METRICS


@dataclass(frozen=True)
class Shown:
    """A cell: its text, an interval below it, its style (`best`, `tie`, `better` or `worse`), what it sorts by."""

    text: str
    interval: str
    kind: str
    value: float | None


@dataclass(frozen=True)
class Table:
    """Columns of metrics and rows with a title."""

    metrics: list[str]
    rows: list[tuple[str, list[Shown]]]


def means(evaluation: Evaluation, table: BenchmarkTable) -> Table | None:
    """The means of a benchmark, with the best and what cannot be told from it; None where nothing was measured."""
    ties = {metric: _ties(evaluation, table, metric) for metric in table.metrics}

    def told(model: str, metric: str, cell: Cell) -> tuple[str, float | None]:
        kind = "best" if cell.marked else "tie" if model in ties[metric] else ""
        return kind, evaluation.result(model, table.benchmark, metric).mean

    return _table(table.metrics, table.models, told)


def differences(evaluation: Evaluation, table: BenchmarkTable) -> Table | None:
    """How models differ from the one that all are compared with, picture by picture."""
    found = {(d.model, d.metric): d.difference for d in evaluation.differences() if d.benchmark == table.benchmark}
    return _table(
        table.metrics,
        table.differences,
        lambda model, metric, cell: (cell.outcome, found.get((model, metric))),
    )


def paper(table: BenchmarkTable) -> Table | None:
    """What the paper prints for the same benchmark and metrics."""
    return _table(
        table.metrics,
        table.published,
        lambda _, __, cell: ("", None if cell.text == NOTHING else float(cell.text)),
    )


def values(models: Sequence[str], results: Mapping[str, Sequence[Result]], picture: str) -> Table | None:
    """One picture's values of all models' results by metric; what prints as the best of a column is marked."""
    columns: list[list[Shown]] = []
    for metric, own in results.items():
        found = [result.pictures.get(picture) for result in own]
        texts = [NOTHING if value is None else f"{value:.{METRICS[metric].digits}f}" for value in found]
        there = [value for value in found if value is not None]
        best = METRICS[metric].best(there) if len(there) > 1 else None
        marked = None if best is None else texts[found.index(best)]
        columns.append([Shown(t, "", "best" if t == marked else "", v) for t, v in zip(texts, found, strict=True)])
    rows = [(model, [column[row] for column in columns]) for row, model in enumerate(models)]
    return Table(list(results), rows) if results else None


def _table(
    metrics: Sequence[str], rows: Sequence[Row], told: Callable[[str, str, Cell], tuple[str, float | None]]
) -> Table | None:
    """The columns that have a value in any row; None without one. `told` gives a cell's style and value."""
    kept = [metric for metric in metrics if any(row.cells[metric].text != NOTHING for row in rows)]

    def shown(title: str, metric: str, cell: Cell) -> Shown:
        return Shown(cell.text, cell.interval, *told(title, metric, cell))

    cells = [(row.title, [shown(row.title, metric, row.cells[metric]) for metric in kept]) for row in rows]
    return Table(kept, cells) if kept else None


def _ties(evaluation: Evaluation, table: BenchmarkTable, metric: str) -> set[str]:
    """Models whose difference from the best of a column has an interval, and one that holds 0."""
    best = next((row.title for row in table.models if row.cells[metric].marked), None)
    if best is None:
        return set()
    wanted = (table.benchmark, metric)
    column = [result for result in evaluation.results if (result.benchmark, result.metric) == wanted]
    found = replace(evaluation, results=column, against=best).differences()
    return {difference.model for difference in found if outcome_of(difference) == "even"}
