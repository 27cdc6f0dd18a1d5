"""Crops of many models side by side, with boxes that say where they come from (figures 5, 7 and 20 to 23)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from aesop.analysis.drawing import COLOURS, drawn, show, shrunk
from aesop.analysis.models import Upscaling, reason_of
from aesop.analysis.regions import Region, detailed_regions
from aesop.data.pictures import to_float
from aesop.errors import AesopError
from aesop.metrics import METRICS, Metric, MetricUnavailable, Sample, Settings
from aesop.metrics.luma import eight_bit

#: The most crops in a line; more are continued below.
IN_A_LINE = 6
#: What the ground truth is called.
HR = "HR"


@dataclass(frozen=True)
class CropSheet:
    """A picture (3, H, W) in [0, 1], places in it, and for every place the crops of all models, by title.

    `captions` has the lines below a model's title, such as its metric values on the whole picture; `missing` says which
    metrics cannot be had here, `failures` which values could not be computed of this picture.
    """

    picture: Tensor
    places: list[Region]
    crops: list[dict[str, Tensor]]
    captions: dict[str, list[str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def summary(self) -> list[str]:
        """Which metrics are missing, and the boxes as `parse_box` reads them."""
        boxes = " ".join(f"{place.top},{place.left},{place.side}" for place in self.places)
        return [*self.missing, f"boxes: {boxes}"]


def measure_crops(
    models: Mapping[str, Upscaling],
    lr: Tensor,
    hr: Tensor | None,
    settings: Settings,
    *,
    places: Sequence[Region] = (),
    count: int = 2,
    side: int = 64,
    metrics: Sequence[str] | None = None,
) -> CropSheet:
    """Upscale a picture by every model, measure the results and cut places out of them.

    Args:
        models: by title, in the order of the crops; HR is the last one, where there is one.
        lr: uint8, (3, h, w).
        hr: uint8, (3, scale * h, scale * w); None where there is none: then places are found, and boxes drawn, on the
            last model's picture.
        settings: what metrics may need; its scale is the models'.
        places: squares to cut out; unset, `count` of at most `side` HR pixels are found where most is lost.
        count: see above.
        side: see above.
        metrics: names of metrics of single pictures; None for PSNR where there is HR, else none.

    Raises:
        AesopError: before anything is upscaled, if a model is called HR as the HR picture is, a metric is unknown or
            needs an HR picture that there is not, or a place is not inside the picture.
        ModelError: if a model's output is of another size or not a number.

    """
    if hr is not None and HR in models:
        raise AesopError(f"a model is called {HR}, as the HR picture is; name it apart, as TITLE=MODEL.")
    names = list(metrics) if metrics is not None else ["psnr"] if hr is not None else []
    chosen = [_metric(name, hr is not None) for name in names]
    height, width = (length * settings.scale for length in lr.shape[-2:])
    for place in places:
        _require_inside(place, height, width)
    found = {title: as_seen(upscale(lr)) for title, upscale in models.items()}
    truth = None if hr is None else to_float(hr)
    captions, missing, failures = measured_captions(found, truth, lr, chosen, settings)
    shown = found if truth is None else {**found, HR: truth}
    picture = next(reversed(shown.values()))
    places = places or find_places(picture, lr, count, side)
    sheet = crop_sheet(picture, shown, places, captions)
    return CropSheet(sheet.picture, sheet.places, sheet.crops, captions, missing, failures)


def crop_sheet(
    picture: Tensor,
    models: Mapping[str, Tensor],
    places: Sequence[Region],
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
    for place in places:
        _require_inside(place, *picture.shape[-2:])
    for title, image in models.items():
        if image.shape != picture.shape:
            raise AesopError(f"{title}: made {tuple(image.shape)}, not {tuple(picture.shape)}; check its scale.")
    crops = [{title: place.cut(image) for title, image in models.items()} for place in places]
    return CropSheet(picture, list(places), crops, {title: list(lines) for title, lines in (captions or {}).items()})


def find_places(reference: Tensor, lr: Tensor, count: int, side: int) -> list[Region]:
    """Find places by `detailed_regions`, at most `side` (rounded down to a multiple of the scale) pixels a side.

    Args:
        reference: (3, H, W) in [0, 1]: HR, or the best there is.
        lr: uint8, (3, H / scale, W / scale).
        count: at most how many.
        side: pixels of `reference`.

    """
    scale = reference.shape[-1] // lr.shape[-1]
    side = max(scale, min(side, *reference.shape[-2:]) // scale * scale)
    return detailed_regions(eight_bit(reference.unsqueeze(0))[0].byte(), lr, count, side)


def measured_captions(
    models: Mapping[str, Tensor], hr: Tensor | None, lr: Tensor, metrics: Sequence[Metric], settings: Settings
) -> tuple[dict[str, list[str]], list[str], list[str]]:
    """Measure every model's whole picture, a line a metric; the best value is starred.

    Args:
        models: SR pictures, (3, H, W) in [0, 1], by title.
        hr: the HR picture, (3, H, W) in [0, 1]; None where there is none.
        lr: uint8, (3, H / scale, W / scale).
        metrics: of single pictures.
        settings: as for every metric.

    Returns:
        The captions, why metrics cannot be had here, and why single values could not be computed.

    """
    captions: dict[str, list[str]] = {title: [] for title in models}
    missing, failures = [], []
    truth = None if hr is None else hr.unsqueeze(0)
    low = to_float(lr.unsqueeze(0))
    for metric in metrics:
        try:
            measure = metric.prepare(settings)
        except MetricUnavailable as error:
            missing.append(f"{metric.title}: {error}")
            continue
        values: dict[str, float] = {}
        for title, sr in models.items():
            try:
                sample = Sample(sr.unsqueeze(0), truth, low, settings.scale)
                values[title] = round(measure(sample), metric.digits)
            except Exception as error:  # whatever one metric does with one picture, the others go on
                failures.append(f"{title}, {metric.title}: {reason_of(error)}")
        best = metric.best(values.values())
        for title, lines in captions.items():
            if title not in values:
                lines.append(f"{metric.title} –")
                continue
            text = f"{metric.title} {values[title]:.{metric.digits}f} {metric.unit}".rstrip()
            lines.append(f"{text} *" if values[title] == best and len(values) > 1 else text)
    return captions, missing, failures


def draw_crops(sheet: CropSheet, path: Path, title: str = "") -> None:
    """Draw the picture with its boxes on the left, each box's crops on the right; raises as `drawn` does."""
    from matplotlib.patches import Rectangle

    titles = list(sheet.crops[0])
    lines = math.ceil(len(titles) / IN_A_LINE)
    columns = math.ceil(len(titles) / lines)
    height, width = sheet.picture.shape[-2:]
    most = max((len(found) for found in sheet.captions.values()), default=0)
    panel, head = 1.35, 0.18 + 0.125 * most
    tall = len(sheet.places) * lines * (panel + 0.04) + lines * head
    wide = min(4.5, max(2.0, tall * width / height))
    with drawn(path, wide + panel * columns, max(tall, wide * height / width + 0.25)) as figure:
        left, right = figure.subfigures(1, 2, width_ratios=(wide, panel * columns), squeeze=False)[0]
        whole = left.subplots()
        picture = shrunk(sheet.picture, wide)
        drawing = show(whole, picture, title)
        # Axes in pixels of the whole picture, whatever it was shrunk to; a pixel's middle is a whole number.
        drawing.set_extent((-0.5, width - 0.5, height - 0.5, -0.5))
        grid = right.subplots(len(sheet.places) * lines, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for number, (place, crops) in enumerate(zip(sheet.places, sheet.crops, strict=True)):
            colour = COLOURS[(number + 1) % len(COLOURS)]
            corner = (place.left - 0.5, place.top - 0.5)
            whole.add_patch(Rectangle(corner, place.side, place.side, fill=False, color=colour, linewidth=1.4))
            for position, (name, crop) in enumerate(crops.items()):
                axes = grid[number * lines + position // columns, position % columns]
                axes.set_axis_on()
                # Values are of the whole picture: once is enough.
                show(axes, crop, "\n".join([name, *sheet.captions.get(name, [])]) if number == 0 else "")
                axes.spines[:].set(color=colour, linewidth=1.4)


def parse_box(text: str) -> Region:
    """Read TOP,LEFT,SIDE in HR pixels; AesopError for anything else."""
    try:
        top, left, side = (int(number) for number in text.split(","))
    except ValueError as error:
        raise AesopError(f"box {text}: is not TOP,LEFT,SIDE, three whole numbers of HR pixels.") from error
    return Region(top, left, side)


def as_seen(image: Tensor) -> Tensor:
    """Clamp (3, H, W) to [0, 1] and round it to the levels of 8 bit, as a picture file would; float32."""
    return (eight_bit(image.unsqueeze(0))[0] / 255).to(torch.float32)


def _metric(name: str, with_hr: bool) -> Metric:
    metric = METRICS.get(name)
    if not isinstance(metric, Metric):
        single = ", ".join(known for known, found in METRICS.items() if isinstance(found, Metric))
        raise AesopError(f"metrics: {name!r} is no metric of single pictures; choose from {single}.")
    if metric.needs_hr and not with_hr:
        raise AesopError(f"metrics: {name} compares with an HR picture, and there is none; leave it out.")
    return metric


def _require_inside(place: Region, height: int, width: int) -> None:
    if min(place.top, place.left, place.side - 1) < 0 or (
        place.top + place.side > height or place.left + place.side > width
    ):
        box = f"{place.top},{place.left},{place.side}"
        raise AesopError(f"box {box}: is not inside the picture of {height} rows and {width} columns.")
