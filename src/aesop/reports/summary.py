"""What a report says in words: a network against its twin, and against the network that its training began as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from aesop.evaluation.model_names import BICUBIC
from aesop.evaluation.results import Evaluation, PairedDifference
from aesop.evaluation.tabulate import OUTCOMES, Outcome, signed
from aesop.metrics import METRICS
from aesop.reports.tables import judged
from aesop.words import listed

#: More benchmarks are counted metric by metric, not told one by one.
MANY = 3

Role = Literal["twin", "start", ""]


@dataclass(frozen=True)
class Clause:
    """A part of a sentence and what it tells of."""

    outcome: Outcome
    text: str


@dataclass(frozen=True)
class Comparison:
    """Two models, what the second is to the first, and what there is to say of each benchmark.

    Where benchmarks are many, of each metric. `below`: the first is worse in the mean of every metric everywhere.
    """

    model: str
    against: str
    role: Role
    sentences: Sequence[tuple[str, Sequence[Clause]]]
    below: bool


def compare(
    evaluation: Evaluation, starts: Mapping[str, str], noise: Mapping[str, float] | None = None
) -> list[Comparison]:
    """What to say of an evaluation, the most telling comparison first; empty where there is nothing to compare.

    The last network is compared with the model that the caller named (`evaluation.against`), with its twin and with its
    start; with the first model where there is none of these. Other networks follow that are below their own start in
    everything.

    Args:
        evaluation: what was measured.
        starts: the evaluated network that another's perceptual training began as. Networks of one start are twins.
        noise: by metric, differences that another seed of the training makes as well. They count as even.

    """
    against = evaluation.against or evaluation.models[0]
    networks = [model for model in evaluation.models if model not in (BICUBIC, against)]
    if not networks:
        return []
    model = networks[-1]
    start = starts.get(model)
    twins = [other for other in evaluation.models if start and starts.get(other) == start and other != model]
    wanted: dict[str, Role] = {}
    if evaluation.against not in (None, start):
        wanted[against] = "twin" if against in twins else ""
    if twins and against not in twins:
        wanted[twins[-1]] = "twin"
    if start:
        wanted[start] = "start"
    wanted = wanted or {against: ""}
    found = [_compared(evaluation, model, other, role, noise or {}) for other, role in wanted.items()]
    others = [
        _compared(evaluation, other, own, "start", noise or {}) for other, own in starts.items() if other != model
    ]
    return [one for one in found if one.sentences] + [one for one in others if one.below]


def _compared(evaluation: Evaluation, model: str, against: str, role: Role, noise: Mapping[str, float]) -> Comparison:
    found = [d for d in replace(evaluation, against=against).differences() if d.model == model]
    judgements = [(d, judged(d, noise)) for d in found]
    benchmarks = list(dict.fromkeys(d.benchmark for d in found))
    if len(benchmarks) > MANY:
        metrics = list(dict.fromkeys(d.metric for d in found))
        sentences = [
            (METRICS[name].title, _by_metric([j for j in judgements if j[0].metric == name])) for name in metrics
        ]
    else:
        sentences = [(name, _by_benchmark([j for j in judgements if j[0].benchmark == name])) for name in benchmarks]
    known = [d for d in found if METRICS[d.metric].higher_is_better is not None]
    return Comparison(model, against, role, sentences, bool(known) and all(map(_is_below, known)))


def _is_below(found: PairedDifference) -> bool:
    difference = round(found.difference, METRICS[found.metric].digits)
    return difference < 0 if METRICS[found.metric].higher_is_better else difference > 0


_Judged = Sequence[tuple[PairedDifference, Outcome]]


def _by_benchmark(found: _Judged) -> list[Clause]:
    """`better in LR-PSNR +0.48 dB (+0.41 to +0.54) and SSIM ...`, and what else there is to say of one benchmark."""
    clauses = []
    for outcome, those in _parted(found):
        titles = listed([METRICS[difference.metric].title for difference in those])
        texts = {
            "even": f"no difference beyond chance in {titles}",
            "open": f"no interval, and so no verdict, in {titles}",
        }
        clauses.append(Clause(outcome, texts.get(outcome) or f"{outcome} in {listed(list(map(_figures, those)))}"))
    return clauses


def _by_metric(found: _Judged) -> list[Clause]:
    """`better on Set5 and Set14`, `worse on BSD100`, and so on of one metric."""
    start = {"better": "better on", "worse": "worse on", "even": "undecided on", "open": "no interval on"}
    return [
        Clause(
            outcome, f"{start[outcome]} {'all' if len(those) == len(found) else listed([d.benchmark for d in those])}"
        )
        for outcome, those in _parted(found)
    ]


def _parted(found: _Judged) -> list[tuple[Outcome, list[PairedDifference]]]:
    """Differences by their outcome, those that there are."""
    parts: list[tuple[Outcome, list[PairedDifference]]] = [
        (outcome, [difference for difference, own in found if own == outcome]) for outcome in OUTCOMES
    ]
    return [(outcome, those) for outcome, those in parts if those]


def _figures(found: PairedDifference) -> str:
    """`LR-PSNR +0.48 dB (+0.41 to +0.54)`."""
    metric = METRICS[found.metric]
    numbers = (found.difference, *(found.interval or ()))
    number, *ends = (signed(one, metric.digits).replace("-", "\N{MINUS SIGN}") for one in numbers)
    return " ".join(filter(None, (metric.title, number, metric.unit, f"({' to '.join(ends)})")))
