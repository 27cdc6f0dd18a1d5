"""What a table says in words: who is better, where, and where nobody can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aesop.evaluation.evaluate import Evaluation
from aesop.metrics import METRICS
from aesop.words import listed

#: Differences of means below these are called ties. Twice the standard deviation of the twins' difference over three
#: seeds of the perceptual stage is 0.025, 0.0004, 0.42, 0.07 and 0.0075 (recipe `laptop`, held-out pictures of
#: the demo); rounded up, since three seeds tell a deviation badly.
NOISE = {"psnr": 0.05, "ssim": 0.002, "lr-psnr": 0.8, "ae-psnr": 0.10, "lpips-proxy": 0.015}


@dataclass(frozen=True)
class Difference:
    """One metric of two models on one benchmark."""

    metric: str
    ours: float
    other: float
    #: By how much ours is better on each picture, in the metric's unit; negative where it is worse.
    gains: tuple[float, ...]

    @property
    def gain(self) -> float:
        """By how much ours is better on average."""
        return self.ours - self.other if METRICS[self.metric].higher_is_better else self.other - self.ours

    @property
    def outcome(self) -> str:
        """`better`, `worse` or `tie`: only a difference beyond noise and of one sign on every picture counts."""
        if abs(self.gain) < NOISE.get(self.metric, 0.0):
            return "tie"
        if all(gain > 0 for gain in self.gains):
            return "better"
        return "worse" if all(gain < 0 for gain in self.gains) else "tie"

    @property
    def change(self) -> str:
        """Ours less the other, with its sign, in the metric's unit."""
        metric = METRICS[self.metric]
        signed = f"{self.ours - self.other:+.{metric.digits}f}".replace("-", "−")
        return f"{signed} {metric.unit}" if metric.unit else signed

    @property
    def reason(self) -> str:
        """Why it is a win, a loss or a tie."""
        count, won = len(self.gains), sum(gain > 0 for gain in self.gains)
        if self.outcome == "tie" and abs(self.gain) < NOISE.get(self.metric, 0.0):
            return f"tie: below the noise of {NOISE[self.metric]:g}"
        if self.outcome == "tie":
            return f"tie: better on {won} of {count} pictures"
        where = {1: "the only picture", 2: "both pictures"}.get(count, f"all {count} pictures")
        return f"{self.outcome} on {where}"


def differences(evaluation: Evaluation, benchmark: str, ours: str, other: str) -> list[Difference]:
    """Compare two models by every metric that both were measured by."""
    found = []
    for metric in evaluation.metrics:
        pair = [evaluation.result(model, benchmark, metric) for model in (ours, other)]
        both = [
            (first, second)
            for name, first in pair[0].pictures.items()
            if first is not None and (second := pair[1].pictures.get(name)) is not None
        ]
        if both:
            sign = 1 if METRICS[metric].higher_is_better else -1
            first_mean, second_mean = (sum(values) / len(both) for values in zip(*both, strict=True))
            gains = tuple(sign * (first - second) for first, second in both)
            found.append(Difference(metric, first_mean, second_mean, gains))
    return found


def headline(compared: Sequence[Difference], ours: str, other: str) -> str:
    """Say in a sentence who won by which metrics; it is as ready to say that `ours` lost."""
    better, worse, ties = (
        [METRICS[d.metric].title for d in compared if d.outcome == outcome] for outcome in ("better", "worse", "tie")
    )
    even = f" {listed(ties)} {'is a tie' if len(ties) == 1 else 'are ties'}." if ties else ""
    if not compared:
        return f"{ours} and {other} could not be compared: nothing was measured for both."
    if better and worse:
        return f"A mixed result: {ours} is better in {listed(better)}, {other} in {listed(worse)}.{even}"
    if better:
        return f"{ours} is better than {other} in {listed(better)}" + (
            f";{even}" if even else ", in all that was measured."
        )
    if worse:
        return f"{ours} did not win: {other} is better in {listed(worse)}.{even}"
    return f"{ours} did not win, and neither did {other}: no difference exceeds the noise."


def best_models(evaluation: Evaluation, benchmark: str, metric: str, models: Sequence[str]) -> list[str]:
    """Return the models with the best mean, as printed; none where fewer than two were measured."""
    described = METRICS[metric]
    means = {model: evaluation.result(model, benchmark, metric).mean for model in models}
    rounded = {model: round(mean, described.digits) for model, mean in means.items() if mean is not None}
    if len(rounded) < 2:
        return []
    best = (max if described.higher_is_better else min)(rounded.values())
    return [model for model, value in rounded.items() if value == best]
