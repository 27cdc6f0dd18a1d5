"""An evaluation as one HTML file: tables that sort, a plot of any two metrics, a slider on every picture.

Everything stands in the file (docs/evaluation.md, "The report"). Names of models and pictures come from files of
unknown origin: they reach the page escaped, or as JSON that the script only ever shows as text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from aesop.evaluation.page.curves import Curve
from aesop.evaluation.page.gallery import LOSSY_QUALITY, Gallery, Shown
from aesop.evaluation.published import published_rows
from aesop.evaluation.results import Evaluation, PairedDifference
from aesop.evaluation.tabulate import NOTHING, BenchmarkTable, Cell, Row, heading, notes, tabulate
from aesop.files import write_atomically
from aesop.metrics import METRICS
from aesop.metrics.metric import SetMetric

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
    style, script, template = (_part(f"page.{kind}") for kind in ("css", "js", "html"))
    tables = [_measured_first(table) for table in tabulate(evaluation, published=published)]
    title = f"{_list(evaluation.models)} on {_list(evaluation.benchmarks)}"
    digest = hashlib.sha256(script.encode()).digest()
    return Template(template).substitute(
        script_hash=f"sha256-{base64.b64encode(digest).decode()}",
        title=escape(f"Evaluation: {title}"),
        style=style,
        heading=escape(title),
        links=_links(tables),
        tables="\n".join(_table(evaluation, table, index) for index, table in enumerate(tables)),
        notes=_notes(evaluation),
        cut=escape(_cut(gallery)),
        pictures=_pictures(evaluation, gallery),
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


def _measured_first(table: BenchmarkTable) -> BenchmarkTable:
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


def _table(evaluation: Evaluation, table: BenchmarkTable, index: int) -> str:
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
    return f'<tr><th scope="row">{_chip(evaluation, model)}{escape(model)}</th>{"".join(cells)}</tr>'


def _chip(evaluation: Evaluation, model: str) -> str:
    return f'<span class="chip s{evaluation.models.index(model) % 8}"></span>'


def _cell(cell: Cell, number: float | None, kind: str = "", star: str = "") -> str:
    value = "" if number is None else f' data-value="{"Infinity" if number == math.inf else repr(number)}"'
    text = escape(" ".join(filter(None, (cell.text, cell.part, star if cell.marked else ""))))
    interval = f"<small>{escape(cell.interval)}</small>" if cell.interval else ""
    style = f' class="{kind}"' if kind else ""
    return f"<td{style}{value}>{text}{interval}</td>"


def _notes(evaluation: Evaluation) -> str:
    told = "".join(f"<li>{escape(note)}</li>" for note in notes(evaluation))
    return f'<ul class="note">{told}</ul>' if told else ""


def _cut(gallery: Gallery | None) -> str:
    """Say how the pictures are shown, and what of them is not."""
    if gallery is None:
        return "This report holds no pictures, only their values."
    counts = Counter(map(_how, gallery.pictures))
    said = "; ".join(f"{count} {how}" for how, count in counts.most_common())
    number = f"{len(gallery.pictures)} picture{'' if len(gallery.pictures) == 1 else 's'}"
    room = f"{gallery.limit / (1 << 20):.0f} MB"
    cut = "" if set(counts) <= {_WHOLE} else f" All pictures together are held below {room}."
    return f"{number}: {said}.{cut} Values are always of the whole picture, without loss."


_WHOLE = "whole, without loss"


def _how(shown: Shown) -> str:
    if not shown.sides:
        return "not shown for want of room"
    if shown.crop is not None:
        return "without loss, only the square where downscaling loses most"
    return _WHOLE if shown.lossless else f"whole, WebP of quality {LOSSY_QUALITY}"


def _pictures(evaluation: Evaluation, gallery: Gallery | None) -> str:
    shown = {(picture.benchmark, picture.name): picture for picture in (gallery.pictures if gallery else ())}
    parts = []
    for benchmark in evaluation.benchmarks:
        columns = {
            metric: [evaluation.result(model, benchmark, metric) for model in evaluation.models]
            for metric in evaluation.metrics
            if not isinstance(METRICS[metric], SetMetric)
        }
        columns = {
            metric: results
            for metric, results in columns.items()
            if any(result.measured for result in results) or not any(result.unavailable for result in results)
        }
        names = list(
            dict.fromkeys(
                name for result in evaluation.results if result.benchmark == benchmark for name in result.pictures
            )
        )
        for name in names:
            values = {metric: [result.pictures.get(name) for result in results] for metric, results in columns.items()}
            reasons = [
                f"{' '.join(filter(None, (failure.model, failure.metric))) or 'picture'}: {failure.reason}"
                for failure in evaluation.failures
                if (failure.benchmark, failure.picture) == (benchmark, name)
            ]
            parts.append(_picture(evaluation, benchmark, name, shown.get((benchmark, name)), values, reasons))
    return "\n".join(parts)


def _picture(
    evaluation: Evaluation,
    benchmark: str,
    name: str,
    shown: Shown | None,
    values: Mapping[str, Sequence[float | None]],
    reasons: Sequence[str],
) -> str:
    look, about = "", ""
    if shown is not None:
        place = shown.crop and f" ({shown.crop.side} x {shown.crop.side} at {shown.crop.left}, {shown.crop.top})"
        about = f'<p class="note">{shown.width} x {shown.height} pixels; {escape(_how(shown))}{place or ""}</p>'
        look = _stage(shown) if shown.sides else ""
    failed = "".join(f'<p class="note worse">{escape(reason)}</p>' for reason in reasons)
    return (
        f'<article class="picture"><h3>{escape(f"{benchmark}: {name}")}</h3>\n{about}{failed}\n'
        f'<div class="shown">{look}{_values(evaluation, values)}</div></article>'
    )


def _stage(shown: Shown) -> str:
    height, width = (shown.crop.side, shown.crop.side) if shown.crop else (shown.height, shown.width)
    figures = "\n".join(
        f'<figure data-title="{escape(side.title)}">'
        f'<img width="{width}" height="{height}" '
        f'alt="{escape(f"{shown.name}, {side.title}")}" '
        f'src="data:image/webp;base64,{base64.b64encode(side.file).decode()}">'
        f"<figcaption>{escape(side.title)}</figcaption></figure>"
        for side in shown.sides
    )
    return f'<div class="look"><div class="stage" style="--width:{width};--height:{height}">\n{figures}\n</div></div>'


def _values(evaluation: Evaluation, values: Mapping[str, Sequence[float | None]]) -> str:
    """A picture's own values: a row a metric, a column a model."""
    if not values:
        return ""
    models = "".join(f'<th scope="col">{_chip(evaluation, model)}{escape(model)}</th>' for model in evaluation.models)
    rows = []
    for name, found in values.items():
        metric = METRICS[name]
        texts = [NOTHING if value is None else _number(value, metric.digits) for value in found]
        there = [value for value in found if value is not None]
        best = (max if metric.higher_is_better else min)(there) if len(there) > 1 else None
        marked = NOTHING if best is None else _number(best, metric.digits)
        cells = "".join(
            f'<td class="best">{text}</td>' if text == marked != NOTHING else f"<td>{text}</td>" for text in texts
        )
        rows.append(f'<tr><th scope="row">{escape(heading(name))}</th>{cells}</tr>')
    return (
        f'<div class="wide values"><table><thead><tr><th></th>{models}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "∞"


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
