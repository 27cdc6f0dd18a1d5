"""The tables of a report: what `tabulate` has, without empty columns; what ties with the best; a picture's values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aesop.evaluation.results import Evaluation, Result
from aesop.evaluation.tabulate import BenchmarkTable, Cell, Row, outcome_of
from aesop.metrics import METRICS


def filled(rows: Sequence[Row]) -> list[Row]:
    """The rows with those columns that have a value in any of them; none without one."""
    kept = {metric for row in rows for metric, cell in row.cells.items() if cell.value is not None}
    return [Row(row.title, {m: cell for m, cell in row.cells.items() if m in kept}) for row in rows] if kept else []


def ties(evaluation: Evaluation, table: BenchmarkTable) -> dict[str, set[str]]:
    """By metric, the models whose difference from the best of a column has an interval, and one that holds 0."""
    found: dict[str, set[str]] = {}
    for metric in table.metrics:
        if best := [row.title for row in table.models if row.cells[metric].marked]:
            column = [r for r in evaluation.results if (r.benchmark, r.metric) == (table.benchmark, metric)]
            differences = replace(evaluation, results=column, against=best[0]).differences()
            found[metric] = {one.model for one in differences if outcome_of(one) == "even"}
    return found


def values(models: Sequence[str], results: Mapping[str, Sequence[Result]], picture: str) -> list[Row]:
    """One picture's values of all models' results by metric; what prints as the best of a column is marked."""
    cells: list[dict[str, Cell]] = [{} for _ in models]
    for metric, own in results.items():
        described, found = METRICS[metric], [result.pictures.get(picture) for result in own]
        texts = [Cell().text if value is None else f"{value:.{described.digits}f}" for value in found]
        there = [value for value in found if value is not None]
        best = texts[found.index(described.best(there))] if len(there) > 1 else None
        for row, text, value in zip(cells, texts, found, strict=True):
            row[metric] = Cell(text, marked=text == best, value=value)
    return [Row(model, row) for model, row in zip(models, cells, strict=True)]
