"""The pictures of a report: every side of each in one frame, beside its own values."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from aesop.evaluation.page.gallery import LOSSY_QUALITY, Gallery, Shown
from aesop.evaluation.page.markup import chip
from aesop.evaluation.results import Evaluation
from aesop.evaluation.tabulate import NOTHING, heading
from aesop.metrics import METRICS
from aesop.metrics.metric import SetMetric


def how_shown(gallery: Gallery | None) -> str:
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


def pictures(evaluation: Evaluation, gallery: Gallery | None) -> str:
    """Every picture with its values; those that `gallery` holds are shown."""
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
    models = "".join(f'<th scope="col">{chip(evaluation, model)}{escape(model)}</th>' for model in evaluation.models)
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
