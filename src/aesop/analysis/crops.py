"""Crops of many models side by side, with boxes that say where they come from (figures 5, 7 and 20 to 23)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from aesop.analysis.drawing import COLOURS, drawn, show, shrunk
from aesop.analysis.regions import Region, detailed_regions
from aesop.data.benchmarks import Benchmark, Unreferenced
from aesop.data.pairs import Pair
from aesop.data.pictures import to_float
from aesop.errors import AesopError
from aesop.evaluation.evaluate import evaluate
from aesop.evaluation.pictures import EvaluatedPicture, pictures
from aesop.evaluation.results import Evaluation
from aesop.evaluation.tabulate import NOTHING, tabulate
from aesop.files import printable
from aesop.metrics import METRICS, SetMetric, metric_named

IN_A_LINE = 6  #: crops at most; more are continued below
HR = "HR"  #: what the ground truth is called


@dataclass
class CropSheet:
    """A picture, uint8 (3, H, W), boxes in it, and for every box the crops of all models, by title.

    `captions` has the lines below a model's title: its metric values on the whole picture. `missing` says which metrics
    are not available here, `failures` what could not be computed.
    """

    picture: Tensor
    boxes: list[Region]
    crops: list[dict[str, Tensor]]
    captions: dict[str, list[str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def summary(self) -> list[str]:
        """Which metrics are missing, and the boxes as `parse_box` reads them."""
        return [*self.missing, f"boxes: {' '.join(map(str, self.boxes))}"]


def measure_crops(
    picture: Path | str,
    models: Mapping[str, str | Path],
    *,
    lr: Path | str | None = None,
    without_hr: bool = False,
    boxes: Sequence[Region] = (),
    count: int = 2,
    side: int = 64,
    metrics: Sequence[str] | None = None,
    **how: Any,
) -> CropSheet:
    """Evaluate models, by title, on one HR picture, and cut squares out of what they made of its LR (`lr`, or made).

    `without_hr` the picture is LR itself; boxes are then found, and drawn, on the last model's. Without `boxes`,
    `count` of at most `side` HR pixels are found where most is lost. `metrics` are names; unset, PSNR where there is
    HR. `how` goes to `evaluate`: scale, autoencoder, device, cache, imports. Raises AesopError as `evaluate` does, and
    where models, metrics, boxes and pictures do not fit each other or no model upscaled the picture.
    """
    if lr is not None and without_hr:
        raise AesopError("--lr and --without-hr: the picture is LR already; take one of them.")
    if not without_hr and HR in models:
        raise AesopError(f"A model is called {HR}, as the HR picture is; give it another title, as TITLE=MODEL.")
    names = list(metrics) if metrics is not None else [] if without_hr else ["psnr"]
    for metric in map(metric_named, names):
        if isinstance(metric, SetMetric):
            raise AesopError(f"--metrics: {metric.name} measures whole sets of pictures; leave it out.")
        if metric.needs_hr and without_hr:
            raise AesopError(f"--metrics: {metric.name} compares with an HR picture, and there is none; leave it out.")
    picture = Path(picture)
    name = printable(picture.stem)
    pair = Unreferenced(name, picture) if without_hr else Pair(name, picture, None if lr is None else Path(lr))
    with TemporaryDirectory(prefix="aesop-crops-") as folder:
        evaluation = evaluate(
            models,
            [Benchmark("picture", 1, [pair])],
            metrics=names or ["lr-psnr"],  # which needs nothing, where only pictures are wanted
            sr_folder=Path(folder),
            **how,
        )
        found = next(pictures(evaluation), None)
    failures = [": ".join(filter(None, (each.model, each.metric, each.reason))) for each in evaluation.failures]
    if found is None or (found.hr is None and not found.sr):
        raise AesopError([*failures, f"{picture}: no model upscaled it"][0])
    sheet = crop_sheet(found, boxes, count, side)
    sheet.captions, sheet.missing = _captions(evaluation, names)
    sheet.failures = failures
    return sheet


def crop_sheet(found: EvaluatedPicture, boxes: Sequence[Region] = (), count: int = 2, side: int = 64) -> CropSheet:
    """Cut boxes, or `count` that are found, out of every model's picture and HR; AesopError for a box outside."""
    shown = {**found.sr} if found.hr is None else {**found.sr, HR: found.hr}
    picture = shown[next(reversed(shown))]
    height, width = picture.shape[-2:]
    for box in boxes:
        inside = box.top + box.side <= height and box.left + box.side <= width
        if not inside or min(box.top, box.left, box.side - 1) < 0:
            raise AesopError(f"box {box}: is not inside the picture of {height} rows and {width} columns.")
    side = max(found.scale, min(side, height, width) // found.scale * found.scale)
    boxes = list(boxes) or detailed_regions(picture, found.lr, count, side)
    return CropSheet(picture, boxes, [{title: box.cut(image) for title, image in shown.items()} for box in boxes])


def draw_crops(sheet: CropSheet, path: Path | str, title: str = "") -> None:
    """Draw the picture with its boxes on the left, each box's crops on the right; raises as `drawn` does."""
    from matplotlib.patches import Rectangle

    titles = list(sheet.crops[0])
    lines = math.ceil(len(titles) / IN_A_LINE)
    columns = math.ceil(len(titles) / lines)
    height, width = sheet.picture.shape[-2:]
    panel, head = 1.35, 0.18 + 0.125 * max(map(len, sheet.captions.values()), default=0)
    tall = len(sheet.boxes) * lines * (panel + 0.04) + lines * head
    wide = min(4.5, max(2.0, tall * width / height))
    with drawn(path, wide + panel * columns, max(tall, wide * height / width + 0.25)) as figure:
        left, right = figure.subfigures(1, 2, width_ratios=(wide, panel * columns), squeeze=False)[0]
        whole = left.subplots()
        drawing = show(whole, shrunk(to_float(sheet.picture), wide), title)
        # Axes in pixels of the whole picture, whatever it was shrunk to; a pixel's middle is a whole number.
        drawing.set_extent((-0.5, width - 0.5, height - 0.5, -0.5))
        grid = right.subplots(len(sheet.boxes) * lines, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for number, (box, crops) in enumerate(zip(sheet.boxes, sheet.crops, strict=True)):
            colour = COLOURS[(number + 1) % len(COLOURS)]
            corner = (box.left - 0.5, box.top - 0.5)
            whole.add_patch(Rectangle(corner, box.side, box.side, fill=False, color=colour, linewidth=1.4))
            for position, (name, crop) in enumerate(crops.items()):
                axes = grid[number * lines + position // columns, position % columns]
                axes.set_axis_on()
                # Values are of the whole picture: once is enough.
                show(axes, to_float(crop), "\n".join([name, *sheet.captions.get(name, [])]) if number == 0 else "")
                axes.spines[:].set(color=colour, linewidth=1.4)


def parse_box(text: str) -> Region:
    """Read TOP,LEFT,SIDE in HR pixels; AesopError for anything else."""
    try:
        top, left, side = (int(number) for number in text.split(","))
    except ValueError as error:
        raise AesopError(f"box {text}: is not TOP,LEFT,SIDE, three whole numbers of HR pixels.") from error
    return Region(top, left, side)


def _captions(evaluation: Evaluation, names: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """A line a metric for every model, the best value starred; and why metrics are not available."""
    (table,) = tabulate(evaluation)
    captions: dict[str, list[str]] = {row.title: [] for row in table.models}
    missing = []
    for metric in (METRICS[name] for name in names):
        reason = evaluation.result(table.models[0].title, table.benchmark, metric.name).unavailable
        if reason and all(row.cells[metric.name].text == NOTHING for row in table.models):
            missing.append(f"{metric.title}: {reason}")
            continue
        for row in table.models:
            cell = row.cells[metric.name]
            unit = "" if cell.text == NOTHING else metric.unit
            captions[row.title].append(
                " ".join(filter(None, (metric.title, cell.text, unit, "*" if cell.marked else "")))
            )
    return captions, missing
