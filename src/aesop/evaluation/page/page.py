"""An evaluation as one HTML file: tables that sort, a plot of any two metrics, a slider on every picture.

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

from aesop.evaluation.page.curves import Curve
from aesop.evaluation.page.gallery import Gallery
from aesop.evaluation.page.pictures import how_shown, pictures
from aesop.evaluation.page.tables import measured_first, table_of
from aesop.evaluation.published import published_rows
from aesop.evaluation.results import Evaluation
from aesop.evaluation.tabulate import BenchmarkTable, notes, tabulate
from aesop.files import write_atomically
from aesop.metrics import METRICS

#: What a reader must know of a metric to read its column.
_PROTOCOL = {
    "psnr": "on Y, as many border pixels cropped as the scale",
    "ssim": "on Y, 11 x 11 Gaussian window, as many border pixels cropped as the scale",
    "lr-psnr": "PSNR on Y of the bicubic-downscaled SR picture against LR",
    "ae-psnr": "PSNR of AE(SR) against AE(HR); compare numbers of one auto-encoder only",
    "lpips": "AlexNet, RGB, no border cropped",
    "dists": "RGB, no border cropped",
    "lpips-proxy": "LPIPS's distance on EfficientNet-lite0 features; not comparable with published LPIPS",
    "fid": "of all SR and all HR pictures; a set has one value",
    "patch-fid": "FID of 299 x 299 patches, never resized; a set has one value",
    "niqe": "needs no HR; on rounded grey levels, no border cropped",
    "maniqa": "needs no HR; KonIQ-10k model",
    "musiq": "needs no HR; KonIQ-10k model",
    "clip-iqa": "needs no HR; one pair of prompts",
}


def write_page(
    evaluation: Evaluation,
    path: Path,
    gallery: Gallery | None = None,
    *,
    published: bool = False,
    curves: Sequence[Curve] = (),
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
    curves: Sequence[Curve] = (),
) -> str:
    """The report's text; see `write_page`."""
    template = _part("page.html")
    style = "".join(_part(f"{name}.css") for name in ("plot", "pictures", "page"))
    script = "\n".join(_part(f"{name}.js") for name in ("shared", "tables", "plot", "pictures"))
    tables = [measured_first(table) for table in tabulate(evaluation, published=published)]
    title = f"{_list(evaluation.models)} on {_list(evaluation.benchmarks)}"
    digest = hashlib.sha256(script.encode()).digest()
    return Template(template).substitute(
        script_hash=f"sha256-{base64.b64encode(digest).decode()}",
        title=escape(f"Evaluation: {title}"),
        style=style,
        heading=escape(title),
        links=_links(tables),
        tables="\n".join(table_of(evaluation, table, index) for index, table in enumerate(tables)),
        notes=_notes(evaluation),
        cut=escape(how_shown(gallery)),
        pictures=pictures(evaluation, gallery),
        facts=_facts(evaluation, tables),
        protocol="\n".join(
            f"<li><b>{escape(METRICS[metric].title)}</b>: {escape(_PROTOCOL[metric])}.</li>"
            for metric in evaluation.metrics
            if metric in _PROTOCOL
        ),
        evaluation=_json_text(evaluation.to_json()),
        page=_json_text(json.dumps(_for_the_script(evaluation, tables, published, curves), allow_nan=False)),
        script=script,
    )


def _part(name: str) -> str:
    return files("aesop.evaluation.page").joinpath(name).read_text(encoding="utf-8")


def _json_text(text: str) -> str:
    """JSON that cannot end the <script> element it stands in."""
    return text.replace("<", "\\u003c")


def _for_the_script(
    evaluation: Evaluation, tables: Sequence[BenchmarkTable], published: bool, curves: Sequence[Curve]
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
                "points": [
                    {"note": point.note, "means": _means(curve.evaluation, point.model)} for point in curve.points
                ],
            }
            for curve in curves
        ],
    }


def _means(evaluation: Evaluation, model: str) -> dict[str, dict[str, float]]:
    means: dict[str, dict[str, float]] = {}
    for result in evaluation.results:
        if result.model == model and result.mean is not None and math.isfinite(result.mean):
            means.setdefault(result.benchmark, {})[result.metric] = result.mean
    return means


def _links(tables: Sequence[BenchmarkTable]) -> str:
    inside = [(f"#benchmark-{index}", table.benchmark) for index, table in enumerate(tables)]
    others = [("#plot", "Perception and distortion"), ("#pictures", "Pictures"), ("#measured", "What was measured")]
    return " ".join(f'<a href="{where}">{escape(what)}</a>' for where, what in [*inside, *others])


def _notes(evaluation: Evaluation) -> str:
    told = "".join(f"<li>{escape(note)}</li>" for note in notes(evaluation))
    return f'<ul class="note">{told}</ul>' if told else ""


def _facts(evaluation: Evaluation, tables: Sequence[BenchmarkTable]) -> str:
    facts = {
        "Models": ", ".join(evaluation.models),
        "Benchmarks": "; ".join(table.title for table in tables),
        "Compared with": evaluation.against or evaluation.models[0],
        "Pictures": "SR and HR are clamped and rounded to 8 bit first, HR is cropped to multiples of the scale",
        "Intervals": "95 %, bootstrap of 10,000 seeded resamples of pictures; none for fewer than five",
        "Versions": ", ".join(f"{package} {version}" for package, version in evaluation.versions.items()),
    }
    return "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items() if text)


def _list(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
