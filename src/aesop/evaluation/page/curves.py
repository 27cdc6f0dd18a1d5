"""Curves in a report's plot: networks between two others, or a run's checkpoints, measured as the models are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from aesop.errors import AesopError
from aesop.evaluation.model_names import short_names, split_pair
from aesop.evaluation.results import Evaluation
from aesop.evaluation.waypoints import Waypoint, between, checkpoints
from aesop.networks.loading import load_generator


@dataclass(frozen=True)
class Route:
    """Networks of one scale that a curve joins, in its order."""

    title: str
    scale: int
    waypoints: Sequence[Waypoint]


@dataclass(frozen=True)
class Curve:
    """A route that was measured; each of its points is called as in `evaluation`."""

    title: str
    points: Sequence[Waypoint]
    evaluation: Evaluation = field(repr=False)


def open_routes(given: Sequence[str], folder: Path) -> list[Route]:
    """Find a run's checkpoints for every `RUN`, and write the networks between the two of every `A:B` to `folder`.

    Raises AesopError where there is no such run or model, and as `checkpoints` and `between` do.
    """
    routes = []
    for number, text in enumerate(given):
        pair = _pair(text)
        if pair is None:
            run = Path(text)
            waypoints = checkpoints(run)
            title = f"{short_names([run])[text]}'s training"
        else:
            waypoints = between(*pair, folder, f"between-{number}")
            title = " to ".join(short_names(pair).values())
        routes.append(Route(title, load_generator(Path(waypoints[-1].model)).scale, waypoints))
    return routes


def _pair(text: str) -> tuple[Path, Path] | None:
    """The two of `A:B`; None for one run folder."""
    if Path(text).is_dir():
        return None
    found = split_pair(text)
    if found is None:
        raise AesopError(
            f"--curve {text}: is neither a run folder nor of the form A:B with two model files or run folders."
        )
    if found[0].resolve() == found[1].resolve():
        raise AesopError(f"--curve {text}: names one network twice; name two.")
    return found


def common_scale(routes: Sequence[Route]) -> int | None:
    """The scale of all routes, None without one; AesopError if they are of several."""
    for route in routes:
        if route.scale != routes[0].scale:
            raise AesopError(
                f"--curve: {routes[0].title} is of scale {routes[0].scale}, {route.title} of {route.scale}; "
                "draw each scale by itself."
            )
    return routes[0].scale if routes else None


def measure_routes(routes: Sequence[Route], measure: Callable[[list[str]], Evaluation]) -> list[Curve]:
    """Measure the networks of every route; raises as `measure` does."""
    curves = []
    for route in routes:
        evaluation = measure([waypoint.model for waypoint in route.waypoints])
        labelled = zip(route.waypoints, evaluation.models, strict=True)
        curves.append(Curve(route.title, [replace(waypoint, model=label) for waypoint, label in labelled], evaluation))
    return curves
