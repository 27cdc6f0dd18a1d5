"""What a report says in words: how the last network differs from the one that all are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from aesop.evaluation.model_names import BICUBIC
from aesop.evaluation.results import Evaluation, PairedDifference
from aesop.evaluation.tabulate import OUTCOMES, Outcome, outcome_of, signed
from aesop.metrics import METRICS
from aesop.report.markup import breakable, named
from aesop.words import listed

#: More benchmarks are counted metric by metric, not told one by one.
MANY = 3


@dataclass(frozen=True)
class Clause:
    """A part of a sentence, and what it tells of; `open` is what nobody can tell."""

    outcome: Outcome
    text: str


@dataclass(frozen=True)
class Message:
    """Two models, how many networks there are beside them, and what there is to say of each benchmark.

    Where benchmarks are many, of each metric.
    """

    model: str
    against: str
    others: int
    sentences: Sequence[tuple[str, Sequence[Clause]]]


def told_of(evaluation: Evaluation) -> Message | None:
    """Compare the last network with `evaluation.against`; None where there is no other network or nothing to compare.

    Only a 95 % interval that excludes 0 makes a difference better or worse; what has no interval stays open.
    """
    against = evaluation.against or evaluation.models[0]
    networks = [model for model in evaluation.models if model not in (BICUBIC, against)]
    if not networks:
        return None
    found = [difference for difference in evaluation.differences() if difference.model == networks[-1]]
    benchmarks = list(dict.fromkeys(difference.benchmark for difference in found))
    if len(benchmarks) > MANY:
        metrics = list(dict.fromkeys(difference.metric for difference in found))
        sentences = [(METRICS[name].title, _of_metric([d for d in found if d.metric == name])) for name in metrics]
    else:
        sentences = [(name, _of_benchmark([d for d in found if d.benchmark == name])) for name in benchmarks]
    return Message(networks[-1], against, len(networks) - 1, sentences) if sentences else None


def _of_benchmark(found: Sequence[PairedDifference]) -> list[Clause]:
    """`better in LR-PSNR +0.48 dB (+0.41 to +0.54) and SSIM ...`, and what else there is to say of one benchmark."""
    clauses = []
    for outcome, those in _parted(found):
        titles = listed([METRICS[difference.metric].title for difference in those])
        text = {
            "better": f"better in {listed(list(map(_figures, those)))}",
            "worse": f"worse in {listed(list(map(_figures, those)))}",
            "even": f"no difference that these pictures could tell in {titles}",
            "open": f"no interval, and so no verdict, in {titles}",
        }
        clauses.append(Clause(outcome, text[outcome]))
    return clauses


def _of_metric(found: Sequence[PairedDifference]) -> list[Clause]:
    """`better on Set5 and Set14`, `worse on BSD100`, and so on of one metric."""
    start = {"better": "better on", "worse": "worse on", "even": "undecided on", "open": "no interval on"}
    return [
        Clause(
            outcome, f"{start[outcome]} {'all' if len(those) == len(found) else listed([d.benchmark for d in those])}"
        )
        for outcome, those in _parted(found)
    ]


def _parted(found: Sequence[PairedDifference]) -> list[tuple[Outcome, list[PairedDifference]]]:
    """Differences by their outcome, those that there are."""
    parts: list[tuple[Outcome, list[PairedDifference]]] = [
        (outcome, [d for d in found if outcome_of(d) == outcome]) for outcome in OUTCOMES
    ]
    return [(outcome, those) for outcome, those in parts if those]


def _figures(found: PairedDifference) -> str:
    """`LR-PSNR +0.48 dB (+0.41 to +0.54)`."""
    metric = METRICS[found.metric]
    numbers = (found.difference, *(found.interval or ()))
    number, *ends = (signed(one, metric.digits).replace("-", "\N{MINUS SIGN}") for one in numbers)
    return " ".join(filter(None, (metric.title, number, metric.unit, f"({' to '.join(ends)})")))


def message(evaluation: Evaluation) -> str:
    """What `told_of` finds, as markup; empty where there is none."""
    told = told_of(evaluation)
    if told is None:
        return ""
    names = {name: f"<b>{named(evaluation, name)}</b>" for name in (told.model, told.against)}
    sentences = "".join(
        f"<li><b>{breakable(title)}</b>: {'; '.join(map(_clause, clauses))}.</li>" for title, clauses in told.sentences
    )
    others = f" The tables tell of {told.others} more network{'s' if told.others > 1 else ''}." if told.others else ""
    return (
        f'<div class="message"><p>{names[told.model]} against {names[told.against]}</p>\n<ul>{sentences}</ul>\n'
        '<p class="note">The last network against the one that all are compared with: mean differences picture by '
        f"picture, with 95 % intervals; better or worse is only what these tell from 0.{others}</p></div>"
    )


def _clause(clause: Clause) -> str:
    sign = {"better": "▲ ", "worse": "▼ "}.get(clause.outcome)
    if sign is None:
        return f'<span class="{clause.outcome}">{escape(clause.text)}</span>'
    told = clause.text.removeprefix(clause.outcome)
    return f'<b class="{clause.outcome}">{sign}{clause.outcome}</b>{escape(told)}'
