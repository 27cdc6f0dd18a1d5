"""The tables of a report: a benchmark's means, what the paper prints, and differences from one of the models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from html import escape

from aesop.evaluation.page.markup import chip
from aesop.evaluation.results import Evaluation, PairedDifference
from aesop.evaluation.tabulate import NOTHING, BenchmarkTable, Cell, Row, heading
from aesop.metrics import METRICS


def measured_first(table: BenchmarkTable) -> BenchmarkTable:
    """Columns without any value of ours go to the right, where they hide none that have one."""
    order = sorted(range(len(table.metrics)), key=lambda i: all(row.cells[i].text == NOTHING for row in table.models))

    def arranged(rows: Sequence[Row]) -> list[Row]:
        return [Row(row.title, [row.cells[index] for index in order]) for row in rows]

    return replace(
        table,
        metrics=[table.metrics[index] for index in order],
        models=arranged(table.models),
        published=arranged(table.published),
        differences=arranged(table.differences),
    )


def table_of(evaluation: Evaluation, table: BenchmarkTable, index: int) -> str:
    """One benchmark's tables; `index` numbers it for links."""
    title = f'<h3 id="benchmark-{index}">{escape(table.title)}</h3>'
    if not table.metrics:
        return f'{title}\n<p class="note">Nothing could be measured here.</p>'
    numbers = {
        (model, metric): evaluation.result(model, table.benchmark, metric).mean
        for model in evaluation.models
        for metric in table.metrics
    }
    body = "".join(
        _row(
            evaluation,
            row.title,
            [
                _cell(cell, numbers[row.title, metric], "best" if cell.marked else "")
                for metric, cell in zip(table.metrics, row.cells, strict=True)
            ],
        )
        for row in table.models
    )
    paper = "".join(
        f'<tr><th scope="row">{escape(row.title)}</th>'
        + "".join(_cell(cell, None if cell.text == NOTHING else float(cell.text)) for cell in row.cells)
        + "</tr>"
        for row in table.published
    )
    if paper:
        line = f'<tr><th colspan="{len(table.metrics) + 1}">The paper prints</th></tr>'
        paper = f'<tbody class="paper">{line}{paper}</tbody>'
    main = f"<table>{_head(table.metrics)}<tbody>{body}</tbody>{paper}</table>"
    return f'{title}\n<div class="wide">{main}</div>\n{_differences(evaluation, table)}'


def _differences(evaluation: Evaluation, table: BenchmarkTable) -> str:
    """How models differ from one of them, in metrics that have a difference anywhere."""
    shown = [i for i in range(len(table.metrics)) if any(row.cells[i].text != NOTHING for row in table.differences)]
    if not shown:
        return ""
    found = {(d.model, d.metric): d for d in evaluation.differences() if d.benchmark == table.benchmark}
    metrics = [table.metrics[index] for index in shown]
    body = "".join(
        _row(
            evaluation,
            row.title,
            [
                _cell(row.cells[i], difference and difference.difference, _outcome(difference), "*")
                for i, metric in zip(shown, metrics, strict=True)
                for difference in [found.get((row.title, metric))]
            ],
        )
        for row in table.differences
    )
    caption = (
        f"Difference from {table.against}, picture by picture. * and colour: its 95 % interval excludes 0, so that "
        "other pictures of this kind would probably say the same; another training of the same model may not."
    )
    table_itself = f"<table>{_head(metrics)}<tbody>{body}</tbody></table>"
    return f'<p class="note">{escape(caption)}</p>\n<div class="wide">{table_itself}</div>'


def _outcome(found: PairedDifference | None) -> str:
    if found is None or not found.significant:
        return ""
    return "better" if (found.difference > 0) == METRICS[found.metric].higher_is_better else "worse"


def _head(metrics: Sequence[str]) -> str:
    cells = "".join(
        f'<th scope="col" data-first="{"descending" if METRICS[metric].higher_is_better else "ascending"}">'
        f'<button type="button">{escape(heading(metric))}</button></th>'
        for metric in metrics
    )
    model = '<th scope="col" data-first="ascending"><button type="button">model</button></th>'
    return f"<thead><tr>{model}{cells}</tr></thead>"


def _row(evaluation: Evaluation, model: str, cells: Sequence[str]) -> str:
    return f'<tr><th scope="row">{chip(evaluation, model)}{escape(model)}</th>{"".join(cells)}</tr>'


def _cell(cell: Cell, number: float | None, kind: str = "", star: str = "") -> str:
    value = "" if number is None else f' data-value="{"Infinity" if number == math.inf else repr(number)}"'
    text = escape(" ".join(filter(None, (cell.text, cell.part, star if cell.marked else ""))))
    interval = f"<small>{escape(cell.interval)}</small>" if cell.interval else ""
    style = f' class="{kind}"' if kind else ""
    return f"<td{style}{value}>{text}{interval}</td>"
