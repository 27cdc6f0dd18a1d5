"""An evaluation for other programs and for papers: CSV, Markdown, LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from aesop.evaluation.published import SCALE, published
from aesop.evaluation.results import Evaluation
from aesop.evaluation.tabulate import NOTHING, BenchmarkTable, Cell, Row, heading, notes, tabulate
from aesop.metrics import METRICS

CSV_COLUMNS: tuple[str, ...] = (
    "source", "benchmark", "scale", "model", "metric", "mean", "low", "high", "count", "pictures",
    "against", "difference", "difference_low", "difference_high", "difference_count", "significant", "reason",
)  # fmt: skip

_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "−": "$-$",
    "<": "$<$", ">": "$>$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
} | {character: "\\" + character for character in "&%$#_{}"}  # fmt: skip


def to_csv(evaluation: Evaluation, *, paper: bool = False) -> str:
    """One line for every model, benchmark and metric (CSV_COLUMNS); with `paper`, its numbers in lines of their own.

    `source` is `measured` or `paper, table N`; `low` and `high` are the ends of 95 % intervals, `count` of `pictures`
    the mean is of, `difference_count` the difference. What was not measured is empty, the `reason` beside it.
    """
    text = io.StringIO()
    lines = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    lines.writeheader()
    lines.writerows(_measured(evaluation))
    if paper:
        lines.writerows(_printed(evaluation))
    return text.getvalue()


def _measured(evaluation: Evaluation) -> Iterator[dict[str, object]]:
    differences = {(d.model, d.benchmark, d.metric): d for d in evaluation.differences()}
    for result in evaluation.results:
        line: dict[str, object] = {
            "source": "measured", "benchmark": result.benchmark, "scale": result.scale, "model": result.model,
            "metric": result.metric, "mean": result.mean, "count": result.count, "pictures": len(result.pictures),
            "reason": result.unavailable,
        }  # fmt: skip
        line["low"], line["high"] = result.interval or (None, None)
        if found := differences.get((result.model, result.benchmark, result.metric)):
            line |= {"against": found.against, "difference": found.difference, "difference_count": found.count}
            if found.interval is not None:
                line["difference_low"], line["difference_high"] = found.interval
                line["significant"] = found.significant
        yield line


def _printed(evaluation: Evaluation) -> Iterator[dict[str, object]]:
    scales = {result.benchmark: result.scale for result in evaluation.results}
    for number in published():
        if scales.get(number.benchmark) == SCALE and number.metric in evaluation.metrics:
            parts = (number.method, number.backbone, number.crop and f"crop {number.crop}")
            yield {
                "source": f"paper, table {number.table}", "benchmark": number.benchmark, "scale": SCALE,
                "model": ", ".join(filter(None, parts)), "metric": number.metric, "mean": number.text,
            }  # fmt: skip


def to_markdown(evaluation: Evaluation, *, paper: bool = False) -> str:
    """A table a benchmark, the best bold, differences below, and all notes."""
    parts = []
    for table in tabulate(evaluation, published=paper):
        if table.metrics:
            parts.append(f"### {_markdown(table.title)}\n\n" + _markdown_table(table, table.models, table.published))
            if table.differences:
                parts.append(f"{_markdown(table.difference_title)}\n\n" + _markdown_table(table, table.differences))
    if lines := notes(evaluation, published=paper):
        parts.append("".join(f"- {_markdown(line)}\n" for line in lines))
    return "\n".join(parts)


def _markdown_table(table: BenchmarkTable, rows: Sequence[Row], paper: Sequence[Row] = ()) -> str:
    lines = [
        ["model", *map(heading, table.metrics)],
        ["---", *("---:" for _ in table.metrics)],
        *([_markdown(row.title), *map(_markdown_cell, row.cells.values())] for row in rows),
        *([f"*paper: {_markdown(row.title)}*", *(cell.text for cell in row.cells.values())] for row in paper),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _markdown_cell(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.marked else cell.text
    return f"{text}<br>{cell.interval}" if cell.interval else text


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", text)


def to_latex(evaluation: Evaluation, *, paper: bool = False) -> str:
    """One tabular (package booktabs) with a group of rows a benchmark: the best bold, what is better or worse marked.

    Marked by a plus or a minus where the paired difference from evaluation.against is significant. Metrics without any
    value have no column; they, and all notes, stand in comments above.
    """
    tables = tabulate(evaluation, published=paper)
    rows = [row for table in tables for row in (*table.models, *table.published)]
    metrics = [m for m in evaluation.metrics if any(row.cells.get(m, Cell()).text != NOTHING for row in rows)]
    against = evaluation.against or evaluation.models[0]
    marks = f"superscript + or -: better or worse than {against}, the 95 % interval of the paired difference excludes 0"
    lines = [
        *("% " + " ".join(note.split()) for note in (marks, *notes(evaluation, published=paper))),
        r"\begin{tabular}{l" + "r" * len(metrics) + "}",
        r"\toprule",
        _latex_line(["Model", *map(_latex_heading, metrics)]),
    ]
    for table in tables:
        lines += [r"\midrule", rf"\multicolumn{{{len(metrics) + 1}}}{{l}}{{{_latex(table.title)}}} \\"]
        differences = {row.title: row.cells for row in table.differences}
        for row in table.models:
            against_it = differences.get(row.title, {})
            cells = (_latex_cell(row.cells.get(m, Cell()), against_it.get(m, Cell())) for m in metrics)
            lines.append(_latex_line([_latex(row.title), *cells]))
        lines += [rf"\cmidrule{{1-{len(metrics) + 1}}}"] if table.published else []
        for row in table.published:
            cells = (_latex(row.cells.get(metric, Cell()).text) for metric in metrics)
            lines.append(_latex_line([f"Paper: {_latex(row.title)}", *cells]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_heading(metric: str) -> str:
    described = METRICS[metric]
    unit = f"({described.unit})" if described.unit else ""
    return _latex(" ".join(filter(None, (described.title, described.arrow, unit))))


def _latex_cell(cell: Cell, difference: Cell) -> str:
    text = rf"\textbf{{{_latex(cell.text)}}}" if cell.marked else _latex(cell.text)
    return text + {"better": "$^+$", "worse": "$^-$"}.get(difference.outcome, "")


def _latex_line(cells: Sequence[str]) -> str:
    # Braces: after the end of a line, LaTeX takes a bracket for an argument.
    return " & ".join([f"{{}}{cells[0]}" if cells[0].startswith("[") else cells[0], *cells[1:]]) + r" \\"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
