"""THE report: an evaluation as one HTML file that needs nothing else (docs/evaluation.md, "The report").

Names of models and pictures come from files of unknown origin. They reach the page escaped by Jinja, or as JSON that
the scripts show as text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from aesop.errors import AesopError
from aesop.evaluation.curves import MeasuredCurve
from aesop.evaluation.model_names import BICUBIC
from aesop.evaluation.pictures import EvaluatedPicture
from aesop.evaluation.results import Evaluation, ModelFile
from aesop.evaluation.tabulate import heading, notes, tabulate
from aesop.files import write_atomically
from aesop.metrics import METRICS
from aesop.metrics.metric import SetMetric
from aesop.reports.pictures import PATCH, articles, show
from aesop.reports.plots import COLOURS, DISTORTION, PERCEPTION, mark, plot
from aesop.reports.summary import Comparison, compare
from aesop.reports.tables import differences, means, paper
from aesop.reports.training import Training
from aesop.run import Run
from aesop.words import NAMED, listed

#: Megabytes of all pictures together, as they stand in the page: what browsers open and mail takes without ado.
MEGABYTES = 25


def write_report(
    evaluation: Evaluation, path: Path, pictures: Iterable[EvaluatedPicture] | None = None, **options: Any
) -> None:
    """Write the report to `path`, atomically; arguments as of `report_text`."""
    write_atomically(path, report_text(evaluation, pictures, **options))


def report_text(
    evaluation: Evaluation,
    pictures: Iterable[EvaluatedPicture] | None = None,
    *,
    megabytes: float = MEGABYTES,
    curves: Sequence[MeasuredCurve] = (),
    published: bool = False,
    starts: Mapping[str, str] | None = None,
    training: Training | None = None,
) -> str:
    """The report as HTML.

    Args:
        evaluation: what was measured.
        pictures: those of this evaluation; without them there are only their values.
        megabytes: what all pictures together may take.
        curves: lines in the plot.
        published: whether to show what the paper prints for the same benchmarks and metrics.
        starts: the evaluated network that another's perceptual training began as; None to look in the run folders.
        training: how the networks were trained, if that is to be told.

    """
    count = len({(result.benchmark, name) for result in evaluation.results for name in result.pictures})
    gallery = None if pictures is None else show(pictures, count, round(megabytes * 10**6))
    noise = training.noise if training else {}
    starts = find_starts(evaluation.files) if starts is None else starts
    comparisons = compare(evaluation, starts, noise)
    tables = tabulate(evaluation, published=published)
    drawn = plot(evaluation, curves, published=published)
    marks = {model: mark(index) for index, model in enumerate(evaluation.models)}
    charts = training.charts({model: colour for model, (colour, _) in marks.items()}) if training else []
    number = len(evaluation.benchmarks)
    scripts = [Markup(_part(name)) for name in (["plotly-basic.min.js"] if drawn or charts else [])]
    scripts.append(Markup("\n".join(map(_part, ("page.js", "pictures.js")))))
    measured = {result.metric for result in evaluation.results if result.mean is not None}
    return (
        _environment()
        .get_template("report.html")
        .render(
            evaluation=evaluation,
            against=evaluation.against or evaluation.models[0],
            heading=f"Evaluation on {f'{number} benchmarks' if number > NAMED else listed(evaluation.benchmarks)}",
            today=date.today().isoformat(),
            style=Markup(_part("report.css")),
            scripts=[(script, _hash(script)) for script in scripts],
            data=_json(_data(evaluation, drawn, charts, comparisons[0] if comparisons else None)),
            marks=marks,
            colours=COLOURS,
            charts=charts,
            comparisons=comparisons,
            tables=[
                (table, means(evaluation, table), differences(evaluation, table, noise), paper(table))
                for table in tables
            ],
            plotted=drawn is not None,
            perceptual=any(metric in PERCEPTION for metric in measured),
            notes=[_without_folders(note) for note in notes(evaluation, published=published)],
            gallery=gallery,
            articles=articles(evaluation, gallery),
            protocols=[METRICS[metric] for metric in evaluation.metrics if metric in measured],
            training=training,
        )
    )


def find_starts(model_files: Mapping[str, ModelFile]) -> dict[str, str]:
    """Find which of the evaluated networks the perceptual training of each began as, as far as run folders tell."""
    models = {file.sha256: model for model, file in model_files.items()}
    starts = {}
    for model, file in model_files.items():
        path = Path(file.path)
        with suppress(AesopError, OSError):
            start = Run(path if path.is_dir() else path.parent.parent).fidelity()
            found = start and models.get(hashlib.sha256(start.read_bytes()).hexdigest())
            if found and found != model:
                starts[model] = found
    return starts


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("aesop.reports", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"breakable": breakable, "short_path": short_path, "without_folders": _without_folders}
    environment.globals |= {"METRICS": METRICS, "heading_of": heading}
    return environment


def breakable(text: str) -> Markup:
    """A name, escaped, that a line may break in after _ - / and a full stop."""
    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[_\-/.])(?=[^_\-/.])", text))


def short_path(path: str) -> str:
    """A path as it was named; of an absolute one, what is below the working folder, or else its last part."""
    given = Path(path)
    if not given.is_absolute():
        return path
    return str(given.relative_to(Path.cwd())) if given.is_relative_to(Path.cwd()) else given.name


def _without_folders(text: str) -> str:
    """A sentence without the folders of absolute paths."""
    return re.sub(r"(?<![\w.:/])/(?:[^/\s:,;'\"]+/)+", "", text.replace(f"{Path.cwd()}/", ""))


def _part(name: str) -> str:
    return files("aesop.reports").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _json(data: object) -> Markup:
    """JSON that cannot end the <script> element it stands in."""
    return Markup(json.dumps(data, allow_nan=False, ensure_ascii=False).replace("<", "\\u003c"))


def _data(
    evaluation: Evaluation,
    drawn: Mapping[str, Any] | None,
    charts: Sequence[Mapping[str, Any]],
    lead: Comparison | None,
) -> dict[str, Any]:
    """What the scripts need."""
    metrics = {
        name: {
            "title": METRICS[name].title,
            "unit": METRICS[name].unit,
            "digits": METRICS[name].digits,
            "higher": METRICS[name].higher_is_better,
            "kind": "perception" if name in PERCEPTION else "distortion" if name in DISTORTION else "",
        }
        for name in evaluation.metrics
    }
    values = {
        metric: {
            benchmark: {
                model: {
                    name: "Infinity" if value == math.inf else value
                    for name, value in evaluation.result(model, benchmark, metric).pictures.items()
                }
                for model in evaluation.models
            }
            for benchmark in evaluation.benchmarks
        }
        for metric in evaluation.metrics
        if not isinstance(METRICS[metric], SetMetric)
    }
    networks = [model for model in evaluation.models if model != BICUBIC]
    left, right = (lead.against, lead.model) if lead else (BICUBIC, networks[-1] if networks else "HR")
    sides = {"left": left, "right": right}
    return {"metrics": metrics, "values": values, "plot": drawn, "charts": charts, "patch": PATCH, **sides}
