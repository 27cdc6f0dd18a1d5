"""Labels at the ends of curves that do not cover each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DISTANCE = 7  #: of a label from its point, in 1/72 inch
TURNS = (0, 45, -45, 90, -90, 135, -135, 180)  #: directions to try, in degrees from the one away from the curve


@dataclass(frozen=True)
class Label:
    """A text at the point `at` of a curve whose next point is `neighbour`."""

    text: str
    at: tuple[float, float]
    neighbour: tuple[float, float]
    colour: str


def place_labels(axes: Any, labels: Sequence[Label]) -> None:
    """Write every label beside its point, away from its curve where there is room; those of one point stand once.

    The axes must have been laid out (`Figure.draw_without_rendering`).
    """
    renderer = axes.figure.canvas.get_renderer()
    curves = [curve.get_path().transformed(axes.transData) for curve in axes.get_lines()]
    taken = [text.get_window_extent(renderer) for text in axes.texts]
    for at in dict.fromkeys(label.at for label in labels):
        own = [label for label in labels if label.at == at]
        here, there = (axes.transData.transform(point) for point in (at, own[0].neighbour))
        away = math.atan2(here[1] - there[1], here[0] - there[0])
        text = ", ".join(dict.fromkeys(label.text for label in own))
        colour = own[0].colour if len(own) == 1 else "#444444"
        drawings = [_write(axes, text, at, away + math.radians(turn), colour) for turn in TURNS]
        boxes = [drawing.get_window_extent(renderer) for drawing in drawings]
        costs = [
            9 * sum(box.overlaps(other) for other in taken)
            + 3 * (box.x0 < axes.bbox.x0 or box.x1 > axes.bbox.x1 or box.y0 < axes.bbox.y0 or box.y1 > axes.bbox.y1)
            + any(curve.intersects_bbox(box, filled=False) for curve in curves)
            for box in boxes
        ]
        best = costs.index(min(costs))
        taken.append(boxes[best])
        for drawing in drawings[:best] + drawings[best + 1 :]:
            drawing.remove()


def _write(axes: Any, text: str, at: tuple[float, float], angle: float, colour: str) -> Any:
    x, y = math.cos(angle), math.sin(angle)
    drawing = axes.annotate(
        text, at, (DISTANCE * x, DISTANCE * y), textcoords="offset points", fontsize=7, color=colour,
        horizontalalignment="left" if x > 0.4 else "right" if x < -0.4 else "center",
        verticalalignment="bottom" if y > 0.4 else "top" if y < -0.4 else "center",
    )  # fmt: skip
    drawing.set_in_layout(False)
    return drawing
