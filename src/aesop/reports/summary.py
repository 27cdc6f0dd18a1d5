"""A report's summary in words: a network against its twin, and against the network that its training began as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from aesop.evaluation.model_names import BICUBIC
from aesop.evaluation.results import Evaluation, PairedDifference
from aesop.evaluation.tabulate import OUTCOMES, Outcome, outcome_of
from aesop.metrics import METRICS

#: More benchmarks are counted metric by metric, not told one by one.
MANY = 3

Role = Literal["twin", "start", ""]


#: Differences of one outcome.
Part = tuple[Outcome, list[PairedDifference]]


@dataclass(frozen=True)
class Comparison:
    """Two models, what the second is to the first, and the parts of what there is to say of each benchmark.

    `by_metric`: of each metric, where benchmarks are many. `below`: the first is worse in every mean.
    """

    model: str
    against: str
    role: Role
    sentences: Sequence[tuple[str, Sequence[Part]]]
    by_metric: bool
    below: bool


def compare(evaluation: Evaluation, starts: Mapping[str, str]) -> list[Comparison]:
    """Return the comparisons of an evaluation, the most telling first; none if there is nothing to compare.

    The last network, or else the last folder of SR pictures, is compared with the model that the caller named
    (`evaluation.against`), with its twin and with its start; with the first model where there is none of these. Other
    networks follow that are below their own start in everything.

    Args:
        evaluation: what was measured.
        starts: the evaluated network that another's perceptual training began as. Networks of one start are twins.

    """
    against = evaluation.against or evaluation.models[0]
    others = [model for model in evaluation.models if model not in (BICUBIC, against)]
    if not others:
        return []
    model = ([one for one in others if one not in evaluation.given] or others)[-1]
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
    found = [_compared(evaluation, model, other, role) for other, role in wanted.items()]
    others = [_compared(evaluation, other, own, "start") for other, own in starts.items() if other != model]
    return [one for one in found if one.sentences] + [one for one in others if one.below]


def _compared(evaluation: Evaluation, model: str, against: str, role: Role) -> Comparison:
    results = [result for result in evaluation.results if result.model in (model, against)]
    found = replace(evaluation, against=against, results=results).differences()
    by_metric = len({difference.benchmark for difference in found}) > MANY
    titled: dict[str, list[PairedDifference]] = {}
    for one in found:
        titled.setdefault(METRICS[one.metric].title if by_metric else one.benchmark, []).append(one)
    sentences = [(title, _parts(those)) for title, those in titled.items()]
    known = [difference for difference in found if METRICS[difference.metric].higher_is_better is not None]
    return Comparison(model, against, role, sentences, by_metric, bool(known) and all(map(_is_below, known)))


def _parts(found: Sequence[PairedDifference]) -> list[Part]:
    """Differences by their outcome, those that there are."""
    outcomes = [(outcome_of(difference), difference) for difference in found]
    parts: list[Part] = [(outcome, [one for own, one in outcomes if own == outcome]) for outcome in OUTCOMES]
    return [(outcome, those) for outcome, those in parts if those]


def _is_below(found: PairedDifference) -> bool:
    difference = round(found.difference, METRICS[found.metric].digits)
    return difference < 0 if METRICS[found.metric].higher_is_better else difference > 0
