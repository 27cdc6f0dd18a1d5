"""Random parameters from one seed."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

import torch

T = TypeVar("T")


class Draws:
    """Parameters drawn one after the other on the CPU, whatever device the pictures are on."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`."""
        return low + (high - low) * torch.rand((), generator=self._generator, dtype=torch.float64).item()

    def whole(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return int(torch.randint(low, high + 1, (), generator=self._generator))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.uniform(0, 1) < probability

    def choice(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of the options, with probabilities in proportion to `weights`."""
        if weights is None:
            return options[self.whole(0, len(options) - 1)]
        bounds = list(accumulate(weights))
        return options[min(bisect(bounds, self.uniform(0, bounds[-1])), len(options) - 1)]

    def order(self, count: int) -> list[int]:
        """0 to `count` - 1 in random order."""
        return torch.randperm(count, generator=self._generator).tolist()

    def fork(self) -> torch.Generator:
        """A new generator for a field of noise, so that what is drawn next does not depend on pixels (Poisson)."""
        return torch.Generator().manual_seed(self.whole(0, 2**62))
