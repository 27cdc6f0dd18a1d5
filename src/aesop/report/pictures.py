"""The pictures of a report: every side of each in one frame, beside its own values."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from aesop.evaluation.results import Evaluation
from aesop.evaluation.tabulate import NOTHING, heading
from aesop.metrics import METRICS
from aesop.metrics.metric import SetMetric
from aesop.report.gallery import Gallery, Shown
from aesop.report.markup import named


def how_shown(gallery: Gallery | None) -> str:
    """Say how the pictures are shown, and what of them is not."""
    if gallery is None:
        return "This report holds no pictures, only their values."
    number = f"{len(gallery.pictures)} picture{'' if len(gallery.pictures) == 1 else 's'}, without loss"
    counts = Counter(map(_how, gallery.pictures))
    whole = set(counts) <= {_WHOLE}
    said = "" if whole else f": {'; '.join(f'{count} {how}' for how, count in counts.most_common())}"
    cut = "" if whole else f" All pictures together are held below {gallery.limit / 10**6:g} MB (--report-size)."
    return f"{number}{said}.{cut} Values are always of the whole picture."


_WHOLE = "whole"


def _how(shown: Shown) -> str:
    if not shown.sides:
        return "not shown for want of room"
    return _WHOLE if shown.crop is None else "only the square where networks differ or downscaling loses most"


def picture_ids(evaluation: Evaluation) -> dict[tuple[str, str], str]:
    """The id of every picture's article, by the names of its benchmark and its own."""
    return {
        (benchmark, name): f"picture-{index}-{number}"
        for index, benchmark in enumerate(evaluation.benchmarks)
        for number, name in enumerate(_names(evaluation, benchmark))
    }


def _names(evaluation: Evaluation, benchmark: str) -> list[str]:
    results = (result for result in evaluation.results if result.benchmark == benchmark)
    return list(dict.fromkeys(name for result in results for name in result.pictures))


def pictures(evaluation: Evaluation, gallery: Gallery | None) -> str:
    """Every picture with its values; those that `gallery` holds are shown."""
    return f'<div id="picture-list">\n{"".join(_articles(evaluation, gallery))}</div>'


def _articles(evaluation: Evaluation, gallery: Gallery | None) -> Iterator[str]:
    shown = {(picture.benchmark, picture.name): picture for picture in (gallery.pictures if gallery else ())}
    ids = picture_ids(evaluation)
    for benchmark in evaluation.benchmarks:
        columns = {
            metric: [evaluation.result(model, benchmark, metric) for model in evaluation.models]
            for metric in evaluation.metrics
            if not isinstance(METRICS[metric], SetMetric)
        }
        columns = {
            metric: results
            for metric, results in columns.items()
            if any(result.mean is not None for result in results) or not any(result.unavailable for result in results)
        }
        for name in _names(evaluation, benchmark):
            values = {metric: [result.pictures.get(name) for result in results] for metric, results in columns.items()}
            reasons = [
                f"{' '.join(filter(None, (failure.model, failure.metric))) or 'picture'}: {failure.reason}"
                for failure in evaluation.failures
                if (failure.benchmark, failure.picture) == (benchmark, name)
            ]
            failed = "".join(f'<p class="note worse">{escape(reason)}</p>\n' for reason in reasons)
            picture = shown.get((benchmark, name))
            yield (
                f'<article class="picture" id="{ids[benchmark, name]}" data-benchmark="{escape(benchmark)}" '
                f'data-name="{escape(name)}">\n<h3>{escape(f"{benchmark}: {name}")}</h3>\n'
                f"{_about(picture)}{failed}{_stage(picture)}{_overview(picture)}{_values(evaluation, values)}"
                "</article>\n"
            )


def _about(shown: Shown | None) -> str:
    """A line on a picture's size and what of it is shown."""
    if shown is None:
        return ""
    part = "" if shown.sides else f"; {_how(shown)}"
    if (crop := shown.crop) is not None:
        part = f"; only a square of {crop.side}, {crop.left} from the left and {crop.top} from the top"
    return f'<p class="note">{shown.width} x {shown.height} pixels{part}<span class="live"></span></p>\n'


def _stage(shown: Shown | None) -> str:
    if shown is None or not shown.sides:
        return ""
    height, width = (shown.crop.side, shown.crop.side) if shown.crop else (shown.height, shown.width)
    figures = "\n".join(
        f'<figure data-title="{escape(side.title)}"'
        + (f' data-model="{escape(side.model)}"' if side.model is not None else "")
        + f'><img width="{width}" height="{height}" '
        f'alt="{escape(f"{shown.name}, {side.title}")}" '
        f'src="data:image/webp;base64,{base64.b64encode(side.file).decode()}">'
        f"<figcaption>{escape(side.title)}</figcaption></figure>"
        for side in shown.sides
    )
    spot = ""
    if shown.spot is not None:
        x, y = shown.spot.left + shown.spot.side / 2, shown.spot.top + shown.spot.side / 2
        spot = f' data-x="{x:g}" data-y="{y:g}"'
    return f'<div class="stage"{spot}>\n{figures}\n</div>\n'


def _overview(shown: Shown | None) -> str:
    """The whole picture, small, and the square of it that is shown."""
    if shown is None or shown.crop is None or not shown.overview:
        return ""
    whole, crop = (shown.width, shown.height), shown.crop
    edges = zip(("left", "top", "width", "height"), (crop.left, crop.top, crop.side, crop.side), whole * 2, strict=True)
    box = "; ".join(f"{name}: {100 * length / side:.2f}%" for name, length, side in edges)
    source = f"data:image/webp;base64,{base64.b64encode(shown.overview).decode()}"
    alt = escape(f"{shown.name}: where the square is from")
    return f'<div class="overview"><img alt="{alt}" src="{source}"><span style="{box}"></span></div>\n'


def _values(evaluation: Evaluation, values: Mapping[str, Sequence[float | None]]) -> str:
    """A picture's own values: a row a model, a column a metric."""
    if not values:
        return ""
    head = "".join(f'<th scope="col">{escape(heading(name))}</th>' for name in values)
    columns = [_column(name, found) for name, found in values.items()]
    rows = "".join(
        f'<tr><th scope="row">{named(evaluation, model)}</th>{"".join(cells)}</tr>'
        for model, cells in zip(evaluation.models, zip(*columns, strict=True), strict=True)
    )
    return (
        f'<div class="wide values"><table><thead><tr><th scope="col">model</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _column(name: str, found: Sequence[float | None]) -> list[str]:
    """A metric's cells, a model each; what prints as the best value is the best."""
    metric = METRICS[name]
    texts = [NOTHING if value is None else _number(value, metric.digits) for value in found]
    there = [value for value in found if value is not None]
    best = metric.best(there) if len(there) > 1 else None
    marked = None if best is None else _number(best, metric.digits)
    return [f'<td class="best">{text}</td>' if text == marked else f"<td>{text}</td>" for text in texts]


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "∞"
