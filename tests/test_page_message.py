"""What a report says in words: as ready to tell of a loss, or of nothing, as of a gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aesop.evaluation.results import Evaluation, Result
from aesop.report.message import message, told_of

BASE = [24.0, 30.0, 26.0, 28.0, 27.0]
ABOVE, BELOW, NOISE = [0.1, 0.12, 0.11, 0.13, 0.1], [-0.1, -0.12, -0.11, -0.13, -0.1], [0.1, -0.1, 0.05, -0.07, 0.01]


def evaluation(
    gaps: Mapping[str, Mapping[str, Sequence[float]]], models: Sequence[str] = ("pixel", "aesop"), **kwargs: str
) -> Evaluation:
    """Gaps of the last model over all others, by benchmark and metric."""
    results = [
        Result(model, benchmark, 4, metric, {f"p{i}": b + (g if model == models[-1] else 0) for i, (b, g) in pairs})
        for benchmark, metrics in gaps.items()
        for metric, gap in metrics.items()
        for model in models
        for pairs in [list(enumerate(zip(BASE, gap, strict=False)))]
    ]
    metrics = list(dict.fromkeys(metric for of in gaps.values() for metric in of))
    return Evaluation(list(models), list(gaps), metrics, results, **kwargs)  # pyright: ignore[reportArgumentType]


def said(found: Evaluation) -> list[tuple[str, list[tuple[str, str]]]]:
    told = told_of(found)
    assert told is not None
    return [(title, [(clause.outcome, clause.text) for clause in clauses]) for title, clauses in told.sentences]


def test_gains_losses_and_what_nobody_can_tell():
    gaps = {"Set5": {"psnr": ABOVE, "lpips": ABOVE, "lr-psnr": BELOW, "ssim": NOISE, "niqe": BELOW[:4]}}
    [(benchmark, clauses)] = said(evaluation(gaps))
    assert benchmark == "Set5"
    assert [outcome for outcome, _ in clauses] == ["better", "worse", "even", "open"]
    better, worse, even, still_open = (text for _, text in clauses)
    assert better.startswith("better in PSNR +0.112 dB (+0.")
    # More is worse for LPIPS, less is worse for LR-PSNR.
    assert worse.startswith("worse in LPIPS +0.1120 (+0.")
    assert " and LR-PSNR −0.112 dB (−0." in worse
    assert even == "no difference that these pictures could tell in SSIM"
    assert still_open == "no interval, and so no verdict, in NIQE"


def test_a_loss_is_told_as_a_loss():
    assert [outcome for outcome, _ in said(evaluation({"Set5": {"psnr": BELOW}}))[0][1]] == ["worse"]


def test_the_last_network_is_told_of_and_bicubic_never():
    gaps = {"Set5": {"psnr": ABOVE}}
    told = told_of(evaluation(gaps, ("bicubic", "one", "two"), against="one"))
    assert told is not None
    assert (told.model, told.against, told.others) == ("two", "one", 0)
    told = told_of(evaluation(gaps, ("one", "two", "bicubic")))
    assert told is not None
    assert (told.model, told.against) == ("two", "one")
    assert told_of(evaluation(gaps, ("one", "bicubic"))) is None
    assert message(evaluation(gaps, ("one",))) == ""


def test_many_benchmarks_are_told_metric_by_metric():
    gaps = {f"B{i}": {"psnr": BELOW if i == 2 else ABOVE, "ssim": NOISE} for i in range(5)}
    assert said(evaluation(gaps)) == [
        ("PSNR", [("better", "better on B0, B1, B3 and B4"), ("worse", "worse on B2")]),
        ("SSIM", [("even", "undecided on all")]),
    ]


def test_names_are_text():
    text = message(evaluation({"<i>": {"psnr": ABOVE}}, ("<b>x</b>", '"&')))
    assert "<i>" not in text
    assert "<b>x" not in text
    assert "&lt;b&gt;x&lt;/<wbr>b&gt;" in text
