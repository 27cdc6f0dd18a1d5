"""Curves in a report's plot: networks between two others, measured as the others are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from aesop.analysis.curves import Waypoint, between
from aesop.errors import AesopError
from aesop.evaluation.model_names import short_names
from aesop.evaluation.results import Evaluation


@dataclass(frozen=True)
class Curve:
    """Networks between two others, to be joined by a line in the plot; each is called as in `evaluation`."""

    title: str
    points: Sequence[Waypoint]
    evaluation: Evaluation = field(repr=False)


def parse_curves(given: Sequence[str]) -> list[tuple[Path, Path]]:
    """Read `A:B`, two files or run folders; AesopError, before anything is measured, where they are not there."""
    pairs = []
    for text in given:
        # A path may hold colons itself.
        splits = [(Path(text[:i]), Path(text[i + 1 :])) for i, character in enumerate(text) if character == ":"]
        found = next((pair for pair in splits if all(path.exists() for path in pair)), None)
        if found is None:
            raise AesopError(f"--curve {text}: is not of the form A:B with two model files or run folders.")
        if found[0].resolve() == found[1].resolve():
            raise AesopError(f"--curve {text}: names one network twice; name two.")
        pairs.append(found)
    return pairs


def interpolation_curves(pairs: Sequence[tuple[Path, Path]], measure: Callable[[list[str]], Evaluation]) -> list[Curve]:
    """Measure the networks between the two of every pair; raises as `between` and `measure` do."""
    curves = []
    for first, second in pairs:
        names = short_names((first, second))
        title = f"{names[str(first)]} to {names[str(second)]}"
        with TemporaryDirectory(prefix="aesop-curve-") as folder:
            waypoints = between(first, second, Path(folder), "between")
            evaluation = measure([waypoint.model for waypoint in waypoints])
        points = [replace(waypoint, model=label) for waypoint, label in zip(waypoints, evaluation.models, strict=True)]
        curves.append(Curve(title, points, evaluation))
    return curves
