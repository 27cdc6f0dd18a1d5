"""An evaluation as tables on the terminal: a table a benchmark, a row a model, a column a metric."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from aesop.evaluation.evaluate import Evaluation, Result
from aesop.metrics import METRICS


def print_tables(evaluation: Evaluation, console: Console | None = None) -> None:
    """Print all tables, and below them what is missing in them and why."""
    console = console or Console()
    for benchmark in evaluation.benchmarks:
        console.print(_table(evaluation, benchmark))
    for note in _notes(evaluation):
        console.print(escape(note), highlight=False, soft_wrap=True)


def _table(evaluation: Evaluation, benchmark: str) -> Table:
    """The table of one benchmark; among several models the best value of a column is bold and starred."""
    columns = {
        metric: [evaluation.result(model, benchmark, metric) for model in evaluation.models]
        for metric in evaluation.metrics
    }
    some = next(iter(columns.values()))[0]
    table = Table(title=f"{escape(benchmark)}, x{some.scale}, {len(some.pictures)} pictures", title_justify="left")
    table.add_column("model")
    for metric in columns:
        described = METRICS[metric]
        arrow = "↑" if described.higher_is_better else "↓"
        table.add_column(" ".join(filter(None, (described.title, arrow, described.unit))), justify="right")
    texts = {metric: _cells(results) for metric, results in columns.items()}
    for row, model in enumerate(evaluation.models):
        table.add_row(escape(model), *(texts[metric][row] for metric in evaluation.metrics))
    return table


def _cells(results: list[Result]) -> list[str]:
    """One column's texts, in the order of the models."""
    metric = METRICS[results[0].metric]
    rounded = [None if result.mean is None else round(result.mean, metric.digits) for result in results]
    known = [value for value in rounded if value is not None]
    # Means over different pictures do not compare.
    comparable = len(known) > 1 and len({frozenset(_measured_names(result)) for result in results}) == 1
    best = (max(known) if metric.higher_is_better else min(known)) if comparable else None
    cells = []
    for result, value in zip(results, rounded, strict=True):
        text = "–" if value is None else f"{value:.{metric.digits}f}"
        if value is not None and len(result.measured) < len(result.pictures):
            text += f" ({len(result.measured)} of {len(result.pictures)})"
        cells.append(f"[bold]{text} *[/bold]" if value is not None and value == best else text)
    return cells


def _measured_names(result: Result) -> list[str]:
    return [name for name, value in result.pictures.items() if value is not None]


def _notes(evaluation: Evaluation) -> list[str]:
    """What a reader must know beside the tables."""
    missing = {result.metric: result.unavailable for result in evaluation.results if result.unavailable}
    notes = [f"{METRICS[metric].title}: {reason}" for metric, reason in missing.items()]
    if "lpips-proxy" in evaluation.metrics and "lpips-proxy" not in missing:
        notes.append("LPIPS-proxy: EfficientNet-lite0 features in LPIPS's place; not comparable with published LPIPS")
    for failure in evaluation.failures:
        where = " ".join(filter(None, (failure.model, failure.metric)))
        notes.append(f"{failure.benchmark}/{failure.picture}{f' ({where})' if where else ''}: {failure.reason}")
    return notes
