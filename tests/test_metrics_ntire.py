"""The score of NTIRE's perceptual track: the sum of its parts, each measured once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from aesop.cli.evaluate import evaluate as evaluate_command
from aesop.evaluation.evaluate import evaluate
from aesop.evaluation.tabulate import notes
from aesop.metrics import METRICS, MetricUnavailable, Sample
from helpers import prepared_by, synthetic_pictures

PARTS = {"lpips": 0.3, "dists": 0.2, "clip-iqa": 0.7, "maniqa": 0.4, "musiq": 60.0, "niqe": 4.0}


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    synthetic_pictures(tmp_path / "bench/HR", 2, 48)
    return tmp_path / "bench"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Replace the parts by constants; return how many pictures each has measured."""
    counts: Counter[str] = Counter()
    for name in PARTS:

        def measure(_: Sample, name: str = name) -> float:
            counts[name] += 1
            return PARTS[name]

        monkeypatch.setitem(METRICS, name, prepared_by(name, lambda _, measure=measure: measure))
    return counts


def test_the_score_is_the_sum_of_parts_that_are_measured_once(bench: Path, seen: Counter[str]) -> None:
    first = evaluate(["bicubic"], [bench], metrics=["ntire"])
    expected = (1 - 0.3) + (1 - 0.2) + 0.7 + 0.4 + 60 / 100 + (10 - 4) / 10
    assert list(first.results[0].pictures.values()) == pytest.approx([expected] * 2)
    assert [result.metric for result in first.results] == first.metrics == ["ntire"]
    assert seen == dict.fromkeys(PARTS, 2)
    both = evaluate(["bicubic"], [bench], metrics=["lpips", "ntire", "niqe"])
    assert [result.metric for result in both.results] == ["lpips", "ntire", "niqe"]
    assert (both.results[0].mean, both.results[1]) == (0.3, first.results[0])
    evaluate(["bicubic"], [bench], metrics=["ntire", "musiq"], cache=False)
    assert seen == dict.fromkeys(PARTS, 4)


def test_niqe_above_ten_counts_nothing(bench: Path, seen: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARTS, "niqe", 12.5)
    assert evaluate(["bicubic"], [bench], metrics=["ntire"]).results[0].mean == pytest.approx(3.2)


def test_a_part_that_is_not_available_is_named_and_the_others_are_not_measured_for_nothing(
    bench: Path, seen: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(_: object) -> None:
        raise MetricUnavailable("no weights there")

    monkeypatch.setitem(METRICS, "maniqa", prepared_by("maniqa", prepare))
    evaluation = evaluate(["bicubic"], [bench], metrics=["dists", "ntire"])
    assert seen == {"dists": 2}
    assert [result.mean for result in evaluation.results] == [0.2, None]
    assert evaluation.failures == []
    assert "NTIRE: lacks MANIQA (no weights there)" in notes(evaluation)
    app = Typer()
    app.command()(evaluate_command)
    done = CliRunner().invoke(app, ["bicubic", "--benchmark", str(bench), "--metrics", "dists,ntire"])
    assert done.exit_code == 2  # it was asked for
    assert "NTIRE: lacks MANIQA (no weights there)" in done.stdout


def test_a_picture_without_a_part_has_no_score(
    bench: Path, seen: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(sample: Sample) -> float:
        del sample
        seen["niqe"] += 1
        if seen["niqe"] == 1:
            raise ValueError("too flat")
        return 4.0

    monkeypatch.setitem(METRICS, "niqe", prepared_by("niqe", lambda _: measure))
    evaluation = evaluate(["bicubic"], [bench], metrics=["ntire"])
    assert list(evaluation.results[0].pictures.values()) == [None, pytest.approx(3.8)]
    assert [(one.picture, one.metric, one.reason) for one in evaluation.failures] == [("000", "niqe", "too flat")]


def test_without_hr_pictures_there_is_no_score_and_nothing_is_measured_for_it(
    tmp_path: Path, seen: Counter[str]
) -> None:
    synthetic_pictures(tmp_path / "real/LR", 1, 24)
    evaluation = evaluate(["bicubic"], [tmp_path / "real"], metrics=["musiq", "ntire"])
    assert [result.no_ground_truth for result in evaluation.results] == [False, True]
    assert seen == {"musiq": 1}
