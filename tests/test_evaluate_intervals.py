"""Intervals of means: how often they contain the true mean, compared with Student's t, and paired differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from aesop.evaluation import intervals
from aesop.evaluation.intervals import mean_interval
from aesop.evaluation.results import Evaluation, Result

Draw = Callable[[np.random.Generator, int], np.ndarray]


def normal(generator: np.random.Generator, count: int) -> np.ndarray:
    return generator.normal(3, 2, count)


def skewed(generator: np.random.Generator, count: int) -> np.ndarray:
    """Skewed values, like perceptual distances: then few pictures tell less about the mean."""
    return generator.lognormal(0, 0.5, count)


@pytest.mark.parametrize(
    ("draw", "truth", "count", "documented"),
    [
        (normal, 3.0, 5, 0.92),
        (normal, 3.0, 7, 0.94),
        (normal, 3.0, 14, 0.95),
        (normal, 3.0, 100, 0.95),
        (skewed, float(np.exp(0.125)), 5, 0.89),
        (skewed, float(np.exp(0.125)), 14, 0.93),
        (skewed, float(np.exp(0.125)), 100, 0.94),
    ],
)
def test_the_interval_holds_the_true_mean_as_often_as_the_docs_say(
    draw: Draw, truth: float, count: int, documented: float
):
    generator = np.random.default_rng(1)
    found = [mean_interval(draw(generator, count).tolist()) for _ in range(600)]
    share = np.mean([interval is not None and interval[0] <= truth <= interval[1] for interval in found])
    # 600 draws have a standard deviation of 0.9 to 1.3 %.
    assert share == pytest.approx(documented, abs=0.025)


def test_it_is_students_interval_where_values_are_normal():
    values = np.random.default_rng(0).normal(27, 3, 100)
    interval = mean_interval(values.tolist())
    reference = stats.t.interval(0.95, 99, values.mean(), stats.sem(values))
    assert interval == pytest.approx(reference, abs=0.1 * stats.sem(values))
    assert interval == mean_interval(values.tolist())


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 13, 99, 250])
def test_quantiles_of_student_are_scipys(freedom: int):
    assert intervals._student_quantile(0.975, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-9)


def test_too_few_or_infinite_values_have_no_interval():
    assert mean_interval([1.0, 2.0, 3.0, 4.0]) is None
    assert mean_interval([1.0, 2.0, 3.0, 4.0, float("inf")]) is None
    assert mean_interval([2.0] * 5) == (2.0, 2.0)


def evaluation(values: dict[str, list[float | None]]) -> Evaluation:
    results = [
        Result(model, "set", 4, "psnr", {str(index): value for index, value in enumerate(column)})
        for model, column in values.items()
    ]
    return Evaluation(list(values), ["set"], ["psnr"], results)


def test_differences_are_paired():
    """Pictures differ far more than models do; only pairing shows which model is better."""
    generator = np.random.default_rng(0)
    base = generator.normal(27, 4, 14)
    values: dict[str, list[float | None]] = {
        "base": base.tolist(),
        "better": (base + 0.1 + generator.normal(0, 0.05, 14)).tolist(),
        "equal": (base + generator.normal(0, 0.05, 14)).tolist(),
    }
    values["better"][3] = None
    better, equal = evaluation(values).differences()
    assert (better.model, better.against, better.count) == ("better", "base", 13)
    gaps = [b - a for a, b in zip(base, values["better"], strict=True) if b is not None]
    assert better.difference == pytest.approx(np.mean(gaps))
    assert better.interval == mean_interval(gaps)
    assert (better.significant, equal.significant) == (True, False)
    assert not evaluation({name: column[:4] for name, column in values.items()}).differences()[0].significant


def test_differences_are_from_the_model_that_was_named():
    found = evaluation({"a": [1.0, 2.0], "b": [2.0, 4.0], "c": [float("inf"), 0.0]})
    found.against = "b"
    differences = found.differences()  # what is infinite is left out
    assert [(d.model, d.difference, d.count) for d in differences] == [("a", -1.5, 2), ("c", -4.0, 1)]
    assert [result.mean for result in found.results] == [1.5, 3.0, 0.0]
    assert (found.results[2].infinite, found.results[2].count) == (["0"], 1)


def test_sets_are_compared_over_the_same_pictures_only():
    def result(model: str, value: float, pictures: tuple[str, ...]) -> Result:
        return Result(model, "set", 4, "fid", dict.fromkeys("abc"), set_value=value, set_pictures=pictures)

    columns = [result("x", 5.0, ("a", "b")), result("y", 7.0, ("b", "c")), result("z", 9.0, ("b", "a"))]
    found = Evaluation(["x", "y", "z"], ["set"], ["fid"], columns)
    assert [(d.model, d.difference, d.count) for d in found.differences()] == [("z", 4.0, 2)]
