"""The claims of docs/evidence.md and their verdicts, by the rule in evidence/protocol.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from aesop.metrics import METRICS
from evidence_tables import FIDELITY, SCORES, Study, difference, gaps_at_equal, leaning, sign
from markdown_tables import table

#: Claims of better fidelity at an equal perceptual score: the paper's words and numbers, the method and its control.
BETTER = (
    ("AESOP (c) has more fidelity than 0.01 pixel at no perceptual loss (table 3, DIV2K: PSNR 29.079 against 28.819, "
     "DISTS 0.0518 against 0.0526)", "aesop", "ldl"),
    ("A low-pass filter before the pixel loss is worse than none (table 5, DIV2K: PSNR 28.75 against 28.82, LPIPS "
     "0.1005 against 0.0999)", "ldl", "low-pass"),
    ("AESOP (c) is better than (a) (table 3: PSNR 29.079 against 29.060, DISTS 0.0518 against 0.0521)",
     "aesop", "aesop-a"),
    ("AESOP (a) is better than (b) (table 3: DISTS 0.0521 against 0.0526, but PSNR 29.060 against 29.150)",
     "aesop-a", "aesop-b"),
    ("A weaker auto-encoder is still better than 0.01 pixel (table 5, DIV2K: PSNR 28.97 against 28.82, LPIPS 0.0982 "
     "against 0.0999)", "aesop-compact", "ldl"),
    ("LR consistency has more fidelity than 0.01 pixel at no perceptual loss (not in the paper)",
     "lr-consistency", "ldl"),
    ("AESOP (c) has more fidelity than LR consistency at no perceptual loss (not in the paper)",
     "aesop", "lr-consistency"),
    ("AESOP (c) has more fidelity than a pixel loss of weight 1 at no perceptual loss (not in the paper, and not asked "
     "before the results)", "aesop", "pixel-1"),
)  # fmt: skip


def claims(study: Study) -> str:
    """Each claim, what was measured, and the verdict."""
    rows = [[claim, *_judged(study, method, control, _better)] for claim, method, control in BETTER]
    blurs = "A strong pixel loss blurs (figure 3): its perceptual scores are worse"
    rows.append([blurs, *_judged(study, "pixel-1", "ldl", _blurs)])
    for claim, metric in (
        ("LR-PSNR rises over LDL's (table 4, Set14 and BSD100: +1.3 and +2.1 dB)", "lr-psnr"),
        ("AE-PSNR rises over LDL's (table 4, Set14 and BSD100: +0.6 and +0.6 dB), by another auto-encoder", "ae-psnr"),
    ):
        rows.append([claim, *_judged(study, "aesop", "ldl", partial(_rises, metric=metric))])
    return table(["claim", "measured here", "verdict"], rows)


def _judged(
    study: Study, method: str, control: str, judge: Callable[[Study, str, str], tuple[str, str]]
) -> tuple[str, str]:
    """What was measured of a method and its control, and the verdict; of one seed, it says so."""
    compared = (method, control)
    if missing := [study.titles.get(name, name) for name in compared if name not in study.seeds]:
        return f"{' and '.join(missing)}: not trained yet", "not measured"
    measured, word = judge(study, *compared)
    single = len(study.seeds[method].keys() & study.seeds[control].keys()) < 2
    return measured, f"{word}, in one seed" if single and word != "cannot be told" else word


def _better(study: Study, method: str, control: str) -> tuple[str, str]:
    """Fidelity of a method minus a control's, at equal values of each perceptual score."""
    cells, signs, leanings = [], [], []
    for score in SCORES:
        gaps = {metric: gaps_at_equal(score, study, method, control, metric) for metric in FIDELITY}
        found = {metric: gap for metric, gap in gaps.items() if gap}
        values = ", ".join(f"{METRICS[metric].title} {difference(metric, gap)}" for metric, gap in found.items())
        cells.append(f"at an equal {METRICS[score].title}: {values or 'not reached'}")
        signs.append(agreed([sign(gap) for gap in found.values()]))
        leanings.append(agreed([leaning(gap) for gap in found.values()]))
    first = f"{study.titles[method]} minus {study.titles[control]}"
    return "<br>".join([first, *cells]), verdict(signs, leanings)


def _blurs(study: Study, method: str, control: str) -> tuple[str, str]:
    gaps = {score: study.gaps(method, control, score) for score in SCORES}
    cells = [f"{METRICS[score].title} {difference(score, gap)}" for score, gap in gaps.items()]
    word = verdict(*([told(gap) for gap in gaps.values()] for told in (sign, leaning)))
    return "pixel 1 minus LDL<br>" + ", ".join(cells), word


def _rises(study: Study, method: str, control: str, metric: str) -> tuple[str, str]:
    gap = study.gaps(method, control, metric)
    words = {1: "holds", 0: "cannot be told", -1: "does not hold"}
    return f"AESOP (c) minus LDL<br>{METRICS[metric].title} {difference(metric, gap)}", words[sign(gap)]


def agreed(signs: Sequence[int]) -> int:
    """The common sign of all that are not 0, or 0 if they disagree or all are 0."""
    told = {value for value in signs if value}
    return told.pop() if len(told) == 1 else 0


def verdict(signs: Sequence[int], leanings: Sequence[int]) -> str:
    """Judge a claim at three scores.

    It holds if at least two signs are for it and nothing leans against it; the reverse refutes it.
    """
    if signs.count(1) >= 2 and -1 not in leanings:
        return "holds"
    return "does not hold" if signs.count(-1) >= 2 and 1 not in leanings else "cannot be told"
