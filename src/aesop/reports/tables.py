"""The tables of a report: what `tabulate` has, without empty columns; what ties with the best; a picture's values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aesop.evaluation.results import Evaluation
from aesop.evaluation.tabulate import BenchmarkTable, Cell, Row, outcome_of
from aesop.metrics import METRICS


def filled(rows: Sequence[Row]) -> list[Row]:
    """The rows with those columns that have a value in any of them; none without one."""
    kept = {metric for row in rows for metric, cell in row.cells.items() if cell.value is not None}
    return [Row(row.title, {m: cell for m, cell in row.cells.items() if m in kept}) for row in rows] if kept else []


def ties(evaluation: Evaluation, table: BenchmarkTable) -> dict[str, set[str]]:
    """Return by metric the models whose difference from the best of the column has an interval that holds 0."""
    found: dict[str, set[str]] = {}
    for metric in table.metrics:
        if best := [row.title for row in table.models if row.cells[metric].marked]:
            column = [r for r in evaluation.results if (r.benchmark, r.metric) == (table.benchmark, metric)]
            differences = replace(evaluation, results=column, against=best[0]).differences()
            found[metric] = {one.model for one in differences if outcome_of(one) == "even"}
    return found


def values(evaluation: Evaluation, benchmark: str, picture: str) -> list[Row]:
    """One picture's values of all models; what prints as the best of a column is marked."""
    cells = {model: dict.fromkeys(evaluation.metrics, Cell()) for model in evaluation.models}
    for metric in map(METRICS.__getitem__, evaluation.metrics):
        own = [r for r in evaluation.results if (r.benchmark, r.metric) == (benchmark, metric.name)]
        found = {result.model: value for result in own if (value := result.pictures.get(picture)) is not None}
        best = metric.best(found.values()) if len(found) > 1 else None
        for model, value in found.items():
            text = f"{value:.{metric.digits}f}"
            marked = best is not None and text == f"{best:.{metric.digits}f}"
            cells[model][metric.name] = Cell(text, marked=marked, value=value)
    return filled([Row(model, row) for model, row in cells.items()])
