"""Crops of many models side by side, with boxes that say where they come from (figures 5, 7 and 20 to 23)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from aesop.analysis.drawing import COLOURS, drawn, show
from aesop.data.pictures import to_float
from aesop.errors import AesopError
from aesop.evaluation.places import Place, detailed_places
from aesop.metrics import METRICS, Metric, MetricUnavailable, Sample, Settings
from aesop.metrics.luma import eight_bit

#: The most crops in a line; more are continued below.
IN_A_LINE = 8


@dataclass(frozen=True)
class CropSheet:
    """A picture (3, H, W) in [0, 1], places in it, and for every place the crops of all models, by title.

    `captions` has the lines below a model's title, such as its metric values on the whole picture.
    """

    picture: Tensor
    places: list[Place]
    crops: list[dict[str, Tensor]]
    captions: dict[str, list[str]]


def crop_sheet(
    picture: Tensor,
    models: Mapping[str, Tensor],
    places: Sequence[Place],
    captions: Mapping[str, Sequence[str]] | None = None,
) -> CropSheet:
    """Cut the places out of every model's picture.

    Args:
        picture: (3, H, W) in [0, 1], that the boxes are drawn on.
        models: pictures of the same size by title, in the order of the crops; HR may be one of them.
        places: squares inside the picture.
        captions: lines by title.

    Raises:
        AesopError: if a place is not inside the picture, or a model's picture is of another size.

    """
    height, width = picture.shape[-2:]
    for place in places:
        if min(place.top, place.left, place.side - 1) < 0 or (
            place.top + place.side > height or place.left + place.side > width
        ):
            box = f"{place.top},{place.left},{place.side}"
            raise AesopError(f"--box {box}: is not inside the picture of {height} rows and {width} columns.")
    for title, image in models.items():
        if image.shape != picture.shape:
            raise AesopError(f"{title}: made {tuple(image.shape)}, not {tuple(picture.shape)}; check its scale.")
    crops = [{title: place.cut(image) for title, image in models.items()} for place in places]
    return CropSheet(picture, list(places), crops, {title: list(lines) for title, lines in (captions or {}).items()})


def find_places(reference: Tensor, lr: Tensor, count: int, side: int) -> list[Place]:
    """Find places by `detailed_places`, at most `side` (rounded down to a multiple of the scale) pixels a side.

    Args:
        reference: (3, H, W) in [0, 1]: HR, or the best there is.
        lr: uint8, (3, H / scale, W / scale).
        count: at most how many.
        side: pixels of `reference`.

    """
    scale = reference.shape[-1] // lr.shape[-1]
    side = max(scale, min(side, *reference.shape[-2:]) // scale * scale)
    return detailed_places(eight_bit(reference.unsqueeze(0))[0].byte(), lr, count, side)


def measured_captions(
    models: Mapping[str, Tensor], hr: Tensor | None, lr: Tensor, names: Sequence[str], settings: Settings
) -> tuple[dict[str, list[str]], list[str]]:
    """Measure every model's whole picture, a line a metric; the best value is starred.

    Args:
        models: SR pictures, (3, H, W) in [0, 1], by title.
        hr: the HR picture, (3, H, W) in [0, 1]; None where there is none.
        lr: uint8, (3, H / scale, W / scale).
        names: of metrics (`aesop.metrics.METRICS`) that have values of single pictures.
        settings: as for every metric.

    Returns:
        The captions, and why metrics are missing.

    Raises:
        AesopError: naming a metric that there is not, or that needs a whole set or an HR picture.

    """
    captions: dict[str, list[str]] = {title: [] for title in models}
    notes = []
    for name in names:
        metric = METRICS.get(name)
        if not isinstance(metric, Metric):
            single = ", ".join(known for known, found in METRICS.items() if isinstance(found, Metric))
            raise AesopError(f"--metrics: {name!r} is no metric of single pictures; choose from {single}.")
        if metric.needs_hr and hr is None:
            raise AesopError(f"--metrics: {name} compares with an HR picture, and there is none; leave it out.")
        try:
            measure = metric.prepare(settings)
        except MetricUnavailable as error:
            notes.append(f"{metric.title}: {error}")
            continue
        truth = None if hr is None else hr.unsqueeze(0)
        low = to_float(lr.unsqueeze(0))
        values = {
            title: round(measure(Sample(sr.unsqueeze(0), truth, low, settings.scale)), metric.digits)
            for title, sr in models.items()
        }
        best = max(values.values()) if metric.higher_is_better else min(values.values())
        for title, value in values.items():
            text = f"{metric.title} {value:.{metric.digits}f} {metric.unit}".rstrip()
            captions[title].append(f"{text} *" if value == best and len(values) > 1 else text)
    return captions, notes


def draw_crops(sheet: CropSheet, path: Path, title: str = "") -> None:
    """Draw the picture with its boxes on the left, each box's crops on the right; raises as `drawn` does."""
    from matplotlib.patches import Rectangle

    titles = list(sheet.crops[0])
    lines = math.ceil(len(titles) / IN_A_LINE)
    columns = math.ceil(len(titles) / lines)
    height, width = sheet.picture.shape[-2:]
    most = max((len(found) for found in sheet.captions.values()), default=0)
    tall = len(sheet.places) * lines * 1.9 + lines * (0.3 + 0.16 * most)
    wide = min(7.0, max(2.5, tall * width / height))
    with drawn(path, wide + 1.9 * columns, max(tall, 2.5)) as figure:
        left, right = figure.subfigures(1, 2, width_ratios=(wide, 1.9 * columns), squeeze=False)[0]
        whole = left.subplots()
        show(whole, sheet.picture, title)
        grid = right.subplots(len(sheet.places) * lines, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for number, (place, crops) in enumerate(zip(sheet.places, sheet.crops, strict=True)):
            colour = COLOURS[(number + 1) % len(COLOURS)]
            whole.add_patch(
                Rectangle((place.left, place.top), place.side, place.side, fill=False, color=colour, linewidth=1.6)
            )
            for position, (name, crop) in enumerate(crops.items()):
                axes = grid[number * lines + position // columns, position % columns]
                axes.set_axis_on()
                # Values are of the whole picture: once is enough.
                show(axes, crop, "\n".join([name, *sheet.captions.get(name, [])]) if number == 0 else "")
                axes.spines[:].set(color=colour, linewidth=1.6)


def parse_box(text: str) -> Place:
    """Read TOP,LEFT,SIDE in HR pixels; AesopError for anything else."""
    try:
        top, left, side = (int(number) for number in text.split(","))
    except ValueError as error:
        raise AesopError(f"--box {text}: is not TOP,LEFT,SIDE, three whole numbers of HR pixels.") from error
    return Place(top, left, side)


def as_seen(image: Tensor) -> Tensor:
    """Clamp (3, H, W) to [0, 1] and round it to the levels of 8 bit, as a picture file would; float32."""
    return (eight_bit(image.unsqueeze(0))[0] / 255).to(torch.float32)
