"""An evaluation as tables of texts, one a benchmark: what the terminal, Markdown, LaTeX and the report show alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """A value as printed, with the part of the benchmark it is of, such as `27.12 (2 of 3)`, and its interval.

    `marked` is the best of a column, or a significant difference; `outcome` is a difference's; `value` is not rounded.
    """

    text: str = NOTHING
    interval: str = ""
    marked: bool = False
    outcome: Outcome = "open"
    value: float | None = None


@dataclass(frozen=True)
class Row:
    """A title and a cell for every metric."""

    title: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class BenchmarkTable:
    """One benchmark: its metrics, models, what the paper prints, and differences from the model `against`.

    The title is such as `Set5, x4, 5 pictures`.
    """

    benchmark: str
    title: str
    metrics: Sequence[str]
    models: Sequence[Row]
    published: Sequence[Row]
    differences: Sequence[Row]
    against: str

    @property
    def difference_title(self) -> str:
        """The title of the table of differences."""
        return f"{self.benchmark}: difference from {self.against} (* its 95 % interval excludes 0)"


def tabulate(evaluation: Evaluation, *, published: bool = False) -> list[BenchmarkTable]:
    """Arrange an evaluation; with `published`, beside the numbers of the paper for the same benchmark and metrics.

    Metrics that compare with HR have no column where a benchmark has none.
    """
    tables = []
    for benchmark in evaluation.benchmarks:
        results = [result for result in evaluation.results if result.benchmark == benchmark]
        scale, pictures = results[0].scale, len(results[0].pictures)
        columns: dict[str, dict[str, Result]] = {metric: {} for metric in evaluation.metrics}
        for result in results:
            columns[result.metric][result.model] = result
        metrics = [metric for metric in columns if not columns[metric][evaluation.models[0]].no_ground_truth]
        cells = {metric: _column(columns[metric]) for metric in metrics}
        differences: dict[str, dict[str, Cell]] = {}
        for found in evaluation.differences():
            if found.benchmark == benchmark:
                row = differences.setdefault(found.model, dict.fromkeys(metrics, Cell()))
                row[found.metric] = _difference_cell(found, pictures)
        paper = published_rows(benchmark, scale, metrics) if published else {}
        tables.append(
            BenchmarkTable(
                benchmark=benchmark,
                title=f"{benchmark}, x{scale}, {pictures} picture{'' if pictures == 1 else 's'}",
                metrics=metrics,
                models=[
                    Row(model, {metric: cells[metric][model] for metric in metrics}) for model in evaluation.models
                ],
                published=[
                    Row(title, {m: Cell(t, value=float(t)) if (t := printed.get(m)) else Cell() for m in metrics})
                    for title, printed in paper.items()
                ],
                differences=[Row(model, differences[model]) for model in evaluation.models if model in differences],
                against=evaluation.against or evaluation.models[0],
            )
        )
    return tables


def heading(metric: str) -> str:
    """`PSNR ↑ dB`: a column's title."""
    described = METRICS[metric]
    return " ".join(filter(None, (described.title, described.arrow, described.unit)))


def notes(evaluation: Evaluation, *, published: bool = False) -> list[str]:
    """Return the notes below the tables (and the paper's numbers): cautions, and everything that went wrong."""
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
    return list(dict.fromkeys([*lines, *_of_pictures(evaluation)]))


def _beside_the_paper(evaluation: Evaluation) -> list[str]:
    """Note where the paper has no numbers, and where it makes them differently."""
    scales = {result.benchmark: result.scale for result in evaluation.results}
    rows = {name: published_rows(name, scale, evaluation.metrics) for name, scale in scales.items()}
    lines = [f"{benchmark}: the paper prints nothing for it" for benchmark, found in rows.items() if not found]
    printed = {metric for found in rows.values() for values in found.values() for metric in values}
    described = [METRICS[name] for name in evaluation.metrics if name in printed]
    return lines + [f"{metric.title}: {metric.unlike_paper}" for metric in described if metric.unlike_paper]


def _of_pictures(evaluation: Evaluation) -> list[str]:
    """Infinite values, notes and failures; the same note on several pictures is one line."""
    infinite = "equal and so infinite; left out of the mean and of differences"
    found = [(r.benchmark, r.model, r.metric, infinite, r.infinite) for r in evaluation.results if r.finite]
    found += [(n.benchmark, None, None, n.text, [n.picture]) for n in evaluation.notes]
    found += [(f.benchmark, f.model, f.metric, f.reason, [f.picture]) for f in evaluation.failures]
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for benchmark, model, metric, text, pictures in found:
        if pictures:
            what = " ".join(filter(None, (model, metric)))
            named = grouped.setdefault((benchmark, f" ({what})" if what else "", text), [])
            named += filter(None, pictures)
    return [
        f"{benchmark}{f'/{first_few(pictures)}' if pictures else ''}{what}: {text}"
        for (benchmark, what, text), pictures in grouped.items()
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
    return f" ({count} of {pictures})" if count < pictures else ""


def _column(results: Mapping[str, Result]) -> dict[str, Cell]:
    """The cells of one metric by model."""
    metric = METRICS[next(iter(results.values())).metric]
    values = {model: round(r.mean, metric.digits) for model, r in results.items() if r.mean is not None}
    # Means over different pictures do not compare: only models that were measured on the most pictures can be best.
    measured = {model: frozenset(result.of_pictures) for model, result in results.items()}
    most = max(measured.values(), key=len)
    compared = [value for model, value in values.items() if measured[model] == most]
    best = metric.best(compared) if len(compared) > 1 else None
    return dict.fromkeys(results, Cell()) | {
        model: Cell(
            f"{value:.{metric.digits}f}{_part(results[model].count, len(results[model].pictures))}",
            " … ".join(f"{end:.{max(metric.digits - 1, 0)}f}" for end in results[model].interval or ()),
            value == best and measured[model] == most,
            value=results[model].mean,
        )
        for model, value in values.items()
    }


def _difference_cell(found: PairedDifference, pictures: int) -> Cell:
    digits = METRICS[found.metric].digits
    interval = " … ".join(signed(end, digits) for end in found.interval or ())
    text = f"{signed(found.difference, digits)}{_part(found.count, pictures)}"
    return Cell(text, interval, found.significant, outcome_of(found), found.difference)
