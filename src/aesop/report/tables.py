"""The tables of a report: a benchmark's means, differences from one of the models, and what the paper prints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape

from aesop.evaluation.results import Evaluation
from aesop.evaluation.tabulate import NOTHING, BenchmarkTable, Cell, Row, heading
from aesop.metrics import METRICS
from aesop.report.markup import breakable, named


def table_of(evaluation: Evaluation, table: BenchmarkTable, index: int) -> str:
    """One benchmark's tables; `index` numbers it for links."""
    title = f'<h3 id="benchmark-{index}">{escape(table.title)}</h3>'
    metrics, models = _filled(table.metrics, table.models)
    parts = [_means(evaluation, table.benchmark, metrics, models), _differences(evaluation, table), _paper(table)]
    return "\n".join([title, *filter(None, parts)])


def _filled(metrics: Sequence[str], rows: Sequence[Row]) -> tuple[list[str], list[Row]]:
    """The columns that have a value in any row."""
    shown = [index for index in range(len(metrics)) if any(row.cells[index].text != NOTHING for row in rows)]
    return [metrics[index] for index in shown], [Row(row.title, [row.cells[i] for i in shown]) for row in rows]


def _means(evaluation: Evaluation, benchmark: str, metrics: Sequence[str], models: Sequence[Row]) -> str:
    if not metrics:
        return '<p class="note">Nothing could be measured here.</p>'
    ties = {metric: _ties(evaluation, benchmark, metric, models, i) for i, metric in enumerate(metrics)}

    def cell(model: str, metric: str, cell: Cell) -> str:
        kind = "best" if cell.marked else "tie" if model in ties[metric] else ""
        return _cell(cell, evaluation.result(model, benchmark, metric).mean, kind)

    rows = (
        _row(named(evaluation, row.title), (cell(row.title, *pair) for pair in zip(metrics, row.cells, strict=True)))
        for row in models
    )
    return _table(metrics, rows)


def _ties(evaluation: Evaluation, benchmark: str, metric: str, models: Sequence[Row], index: int) -> set[str]:
    """Models whose difference from the best of a column has an interval, and one that holds 0."""
    best = next((row.title for row in models if row.cells[index].marked), None)
    if best is None:
        return set()
    column = [result for result in evaluation.results if (result.benchmark, result.metric) == (benchmark, metric)]
    differences = replace(evaluation, results=column, against=best).differences()
    return {found.model for found in differences if found.interval is not None and not found.significant}


def _differences(evaluation: Evaluation, table: BenchmarkTable) -> str:
    """How models differ from one of them, in metrics that have a difference anywhere."""
    metrics, rows = _filled(table.metrics, table.differences)
    if not metrics:
        return ""
    found = {(d.model, d.metric): d for d in evaluation.differences() if d.benchmark == table.benchmark}

    def cell(model: str, metric: str, cell: Cell) -> str:
        difference = found.get((model, metric))
        arrow = {"better": "▲ ", "worse": "▼ "}.get(cell.outcome, "")
        kind = cell.outcome if arrow else ""
        return _cell(replace(cell, text=arrow + cell.text), difference and difference.difference, kind)

    lines = (
        _row(named(evaluation, row.title), (cell(row.title, *pair) for pair in zip(metrics, row.cells, strict=True)))
        for row in rows
    )
    caption = f'<p class="note caption">Difference from {breakable(table.against)}, picture by picture</p>'
    return f"{caption}\n{_table(metrics, lines)}"


def _paper(table: BenchmarkTable) -> str:
    """What the paper prints, in metrics that it tells of."""
    metrics, rows = _filled(table.metrics, table.published)
    if not metrics:
        return ""
    lines = (
        _row(
            f'<span class="name">{escape(row.title)}</span>',
            (_cell(cell, None if cell.text == NOTHING else float(cell.text)) for cell in row.cells),
        )
        for row in rows
    )
    summary = f"<summary>What the paper prints for {escape(table.benchmark)}</summary>"
    return f'<details class="paper">{summary}\n{_table(metrics, lines)}</details>'


def _table(metrics: Sequence[str], rows: Iterable[str]) -> str:
    cells = "".join(
        f'<th scope="col" data-first="{"descending" if METRICS[metric].higher_is_better else "ascending"}">'
        f'<button type="button">{escape(heading(metric))}</button></th>'
        for metric in metrics
    )
    model = '<th scope="col" data-first="ascending"><button type="button">model</button></th>'
    head = f"<thead><tr>{model}{cells}</tr></thead>"
    return f'<div class="wide"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'


def _row(name: str, cells: Iterable[str]) -> str:
    return f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>'


def _cell(cell: Cell, number: float | None, kind: str = "") -> str:
    value = "" if number is None else f' data-value="{"Infinity" if number == math.inf else repr(number)}"'
    text = _typeset(" ".join(filter(None, (cell.text, cell.part))))
    text = f"<span>{text}</span>" if kind == "tie" else text
    interval = f"<small>{_typeset(cell.interval)}</small>" if cell.interval else ""
    style = f' class="{kind}"' if kind else ""
    return f"<td{style}{value}>{text}{interval}</td>"


def _typeset(number: str) -> str:
    return escape(number.replace("-", "\N{MINUS SIGN}").replace("inf", "∞"))
