"""Perception-distortion curves (figure 4): a run's checkpoints, or the networks between two, and their evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from aesop.box import resolved
from aesop.errors import AesopError, ModelError
from aesop.evaluation.model_names import BICUBIC, short_names, split_pair, split_title
from aesop.evaluation.results import Evaluation, Note
from aesop.files import printable
from aesop.networks.interpolate import interpolate_to_files
from aesop.networks.loading import load_generator
from aesop.run import Run

ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Curve:
    """The models of a curve, in order, by their note: the iteration or the alpha.

    A single model is a curve of one point, without a note.
    """

    title: str
    models: Mapping[str, str]

    def names(self) -> dict[str, str]:
        """The name of each model outside the curve: the curve's title and its note."""
        return {model: ", ".join(filter(None, (self.title, note))) for note, model in self.models.items()}


@dataclass(frozen=True)
class MeasuredCurve(Curve):
    """A curve whose models were evaluated."""

    evaluation: Evaluation = field(repr=False)

    def notes(self) -> list[Note]:
        """Return the failures of its points, as notes."""
        names = self.names()
        return [
            Note(failure.benchmark, failure.picture, f"{names.get(failure.model or '', self.title)}: {failure.reason}")
            for failure in self.evaluation.failures
        ]


def find_curves(given: Sequence[str], folder: Path, alphas: Sequence[float] = ALPHAS, points: int = 10) -> list[Curve]:
    """Find the models of `[TITLE=]RUN` (at most `points` of its checkpoints), of `[TITLE=]A:B` and of single models.

    `A:B` are the networks between two model files or runs, (1 - alpha) * A + alpha * B, written to `folder`.

    Raises AesopError if two curves have one title or one is neither of these; ModelError as `checkpoints` and `between`
    do.
    """
    _require_alphas(alphas)
    split = [split_title(text) for text in given]
    singles = short_names([text for title, text in split if not title and split_pair(text) is None])
    curves: list[Curve] = []
    for number, (title, text) in enumerate(split):
        if Path(text).is_dir():
            models = {f"iteration {i}": str(path) for i, path in checkpoints(Path(text), points).items()}
        elif (pair := split_pair(text)) is not None:
            title = title or " to ".join(short_names(pair).values())
            models = between(*pair, folder, str(number), alphas)
        elif text == BICUBIC or resolved(text).exists():
            models = {"": text}
        else:
            raise AesopError(f"{text}: is neither a run folder, nor a model file, nor A:B with two of them.")
        title = printable(title or singles[text])
        if any(curve.title == title for curve in curves):
            raise AesopError(f"two methods are called {title}; give them titles, as TITLE=METHOD.")
        curves.append(Curve(title, models))
    return curves


def open_curves(given: Sequence[str], folder: Path) -> tuple[list[Curve], int | None]:
    """Find the curves `[TITLE=]RUN` and `[TITLE=]A:B` of a report, and the scale of all their networks.

    Every network is loaded, so that a damaged one is named before anything is measured. The scale is None without
    a curve. Raises AesopError as `find_curves` does, for single models, and for several scales.
    """
    curves = find_curves(given, folder)
    scales: dict[int, str] = {}
    for curve in curves:
        if len(curve.models) == 1:
            raise AesopError(f"--curve {curve.title}: is a single model; name a run folder, or A:B with two networks.")
        for model in curve.models.values():
            scales.setdefault(load_generator(model).scale, curve.title)
    if len(scales) > 1:
        scaled = " and ".join(f"{title} is of scale {scale}" for scale, title in scales.items())
        raise AesopError(f"--curve: {scaled}; draw each scale by itself.")
    # Beside the run's own network in a legend, the run's name alone would be another one's.
    titled = [
        replace(curve, title=f"{curve.title}'s training") if Path(split_title(text)[1]).is_dir() else curve
        for curve, text in zip(curves, given, strict=True)
    ]
    return titled, next(iter(scales), None)


def evaluate_curves(curves: Sequence[Curve], measure: Callable[[Mapping[str, str]], Evaluation]) -> list[MeasuredCurve]:
    """Evaluate each curve's models by `measure(models by title)`; raises as it does."""
    return [MeasuredCurve(c.title, c.models, measure({model: model for model in c.models.values()})) for c in curves]


def checkpoints(run: Path | str, most: int = 10) -> dict[int, Path]:
    """Find the networks along a run's perceptual stage by iteration: its start, then at most `most` snapshots.

    Snapshots are evenly spaced, the last among them. Raises ModelError if there are none.
    """
    snapshots = list(Run(run).stage("perceptual").snapshots().items())
    count = min(most, len(snapshots))
    chosen = dict(snapshots[round((i + 1) * len(snapshots) / count) - 1] for i in range(count))
    start = Run(run).fidelity()
    return chosen if start is None else {0: start, **chosen}


def between(first: Path, second: Path, folder: Path, name: str, alphas: Sequence[float] = ALPHAS) -> dict[str, str]:
    """Write the networks between two to `folder`/`name`, numbered; alphas 0 and 1 are the two themselves.

    Raises ModelError as `interpolate_files` does, and if the two are one.
    """
    parents = {alpha: Run(p).generator() if p.is_dir() else p for alpha, p in ((0.0, first), (1.0, second))}
    if parents[0.0].resolve() == parents[1.0].resolve():
        raise ModelError(f"{first} and {second}: are one network; name two.")
    paths = {alpha: folder / name / f"{number:02d}.safetensors" for number, alpha in enumerate(alphas)} | parents
    if mixed := {paths[alpha]: alpha for alpha in alphas if alpha not in parents}:
        interpolate_to_files(first, second, mixed)
    return {f"alpha {alpha:.12g}": str(paths[alpha]) for alpha in alphas}


def _require_alphas(alphas: Sequence[float]) -> None:
    """Raise AesopError unless there are alphas, all from 0 to 1 and none twice."""
    given = ",".join(f"{alpha:.12g}" for alpha in alphas)
    if not alphas:
        raise AesopError("--alphas: none given; give some, such as 0,0.5,1.")
    for alpha in alphas:
        if not 0 <= alpha <= 1:
            raise AesopError(f"--alphas {given}: {alpha:g} is not between 0 and 1; choose one that is.")
        if sum(alpha == other for other in alphas) > 1:
            raise AesopError(f"--alphas {given}: {alpha:g} is given twice; leave one out.")
