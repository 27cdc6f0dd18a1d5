"""The report: an evaluation as one HTML file that needs nothing else (docs/evaluation.md, "The report").

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
from aesop.evaluation.cache import sha256_of
from aesop.evaluation.curves import MeasuredCurve
from aesop.evaluation.model_names import BICUBIC
from aesop.evaluation.pictures import EvaluatedPicture
from aesop.evaluation.pictures import pictures as evaluated_pictures
from aesop.evaluation.results import Evaluation, ModelFile
from aesop.evaluation.tabulate import heading, notes, signed, tabulate
from aesop.files import short_path, without_folders, write_atomically
from aesop.metrics import METRICS
from aesop.reports.pictures import PATCH, show
from aesop.reports.plots import COLOURS, DISTORTION, PERCEPTION, mark, plot
from aesop.reports.summary import compare
from aesop.reports.tables import filled, ties, values
from aesop.reports.training import TrainingSection
from aesop.run import Run
from aesop.words import NAMED, listed

#: Megabytes of all pictures together, as encoded in the page: what any browser opens and most mail servers accept.
MEGABYTES = 25

#: plotly.js-basic-dist-min 4.1.1, MIT (PLOTLY_LICENSE), as published. sha256 of the file:
#: 99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba
PLOTLY = "plotly-basic.min.js"


def report(
    evaluation: Evaluation, path: Path | str, pictures: Iterable[EvaluatedPicture] | None = None, **options: Any
) -> None:
    """Write the report on what `evaluate` returned to `path`, atomically; the rest is for `report_text`."""
    write_atomically(Path(path), report_text(evaluation, pictures, **options))


def report_text(
    evaluation: Evaluation,
    pictures: Iterable[EvaluatedPicture] | None = None,
    *,
    megabytes: float = MEGABYTES,
    curves: Sequence[MeasuredCurve] = (),
    published: bool = False,
    training: TrainingSection | None = None,
) -> str:
    """The report as HTML.

    Args:
        evaluation: what was measured.
        pictures: those of this evaluation; unset, those of its `sr_folder`. Without them there are only their values.
        megabytes: what all pictures together may take.
        curves: lines in the plot.
        published: whether to show what the paper prints for the same benchmarks and metrics.
        training: how the networks were trained, if that is to be told.

    """
    names = list(dict.fromkeys((result.benchmark, name) for result in evaluation.results for name in result.pictures))
    if pictures is None and evaluation.sr_folder is not None:
        pictures = evaluated_pictures(evaluation)
    shown = None if pictures is None else show(pictures, len(names), round(megabytes * 10**6))
    comparisons = compare(evaluation, find_starts(evaluation.files))
    marks = {model: mark(index) for index, model in enumerate(evaluation.models)}
    tables = tabulate(evaluation, published=published)
    drawn = plot(evaluation, curves, tables)
    charts = training.charts({model: colour for model, (colour, _) in marks.items()}) if training else []
    networks = [model for model in evaluation.models if model != BICUBIC]
    data = {
        "metrics": {name: _described(name) for name in evaluation.metrics},
        "models": evaluation.models,
        "patch": PATCH,
        "plot": drawn,
        "charts": charts,
        "left": comparisons[0].against if comparisons else BICUBIC,
        "right": comparisons[0].model if comparisons else networks[-1] if networks else "HR",
    }
    number = len(evaluation.benchmarks)
    title = f"Evaluation on {f'{number} benchmarks' if number > NAMED else listed(evaluation.benchmarks)}"
    template = _environment().get_template("report.html")
    return template.render(
        evaluation=evaluation,
        training=training,
        title=f"{listed(list(training.perceptual))}, trained from one start" if training else title,
        against=evaluation.against or evaluation.models[0],
        today=date.today().isoformat(),
        scripts=[*map(_part, [PLOTLY] if drawn or charts else []), _part("page.js") + _part("pictures.js")],
        style=_part("report.css"),
        data=_json(data),
        marks=marks,
        comparisons=comparisons,
        plot=drawn,
        charts=charts,
        tables=tables,
        notes=notes(evaluation, published=published),
        names=names,
        pictures=shown,
        shown_pictures={(picture.benchmark, picture.name): picture for picture in shown or ()},
        megabytes=megabytes,
    )


def find_starts(model_files: Mapping[str, ModelFile]) -> dict[str, str]:
    """Find which of the evaluated networks the perceptual training of each began as, as far as run folders tell."""
    models = {file.sha256: model for model, file in model_files.items()}
    starts = {}
    for model, file in model_files.items():
        with suppress(AesopError, OSError):
            start = Run.of(Path(file.path)).fidelity()
            found = start and models.get(sha256_of(start))
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
    environment.filters |= {
        "breakable": breakable,
        "javascript": lambda number: "Infinity" if number == math.inf else repr(number),
        "minus": lambda text: text.replace("-", "\N{MINUS SIGN}").replace("inf", "∞"),
        "listed": listed,
        "sha256": lambda text: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode(),
        "short_path": short_path,
        "signed": lambda number, digits: signed(number, digits).replace("-", "\N{MINUS SIGN}"),
        "webp": lambda file: f"data:image/webp;base64,{base64.b64encode(file).decode()}",
        "without_folders": without_folders,
    }
    environment.globals |= {"METRICS": METRICS, "PERCEPTION": PERCEPTION, "COLOURS": COLOURS, "heading": heading}
    environment.globals |= {"filled": filled, "ties": ties, "values": values}
    environment.globals["KINDS"] = {"best": "", "tie": "", "better": "▲ ", "worse": "▼ "}
    return environment


def breakable(text: str) -> Markup:
    """A name, escaped, that a line may break in after _ - / and a full stop."""
    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[_\-/.])(?=[^_\-/.])", text))


def _described(name: str) -> dict[str, Any]:
    """A metric, for the scripts."""
    metric = METRICS[name]
    kind = "perception" if name in PERCEPTION else "distortion" if name in DISTORTION else ""
    described = {"title": metric.title, "unit": metric.unit, "digits": metric.digits}
    return {**described, "higher": metric.higher_is_better, "kind": kind}


def _part(name: str) -> Markup:
    return Markup(files("aesop.reports").joinpath(name).read_text(encoding="utf-8"))


def _json(data: object) -> Markup:
    """Return JSON that cannot end the <script> element around it."""
    return Markup(json.dumps(data, allow_nan=False, ensure_ascii=False).replace("<", "\\u003c"))
