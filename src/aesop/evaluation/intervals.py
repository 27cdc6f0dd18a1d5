"""Intervals of means over pictures, and of paired differences of two models: seeded bootstrap.

The plain percentile interval is too narrow for few pictures. The *expanded* one (Hesterberg, "What Teachers Should Know
About the Bootstrap", 2015, section 5.1) takes percentiles further out, by as much as Student's t with n - 1 degrees of
freedom and the factor sqrt(n / (n - 1)) widen a normal interval. tests/test_evaluate_intervals.py checks how often it
holds the true mean. BCa mends skewness, not narrowness.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 10_000
#: Even the whole range of four values holds their mean in 1 - 2 * 0.5^4 = 87.5 % of all cases only.
FEWEST = 5

Interval = tuple[float, float]


def mean_interval(values: Sequence[float]) -> Interval | None:
    """The 95 % bootstrap interval of the mean of `values`, seeded; None for fewer than five or infinite ones."""
    return _mean_interval(tuple(values))


@lru_cache(maxsize=1 << 14)
def _mean_interval(values: tuple[float, ...]) -> Interval | None:
    # Several outputs of one evaluation ask for the same ones.
    data = np.asarray(values, np.float64)
    if len(data) < FEWEST or not np.isfinite(data).all():
        return None
    tail = _tail(len(data))
    low, high = np.quantile(data[_draws(len(data))].mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)


@lru_cache(maxsize=2)
def _draws(count: int) -> np.ndarray:
    """Indices (RESAMPLES, count) of resampled pictures."""
    return np.random.default_rng(0).integers(0, count, (RESAMPLES, count), np.int32)


@lru_cache
def _tail(count: int) -> float:
    """The part of the resampled means of `count` values to leave out on either side."""
    t = _student_quantile(1 - (1 - CONFIDENCE) / 2, count - 1)
    return NormalDist().cdf(-math.sqrt(count / (count - 1)) * t)


def _student_quantile(share: float, freedom: int) -> float:
    """The quantile of Student's t, for `share` above one half, by bisection."""
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_cdf(middle, freedom) < share else (low, middle)
    return high


def _student_cdf(t: float, freedom: int) -> float:
    """P(T <= t) for a whole number of degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan2(t, math.sqrt(freedom))
    square = math.cos(angle) ** 2
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for k in range(2 + odd, freedom + 1, 2):
        total += term
        term *= square * (k - 1) / k
    inside = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return (1 + inside) / 2
