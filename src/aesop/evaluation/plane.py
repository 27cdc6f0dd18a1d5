"""What the perception-distortion plane shows, as figures for paper draw it."""

from __future__ import annotations

from collections.abc import Sequence


def is_near(value: float, others: Sequence[float]) -> bool:
    """Whether an axis that shows `others` need not become more than twice as long to show `value`."""
    if not others:
        return True
    lowest, highest = min(others), max(others)
    return max(highest, value) - min(lowest, value) <= 2 * (highest - lowest)


def belongs(point: tuple[float, float], paths: Sequence[tuple[float, float]]) -> bool:
    """Whether a point beside the points of all paths can be shown without squeezing those on either axis."""
    return all(is_near(value, [path[axis] for path in paths]) for axis, value in enumerate(point))
