"""An evaluation as one HTML file: what it says, a plot of any two metrics, tables that sort, every picture.

Everything stands in the file (docs/evaluation.md, "The report"). Names of models and pictures come from files of
unknown origin: they reach the page escaped, or as JSON that the script only ever shows as text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from aesop.evaluation.curves import MeasuredCurve
from aesop.evaluation.published import published_rows
from aesop.evaluation.results import Evaluation
from aesop.evaluation.tabulate import BenchmarkTable, notes, tabulate
from aesop.files import write_atomically
from aesop.metrics import METRICS
from aesop.report.facts import facts, protocol
from aesop.report.gallery import Gallery
from aesop.report.markup import breakable, mark, marks, named
from aesop.report.message import message
from aesop.report.pictures import how_shown, pictures
from aesop.report.tables import table_of
from aesop.words import NAMED, listed


def write_page(
    evaluation: Evaluation,
    path: Path,
    gallery: Gallery | None = None,
    *,
    published: bool = False,
    curves: Sequence[MeasuredCurve] = (),
) -> None:
    """Write the report to `path`, atomically.

    Args:
        evaluation: what was measured.
        path: the .html file.
        gallery: the pictures of this evaluation; without it there are only their values.
        published: whether to show what the paper prints for the same benchmarks and metrics.
        curves: lines in the plot.

    """
    write_atomically(path, page(evaluation, gallery, published=published, curves=curves))


def page(
    evaluation: Evaluation,
    gallery: Gallery | None = None,
    *,
    published: bool = False,
    curves: Sequence[MeasuredCurve] = (),
) -> str:
    """The report's text; see `write_page`."""
    template = _part("page.html")
    style = "".join(_part(f"{name}.css") for name in ("plot", "pictures", "page"))
    script = "\n".join(_part(f"{name}.js") for name in ("shared", "tables", "plot", "frames", "pictures"))
    tables = tabulate(evaluation, published=published)
    plotted = _plotted(evaluation) if len(evaluation.models) + len(curves) > 1 else []
    count = len(evaluation.benchmarks)
    heading = f"Evaluation on {f'{count} benchmarks' if count > NAMED else listed(evaluation.benchmarks)}"
    digest = hashlib.sha256(script.encode()).digest()
    return Template(template).substitute(
        script_hash=f"sha256-{base64.b64encode(digest).decode()}",
        title=escape(f"{heading}: {listed(evaluation.models)}"),
        style=style,
        marks=marks(),
        heading=escape(heading),
        models=" ".join(named(evaluation, model) for model in evaluation.models),
        message=message(evaluation),
        links=_links(tables, bool(plotted)),
        against=breakable(evaluation.against or evaluation.models[0]),
        tables="\n".join(table_of(evaluation, table, index) for index, table in enumerate(tables)),
        notes=_notes(evaluation, published),
        cut=escape(how_shown(gallery)),
        pictures=pictures(evaluation, gallery),
        facts=facts(evaluation, tables),
        protocol=protocol(evaluation),
        evaluation=_json_text(evaluation.to_json()),
        page=_json_text(json.dumps(_for_the_script(evaluation, tables, plotted, published, curves), allow_nan=False)),
        script=script,
    )


def _part(name: str) -> str:
    return files("aesop.report").joinpath(name).read_text(encoding="utf-8")


def _json_text(text: str) -> str:
    """JSON that cannot end the <script> element it stands in."""
    return text.replace("<", "\\u003c")


def _for_the_script(
    evaluation: Evaluation,
    tables: Sequence[BenchmarkTable],
    plotted: Sequence[str],
    published: bool,
    curves: Sequence[MeasuredCurve],
) -> dict[str, object]:
    """What the script needs beside the evaluation."""
    described = {name: METRICS[name] for name in evaluation.metrics}
    return {
        "metrics": {
            name: {
                "title": metric.title,
                "unit": metric.unit,
                "digits": metric.digits,
                "higher": metric.higher_is_better,
            }
            for name, metric in described.items()
        },
        "marks": {model: mark(number) for number, model in enumerate(evaluation.models)},
        "plotted": plotted,
        "published": {
            table.benchmark: [
                {"title": row.title, "values": {metric: float(text) for metric, text in row.values.items()}}
                for row in published_rows(table.benchmark, table.scale, evaluation.metrics)
            ]
            for table in tables
            if published
        },
        "curves": [
            {
                "title": curve.title,
                "mark": mark(_end(evaluation, curve, len(evaluation.models) + index)),
                "points": [
                    {"note": point.note, "means": _means(curve.evaluation, point.model)} for point in curve.points
                ],
            }
            for index, curve in enumerate(curves)
        ],
    }


def _end(evaluation: Evaluation, curve: MeasuredCurve, otherwise: int) -> int:
    """The number of the model that a curve ends in, which has its file or else its means; `otherwise` without one."""
    last = curve.points[-1].model
    file, means = curve.evaluation.files.get(last), _means(curve.evaluation, last)
    for number, model in enumerate(evaluation.models):
        own = evaluation.files.get(model)
        if file and own and file.sha256 == own.sha256:
            return number
    # A run's last checkpoint is another file than its generator, of the same network.
    return next(
        (n for n, model in enumerate(evaluation.models) if means and means == _means(evaluation, model)), otherwise
    )


def _means(evaluation: Evaluation, model: str) -> dict[str, dict[str, float]]:
    """Means over whole benchmarks: on a curve, those over fewer pictures would not compare."""
    means: dict[str, dict[str, float]] = {}
    for result in evaluation.results:
        whole = result.count + len(result.infinite) == len(result.pictures)
        if result.model == model and whole and result.mean is not None and math.isfinite(result.mean):
            means.setdefault(result.benchmark, {})[result.metric] = result.mean
    return means


def _plotted(evaluation: Evaluation) -> list[str]:
    """Benchmarks that two metrics have values of."""
    measured = {(result.benchmark, result.metric) for result in evaluation.results if _is_finite(result.mean)}
    return [name for name in evaluation.benchmarks if sum(benchmark == name for benchmark, _ in measured) > 1]


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _links(tables: Sequence[BenchmarkTable], plot: bool) -> str:
    links = ['<a class="scripted" href="#plot">Perception and distortion</a>'] if plot else []
    places = [(f"#benchmark-{index}", table.benchmark) for index, table in enumerate(tables)]
    places += [("#pictures", "Pictures"), ("#measured", "What was measured")]
    return " ".join([*links, *(f'<a href="{where}">{escape(what)}</a>' for where, what in places)])


def _notes(evaluation: Evaluation, published: bool) -> str:
    told = "".join(f"<li>{escape(note)}</li>" for note in notes(evaluation, published=published))
    return f'<ul class="note">{told}</ul>' if told else ""
