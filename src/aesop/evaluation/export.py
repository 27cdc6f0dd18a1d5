"""An evaluation for other programs and for papers: CSV, Markdown, LaTeX."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence

from aesop.evaluation.published import SCALE, published
from aesop.evaluation.results import Evaluation
from aesop.evaluation.tabulate import NOTHING, BenchmarkTable, Cell, Outcome, Row, heading, notes, tabulate
from aesop.metrics import METRICS

CSV_COLUMNS: tuple[str, ...] = (
    "source", "benchmark", "scale", "model", "metric", "mean", "low", "high", "count", "pictures",
    "against", "difference", "difference_low", "difference_high", "difference_count", "significant", "reason",
)  # fmt: skip

_LATEX_ESCAPES = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "−": "$-$",
    "<": "$<$", ">": "$>$",
} | {character: "\\" + character for character in "&%$#_{}"}  # fmt: skip


def to_csv(evaluation: Evaluation, *, paper: bool = False) -> str:
    """One line for every model, benchmark and metric (CSV_COLUMNS); with `paper`, its numbers in lines of their own.

    `source` is `measured` or `paper, table N`; `low` and `high` are the ends of 95 % intervals, `count` of `pictures`
    the mean is of, `difference_count` the difference. What was not measured is empty, the `reason` beside it.
    """
    text = io.StringIO()
    lines = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    lines.writeheader()
    differences = {(d.model, d.benchmark, d.metric): d for d in evaluation.differences()}
    for result in evaluation.results:
        line = {
            "source": "measured",
            "benchmark": result.benchmark,
            "scale": result.scale,
            "model": result.model,
            "metric": result.metric,
            "mean": _number(result.mean),
            "count": result.count,
            "pictures": len(result.pictures),
            "reason": result.unavailable or "",
        }
        if (interval := result.interval) is not None:
            line |= {"low": _number(interval[0]), "high": _number(interval[1])}
        if found := differences.get((result.model, result.benchmark, result.metric)):
            line |= {"against": found.against, "difference": _number(found.difference)}
            line |= {"difference_count": found.count}
            if found.interval is not None:
                low, high = map(_number, found.interval)
                line |= {"difference_low": low, "difference_high": high, "significant": found.significant}
        lines.writerow(line)
    if paper:
        scales = {result.benchmark: result.scale for result in evaluation.results}
        for number in published():
            if scales.get(number.benchmark) == SCALE and number.metric in evaluation.metrics:
                model = ", ".join(filter(None, (number.method, number.backbone, number.crop and f"crop {number.crop}")))
                lines.writerow(
                    {
                        "source": f"paper, table {number.table}",
                        "benchmark": number.benchmark,
                        "scale": SCALE,
                        "model": model,
                        "metric": number.metric,
                        "mean": number.text,
                    }
                )
    return text.getvalue()


def to_markdown(evaluation: Evaluation, *, paper: bool = False) -> str:
    """A table a benchmark, the best bold, differences below, and all notes."""
    parts = []
    for table in tabulate(evaluation, published=paper):
        if not table.metrics:
            continue
        parts.append(f"### {_markdown(table.title)}\n\n" + _markdown_table(table, table.models, table.published))
        if table.differences:
            parts.append(f"{_markdown(table.difference_title)}\n\n" + _markdown_table(table, table.differences))
    told = notes(evaluation, published=paper)
    if told:
        parts.append("\n".join(f"- {_markdown(note)}" for note in told) + "\n")
    return "\n".join(parts)


def _markdown_table(table: BenchmarkTable, rows: Sequence[Row], paper: Sequence[Row] = ()) -> str:
    lines = [
        ["model", *map(heading, table.metrics)],
        ["---", *("---:" for _ in table.metrics)],
        *([_markdown(row.title), *map(_markdown_cell, row.cells)] for row in rows),
        *([f"*paper: {_markdown(row.title)}*", *(cell.text for cell in row.cells)] for row in paper),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _markdown_cell(cell: Cell) -> str:
    text = " ".join(filter(None, (cell.text, cell.part)))
    text = f"**{text}**" if cell.marked else text
    return f"{text}<br>{cell.interval}" if cell.interval else text


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", text)


def to_latex(evaluation: Evaluation, *, paper: bool = False) -> str:
    """One tabular (package booktabs) with a group of rows a benchmark: the best bold, what is better or worse marked.

    Marked by a plus or a minus where the paired difference from evaluation.against is significant. Metrics without any
    value have no column; they, and all notes, stand in comments above.
    """
    tables = tabulate(evaluation, published=paper)
    metrics = [
        metric
        for metric in evaluation.metrics
        if any(_has(row, table, metric) for table in tables for row in (*table.models, *table.published))
    ]
    against = evaluation.against or evaluation.models[0]
    marks = f"superscript + or -: better or worse than {against}, the 95 % interval of the paired difference excludes 0"
    told = [marks, *notes(evaluation, published=paper)]
    lines = [
        *("% " + " ".join(note.split()) for note in told),
        r"\begin{tabular}{l" + "r" * len(metrics) + "}",
        r"\toprule",
        _latex_line(["Model", *(_latex_heading(metric) for metric in metrics)]),
    ]
    for table in tables:
        lines += [r"\midrule", rf"\multicolumn{{{len(metrics) + 1}}}{{l}}{{{_latex(table.title)}}} \\"]
        differences = {row.title: row for row in table.differences}
        for row in table.models:
            difference = differences.get(row.title)
            cells = {
                metric: _latex_cell(cell, "open" if difference is None else difference.cells[index].outcome)
                for index, (metric, cell) in enumerate(zip(table.metrics, row.cells, strict=True))
            }
            lines.append(_latex_line([_latex(row.title), *(cells.get(metric, "--") for metric in metrics)]))
        for index, row in enumerate(table.published):
            lines += [rf"\cmidrule{{1-{len(metrics) + 1}}}"] if index == 0 else []
            texts = dict(zip(table.metrics, (_latex(cell.text) for cell in row.cells), strict=True))
            lines.append(_latex_line([f"Paper: {_latex(row.title)}", *(texts.get(metric, "--") for metric in metrics)]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_heading(metric: str) -> str:
    described = METRICS[metric]
    arrow = {"↑": r"$\uparrow$", "↓": r"$\downarrow$"}.get(described.arrow)
    return " ".join(filter(None, (_latex(described.title), arrow, f"({described.unit})" if described.unit else "")))


def _has(row: Row, table: BenchmarkTable, metric: str) -> bool:
    return metric in table.metrics and row.cells[table.metrics.index(metric)].text != NOTHING


def _latex_cell(cell: Cell, outcome: Outcome) -> str:
    text = _latex(" ".join(filter(None, (cell.text, cell.part))))
    text = rf"\textbf{{{text}}}" if cell.marked else text
    return text + {"better": "$^+$", "worse": "$^-$"}.get(outcome, "")


def _latex_line(cells: Sequence[str]) -> str:
    # Braces: after the end of a line, LaTeX takes a bracket for an argument.
    return " & ".join([f"{{}}{cells[0]}" if cells[0].startswith("[") else cells[0], *cells[1:]]) + r" \\"


def _latex(text: str) -> str:
    return "".join(_LATEX_ESCAPES.get(character, character) for character in text)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return repr(value) if math.isfinite(value) else "inf"
