"""The networks along a perception-distortion curve: a run's checkpoints, or those between two networks (figure 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aesop.errors import AesopError, ModelError
from aesop.evaluation.model_names import BICUBIC, short_names, split_pair, split_title
from aesop.files import printable
from aesop.networks.interpolate import interpolate_to_files
from aesop.networks.loading import load_generator
from aesop.run import Run

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Waypoint:
    """A model on a curve, and what tells it from the others: its iteration or the second network's share."""

    note: str
    model: str


@dataclass(frozen=True)
class Route:
    """The networks that a curve joins, in its order; one alone is a point. `of_run` are a run's checkpoints."""

    title: str
    waypoints: list[Waypoint]
    of_run: bool = False


def find_routes(given: Sequence[str], folder: Path, shares: Sequence[float] = SHARES, points: int = 10) -> list[Route]:
    """Find the networks of `[TITLE=]RUN` (at most `points` of its checkpoints), of `A:B` and of single models.

    `A:B` are the networks between two model files or runs, at `shares` of B, written to `folder`; a single model is
    `bicubic` or a model file.

    Raises:
        AesopError: if two have one title, or one is neither of these; ModelError as `checkpoints` and `between` do.

    """
    split = [split_title(text) for text in given]
    singles = short_names([text for title, text in split if not title and split_pair(text) is None])
    routes: list[Route] = []
    for number, (title, text) in enumerate(split):
        pair, of_run = split_pair(text), Path(text).is_dir()
        if pair is not None and not of_run:
            title = title or " to ".join(short_names(pair).values())
            waypoints = between(*pair, folder, str(number), shares)
        elif of_run:
            waypoints = checkpoints(Path(text), points)
        elif text == BICUBIC or Path(text).exists():
            waypoints = [Waypoint("", text)]
        else:
            raise AesopError(f"{text}: is neither a run folder, nor a model file, nor A:B with two of them.")
        title = printable(title or singles[text])
        if any(route.title == title for route in routes):
            raise AesopError(f"two methods are called {title}; name them apart, as TITLE=METHOD.")
        routes.append(Route(title, waypoints, of_run))
    return routes


def checkpoints(run: Path, most: int = 10) -> list[Waypoint]:
    """Find at most `most` snapshots of a run's perceptual stage, evenly spaced, the last among them, after its start.

    Raises:
        ModelError: if it has no snapshots.

    """
    snapshots = list(Run(run).stage("perceptual").snapshots().items())
    count = min(most, len(snapshots))
    chosen = [snapshots[round((i + 1) * len(snapshots) / count) - 1] for i in range(count)]
    waypoints = [Waypoint(f"iteration {iteration}", str(path)) for iteration, path in chosen]
    start = Run(run).fidelity()
    return waypoints if start is None else [Waypoint("iteration 0", str(start)), *waypoints]


def between(first: Path, second: Path, folder: Path, name: str, shares: Sequence[float] = SHARES) -> list[Waypoint]:
    """Write the networks between two to `folder`/`name`, numbered; shares 0 and 1 are the two themselves.

    Raises ModelError for shares as `require_shares` does, before anything is written, and as `interpolate_files` does.
    """
    require_shares(shares)
    parents = {0.0: load_generator(first).path, 1.0: load_generator(second).path}
    if parents[0.0].resolve() == parents[1.0].resolve():
        raise ModelError(f"{first} and {second}: are one network; name two.")
    paths = [parents.get(share, folder / name / f"{number:02d}.safetensors") for number, share in enumerate(shares)]
    mixed = {path: share for path, share in zip(paths, shares, strict=True) if share not in parents}
    if mixed:
        interpolate_to_files(first, second, mixed)
    return [Waypoint(f"share {share:.12g}", str(path)) for path, share in zip(paths, shares, strict=True)]


def require_shares(shares: Sequence[float]) -> None:
    """Raise ModelError unless there are shares of a second network, all from 0 to 1 and none twice."""
    given = ",".join(f"{share:.12g}" for share in shares)
    if not shares:
        raise ModelError("shares: there are none; name some, such as 0,0.5,1.")
    for share in shares:
        if not 0 <= share <= 1:
            raise ModelError(f"shares {given}: {share:g} is not between 0 and 1; choose one that is.")
        if sum(share == other for other in shares) > 1:
            raise ModelError(f"shares {given}: {share:g} stands there twice; leave one out.")
