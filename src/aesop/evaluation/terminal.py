"""An evaluation as tables on the terminal: a table a benchmark, a row a model, a column a metric."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from aesop.evaluation.results import Evaluation
from aesop.evaluation.tabulate import NOTHING, Cell, Row, heading, notes, tabulate


def print_tables(evaluation: Evaluation, console: Console | None = None, *, published: bool = False) -> None:
    """Print all tables, with differences between models where there are intervals of them, and notes below.

    With `published`, what the paper prints for the same benchmark and metrics is shown below a line.
    """
    console = console or Console()
    for table in tabulate(evaluation, published=published):
        _print(console, table.title, table.metrics, table.models, table.published)
        compared = [m for m in table.metrics if any(row.cells[m].interval for row in table.differences)]
        if compared:
            _print(console, table.difference_title, compared, table.differences)
    for note in notes(evaluation, published=published):
        console.print(escape(note), highlight=False, soft_wrap=True)


def _print(
    console: Console, title: str, metrics: Sequence[str], rows: Sequence[Row], published: Sequence[Row] = ()
) -> None:
    """Print a table, in several parts one below the other where the terminal is too narrow for all columns."""
    if metrics:
        console.print(escape(title), style="italic", highlight=False)
    anywhere = console.options.update(max_width=10_000)
    while metrics:
        count = len(metrics)
        table = _table(metrics, rows, published)
        while count > 1 and console.measure(table, options=anywhere).maximum > console.width:
            count -= 1
            table = _table(metrics[:count], rows, published)
        console.print(table)
        metrics = metrics[count:]


def _table(metrics: Sequence[str], rows: Sequence[Row], published: Sequence[Row]) -> Table:
    table = Table()
    table.add_column("model", no_wrap=True)
    for metric in metrics:
        table.add_column(heading(metric), justify="right")
    for row in rows:
        table.add_row(escape(row.title), *(_text(row.cells[metric]) for metric in metrics))
    printed = [row for row in published if any(row.cells[metric].text != NOTHING for metric in metrics)]
    if printed:
        table.add_section()
        table.add_row("the paper prints", style="dim")
    for row in printed:
        table.add_row(escape(row.title), *(row.cells[metric].text for metric in metrics), style="dim")
    return table


def _text(cell: Cell) -> str:
    text = f"[bold]{cell.text} *[/bold]" if cell.marked else cell.text
    return f"{text}\n[dim]{cell.interval}[/dim]" if cell.interval else text
