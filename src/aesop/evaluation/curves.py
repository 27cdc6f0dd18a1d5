"""Curves in a report's plot: networks between two others, or a run's checkpoints, measured as the models are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from aesop.errors import AesopError
from aesop.evaluation.model_names import first_of
from aesop.evaluation.results import Evaluation, Note
from aesop.evaluation.waypoints import Route, Waypoint, find_routes
from aesop.networks.loading import load_generator


@dataclass(frozen=True)
class Curve:
    """A route that was measured; each of its points is called as in `evaluation`."""

    title: str
    points: Sequence[Waypoint]
    evaluation: Evaluation = field(repr=False)

    def notes(self) -> list[Note]:
        """What went wrong on the way: such a point is not drawn, or not in these metrics."""
        known = {point.model: f"{self.title}, {point.note}" for point in self.points}
        return [
            Note(failure.benchmark, failure.picture, f"{known.get(failure.model or '', self.title)}: {failure.reason}")
            for failure in self.evaluation.failures
        ]


def open_routes(given: Sequence[str], folder: Path) -> tuple[list[Route], int | None]:
    """Find the curves `[TITLE=]RUN` and `[TITLE=]A:B`, and the scale of all their networks, None without a curve.

    Everything is loaded once, so that a network that cannot be is told before anything is measured. Raises AesopError
    as `find_routes` does, for single models, and for several scales.
    """
    routes = find_routes(given, folder)
    scales: dict[int, str] = {}
    for route in routes:
        if len(route.waypoints) == 1:
            raise AesopError(f"--curve {route.title}: is a single model; name a run folder, or A:B with two networks.")
        for waypoint in route.waypoints:
            scales.setdefault(load_generator(Path(waypoint.model)).scale, route.title)
    if len(scales) > 1:
        told = " and ".join(f"{title} is of scale {scale}" for scale, title in scales.items())
        raise AesopError(f"--curve: {told}; draw each scale by itself.")
    # Beside the run's own network in a legend, the run's name alone would be another one's.
    named = [replace(route, title=f"{route.title}'s training") if route.of_run else route for route in routes]
    return named, next(iter(scales), None)


def measure_routes(routes: Sequence[Route], measure: Callable[[Mapping[str, str]], Evaluation]) -> list[Curve]:
    """Measure the networks of every route; raises as `measure` does."""
    curves = []
    for route in routes:
        models = [waypoint.model for waypoint in route.waypoints]
        points = [replace(waypoint, model=first_of(waypoint.model, models)) for waypoint in route.waypoints]
        curves.append(Curve(route.title, points, measure({point.model: point.model for point in points})))
    return curves
