"""Perception-distortion curves (figure 4): a run's checkpoints, or the networks between two, and their evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from aesop.errors import AesopError, ModelError
from aesop.evaluation.model_names import BICUBIC, short_names, split_pair, split_title
from aesop.evaluation.results import Evaluation, Note
from aesop.files import printable
from aesop.networks.interpolate import interpolate_to_files
from aesop.networks.loading import load_generator
from aesop.run import Run

ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class CurvePoint:
    """A model on a curve; `note` tells it from the others: its iteration or its alpha."""

    note: str
    model: str


@dataclass(frozen=True)
class Curve:
    """The models that a curve joins, in its order; a single model is a curve of one point."""

    title: str
    points: Sequence[CurvePoint]
    of_run: bool = False


@dataclass(frozen=True)
class MeasuredCurve(Curve):
    """A curve whose models were evaluated; `evaluation` names each as its point does."""

    evaluation: Evaluation = field(repr=False, kw_only=True)

    def notes(self) -> list[Note]:
        """What could not be measured of its points."""
        known = {point.model: f"{self.title}, {point.note}" for point in self.points}
        return [
            Note(failure.benchmark, failure.picture, f"{known.get(failure.model or '', self.title)}: {failure.reason}")
            for failure in self.evaluation.failures
        ]


def find_curves(given: Sequence[str], folder: Path, alphas: Sequence[float] = ALPHAS, points: int = 10) -> list[Curve]:
    """Find the models of `[TITLE=]RUN` (at most `points` of its checkpoints), of `[TITLE=]A:B` and of single models.

    `A:B` are the networks between two model files or runs, (1 - alpha) * A + alpha * B, written to `folder`.

    Raises AesopError if two curves have one title or one is neither of these; ModelError as `checkpoints` and `between`
    do.
    """
    split = [split_title(text) for text in given]
    singles = short_names([text for title, text in split if not title and split_pair(text) is None])
    curves: list[Curve] = []
    for number, (title, text) in enumerate(split):
        pair, of_run = split_pair(text), Path(text).is_dir()
        if pair is not None and not of_run:
            title = title or " to ".join(short_names(pair).values())
            found = between(*pair, folder, str(number), alphas)
        elif of_run:
            found = [CurvePoint(f"iteration {i}", str(path)) for i, path in checkpoints(Path(text), points).items()]
        elif text == BICUBIC or Path(text).exists():
            found = [CurvePoint("", text)]
        else:
            raise AesopError(f"{text}: is neither a run folder, nor a model file, nor A:B with two of them.")
        title = printable(title or singles[text])
        if any(curve.title == title for curve in curves):
            raise AesopError(f"two methods are called {title}; give them titles, as TITLE=METHOD.")
        curves.append(Curve(title, found, of_run))
    return curves


def open_curves(given: Sequence[str], folder: Path) -> tuple[list[Curve], int | None]:
    """Find the curves `[TITLE=]RUN` and `[TITLE=]A:B` of a report, and the scale of all their networks.

    Every network is loaded once, so that a damaged one is named before anything is measured. The scale is None without
    a curve. Raises AesopError as `find_curves` does, for single models, and for several scales.
    """
    curves = find_curves(given, folder)
    scales: dict[int, str] = {}
    for curve in curves:
        if len(curve.points) == 1:
            raise AesopError(f"--curve {curve.title}: is a single model; name a run folder, or A:B with two networks.")
        for point in curve.points:
            scales.setdefault(load_generator(Path(point.model)).scale, curve.title)
    if len(scales) > 1:
        scaled = " and ".join(f"{title} is of scale {scale}" for scale, title in scales.items())
        raise AesopError(f"--curve: {scaled}; draw each scale by itself.")
    # Beside the run's own network in a legend, the run's name alone would be another one's.
    named = [replace(curve, title=f"{curve.title}'s training") if curve.of_run else curve for curve in curves]
    return named, next(iter(scales), None)


def evaluate_curves(curves: Sequence[Curve], measure: Callable[[Mapping[str, str]], Evaluation]) -> list[MeasuredCurve]:
    """Evaluate each curve's models by `measure(models by title)`; raises as it does."""
    return [
        MeasuredCurve(c.title, c.points, c.of_run, evaluation=measure({point.model: point.model for point in c.points}))
        for c in curves
    ]


def checkpoints(run: Path, most: int = 10) -> dict[int, Path]:
    """Find the networks along a run's perceptual stage by iteration: its start, then at most `most` snapshots.

    Snapshots are evenly spaced, the last among them. Raises ModelError if there are none.
    """
    snapshots = list(Run(run).stage("perceptual").snapshots().items())
    count = min(most, len(snapshots))
    chosen = dict(snapshots[round((i + 1) * len(snapshots) / count) - 1] for i in range(count))
    start = Run(run).fidelity()
    return chosen if start is None else {0: start, **chosen}


def between(first: Path, second: Path, folder: Path, name: str, alphas: Sequence[float] = ALPHAS) -> list[CurvePoint]:
    """Write the networks between two to `folder`/`name`, numbered; alphas 0 and 1 are the two themselves.

    Raises ModelError for alphas as `require_alphas` does, before anything is written, and as `interpolate_files` does.
    """
    require_alphas(alphas)
    parents = {0.0: load_generator(first).path, 1.0: load_generator(second).path}
    if parents[0.0].resolve() == parents[1.0].resolve():
        raise ModelError(f"{first} and {second}: are one network; name two.")
    paths = [parents.get(alpha, folder / name / f"{number:02d}.safetensors") for number, alpha in enumerate(alphas)]
    mixed = {path: alpha for path, alpha in zip(paths, alphas, strict=True) if alpha not in parents}
    if mixed:
        interpolate_to_files(first, second, mixed)
    return [CurvePoint(f"alpha {alpha:.12g}", str(path)) for path, alpha in zip(paths, alphas, strict=True)]


def require_alphas(alphas: Sequence[float]) -> None:
    """Raise ModelError unless there are alphas, all from 0 to 1 and none twice."""
    given = ",".join(f"{alpha:.12g}" for alpha in alphas)
    if not alphas:
        raise ModelError("alphas: none given; give some, such as 0,0.5,1.")
    for alpha in alphas:
        if not 0 <= alpha <= 1:
            raise ModelError(f"alphas {given}: {alpha:g} is not between 0 and 1; choose one that is.")
        if sum(alpha == other for other in alphas) > 1:
            raise ModelError(f"alphas {given}: {alpha:g} is given twice; leave one out.")
