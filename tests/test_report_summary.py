"""The report's summary in words: it reports losses and undecided results as readily as gains."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from aesop.evaluation.results import Evaluation, ModelFile, Result
from aesop.evaluation.tabulate import OUTCOMES
from aesop.reports.report import report_text
from aesop.reports.summary import compare
from report_samples import Parsed

BASE = [24.0, 30.0, 26.0, 28.0, 27.0]
ABOVE, BELOW, CHANCE = [0.1, 0.12, 0.11, 0.13, 0.1], [-0.1, -0.12, -0.11, -0.13, -0.1], [0.1, -0.1, 0.05, -0.07, 0.01]
TWINS = {"pixel": "fidelity", "aesop": "fidelity"}


def evaluation(
    gaps: Mapping[str, Mapping[str, Sequence[float]]],
    models: Sequence[str] = ("pixel", "aesop"),
    against: str | None = None,
) -> Evaluation:
    """An evaluation from the last model's gaps to all others, by benchmark and metric."""
    results = [
        Result(model, benchmark, 4, metric, {f"p{i}": b + (g if model == models[-1] else 0) for i, (b, g) in pairs})
        for benchmark, metrics in gaps.items()
        for metric, gap in metrics.items()
        for model in models
        for pairs in [list(enumerate(zip(BASE, gap, strict=False)))]
    ]
    metrics = list(dict.fromkeys(metric for of in gaps.values() for metric in of))
    return Evaluation(list(models), list(gaps), metrics, results, against=against)


def said(found: Evaluation) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """The first comparison's titles that have outcomes, with the metrics or benchmarks of each."""
    first = compare(found, {})[0]
    name = "benchmark" if first.by_metric else "metric"
    return [(title, [(o, [getattr(d, name) for d in found]) for o, found in parts]) for title, parts in first.sentences]


def test_gains_losses_and_what_nobody_can_tell():
    gaps = {"Set5": {"psnr": ABOVE, "lpips": ABOVE, "lr-psnr": BELOW, "ssim": CHANCE, "niqe": BELOW[:4]}}
    found = evaluation(gaps)
    # More is worse for LPIPS, less is worse for LR-PSNR.
    parts = [("better", ["psnr"]), ("worse", ["lpips", "lr-psnr"]), ("even", ["ssim"]), ("open", ["niqe"])]
    assert said(found) == [("Set5", sorted(parts, key=lambda part: OUTCOMES.index(part[0])))]
    shown = Parsed(report_text(found)).plain
    assert "Set5 : ▲ better in PSNR +0.112 dB (+0." in shown
    assert "▼ worse in LPIPS +0.1120 (+0." in shown
    assert " and LR-PSNR −0.112 dB (−0." in shown
    assert "no difference beyond chance in SSIM; no interval, and so no verdict, in NIQE." in shown


def test_a_difference_that_is_printed_as_zero_is_no_gain():
    assert said(evaluation({"Set5": {"psnr": [4e-4, 3e-4, 4e-4, 3e-4, 4e-4]}})) == [("Set5", [("even", ["psnr"])])]


@pytest.mark.parametrize(
    ("models", "against", "starts", "expected"),
    [
        # The twin comes first, whatever other models there are, and the start second.
        (["bicubic", "fidelity", "pixel", "aesop"], None, TWINS, [("pixel", "twin"), ("fidelity", "start")]),
        (["bicubic", "fidelity", "pixel", "aesop"], "pixel", TWINS, [("pixel", "twin"), ("fidelity", "start")]),
        (["bicubic", "fidelity", "pixel", "aesop"], "fidelity", TWINS, [("pixel", "twin"), ("fidelity", "start")]),
        (["bicubic", "fidelity", "aesop"], None, {"aesop": "fidelity"}, [("fidelity", "start")]),
        # The caller's model before both.
        (["bicubic", "fidelity", "aesop"], "bicubic", {"aesop": "fidelity"}, [("bicubic", ""), ("fidelity", "start")]),
        # Without a start, the first model.
        (["one", "two", "aesop"], None, {}, [("one", "")]),
        (["aesop", "bicubic"], None, {}, []),
        (["aesop"], None, {}, []),
    ],
)  # fmt: skip
def test_the_comparison_that_a_reader_wants_leads(
    models: list[str], against: str | None, starts: dict[str, str], expected: list[tuple[str, str]]
):
    found = compare(evaluation({"Set5": {"psnr": ABOVE}}, models, against), starts)
    assert [(one.against, one.role) for one in found if one.model == "aesop"] == expected


def test_a_network_below_its_start_in_everything_is_named(tmp_path: Path):
    models = ["fidelity", "pixel", "aesop"]
    below = evaluation({"Set5": {"psnr": BELOW, "lpips": ABOVE}}, models)
    assert [one.below for one in compare(below, TWINS)] == [True, True]
    mixed = evaluation({"Set5": {"psnr": BELOW, "lpips": BELOW}}, models)
    assert [one.below for one in compare(mixed, TWINS)] == [False, False]
    folder = tmp_path / "run"
    for stage, model in (("fidelity", "fidelity"), ("perceptual", "aesop")):
        (folder / stage).mkdir(parents=True)
        file = folder / stage / "generator.safetensors"
        file.write_text(model)
        below.files[model] = mixed.files[model] = ModelFile(str(file), hashlib.sha256(model.encode()).hexdigest())
    said = "aesop against the network that it started from, fidelity : ▼ below its own start in every metric"
    assert said in Parsed(report_text(below)).plain
    assert "below its own start" not in report_text(mixed)


def test_another_network_below_its_start_is_told_too():
    models = ["fidelity", "aesop", "pixel", "third"]
    found = evaluation({"Set5": {"psnr": BELOW}}, models)
    found.result("aesop", "Set5", "psnr").pictures = {f"p{i}": value - 1 for i, value in enumerate(BASE)}
    told = compare(found, {"aesop": "fidelity", "third": "fidelity"})
    assert [(one.model, one.against) for one in told] == [
        ("third", "aesop"),
        ("third", "fidelity"),
        ("aesop", "fidelity"),
    ]


def test_many_benchmarks_are_told_metric_by_metric():
    gaps = {f"B{i}": {"psnr": BELOW if i == 2 else ABOVE, "ssim": CHANCE} for i in range(5)}
    found = evaluation(gaps)
    everywhere = [f"B{i}" for i in range(5)]
    assert said(found) == [
        ("PSNR", [("better", ["B0", "B1", "B3", "B4"]), ("worse", ["B2"])]),
        ("SSIM", [("even", everywhere)]),
    ]
    shown = Parsed(report_text(found)).plain
    assert "PSNR : ▲ better on B0, B1, B3 and B4; ▼ worse on B2." in shown
    assert "SSIM : undecided on all." in shown
