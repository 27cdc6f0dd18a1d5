"""Notes at the points of a plot, where they cover neither each other nor the points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

#: How far a note stands from its point, in points of 1/72 inch, and the directions that are tried, in degrees from the
#: one that leads away from the curve.
DISTANCE = 7
TURNS = (0, 45, -45, 90, -90, 135, -135, 180)


@dataclass(frozen=True)
class Note:
    """A text at the point `at` of a curve whose next point is `neighbour`."""

    text: str
    at: tuple[float, float]
    neighbour: tuple[float, float]
    colour: str


def place_notes(axes: Any, notes: Sequence[Note]) -> None:
    """Write every note beside its point, away from its curve where there is room; those of one place stand once.

    The axes must have been laid out (`Figure.draw_without_rendering`).
    """
    import numpy as np

    renderer = axes.figure.canvas.get_renderer()
    curves = [axes.transData.transform(np.column_stack(artist.get_data())) for artist in axes.get_lines()]
    dots = [dot for curve in curves for dot in _along(curve)]
    taken = [text.get_window_extent(renderer) for text in axes.texts]
    for at, texts in _by_place(notes).items():
        first = texts[0]
        here, there = (axes.transData.transform(place) for place in (first.at, first.neighbour))
        away = math.atan2(here[1] - there[1], here[0] - there[0])
        text = ", ".join(dict.fromkeys(note.text for note in texts))
        colour = first.colour if len(texts) == 1 else "#444444"
        best: tuple[float, Any, Any] | None = None
        for turn in TURNS:
            drawing = _write(axes, text, at, away + math.radians(turn), colour)
            box = drawing.get_window_extent(renderer)
            cost = _cost(box, taken, dots, axes.bbox)
            if best is None or cost < best[0]:
                if best is not None:
                    best[1].remove()
                best = (cost, drawing, box)
            else:
                drawing.remove()
            if cost == 0:
                break
        if best is not None:
            taken.append(best[2])


def _by_place(notes: Sequence[Note]) -> dict[tuple[float, float], list[Note]]:
    places: dict[tuple[float, float], list[Note]] = {}
    for note in notes:
        places.setdefault(note.at, []).append(note)
    return places


def _write(axes: Any, text: str, at: tuple[float, float], angle: float, colour: str) -> Any:
    x, y = math.cos(angle), math.sin(angle)
    drawing = axes.annotate(
        text,
        at,
        (DISTANCE * x, DISTANCE * y),
        textcoords="offset points",
        horizontalalignment="left" if x > 0.4 else "right" if x < -0.4 else "center",
        verticalalignment="bottom" if y > 0.4 else "top" if y < -0.4 else "center",
        fontsize=7,
        color=colour,
    )
    drawing.set_in_layout(False)
    return drawing


def _along(curve: Any) -> list[tuple[float, float]]:
    """Points of a polygon line, twenty a section."""
    dots = [(float(x), float(y)) for x, y in curve[:1]]
    for (x0, y0), (x1, y1) in pairwise(curve):
        dots += [(x0 + (x1 - x0) * i / 20, y0 + (y1 - y0) * i / 20) for i in range(1, 21)]
    return dots


def _cost(box: Any, taken: Sequence[Any], dots: Sequence[tuple[float, float]], frame: Any) -> float:
    """How much a note's box covers: other notes count most, then what leaves the frame, then curves."""
    overlapping = sum(box.overlaps(other) for other in taken)
    leaving = box.x0 < frame.x0 or box.x1 > frame.x1 or box.y0 < frame.y0 or box.y1 > frame.y1
    covered = sum(box.x0 - 2 <= x <= box.x1 + 2 and box.y0 - 2 <= y <= box.y1 + 2 for x, y in dots)
    return 1000.0 * overlapping + 500.0 * leaving + covered
