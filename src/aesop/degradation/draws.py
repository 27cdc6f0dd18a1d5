"""Random parameters from one seed."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

import torch

T = TypeVar("T")


class Draws:
    """Parameters drawn one after the other on the CPU: the same for a seed whatever device the pictures are on."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""
        return low + (high - low) * torch.rand((), generator=self._generator, dtype=torch.float64).item()

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return int(torch.randint(low, high + 1, (), generator=self._generator))

    def chance(self, probability: float) -> bool:
        """Return whether something of this probability happens."""
        return self.uniform(0, 1) < probability

    def choice(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """Return one of the options, `weights` (of any sum) being how likely each is."""
        if weights is None:
            return options[self.whole(0, len(options) - 1)]
        bounds = list(accumulate(weights))
        return options[min(bisect(bounds, self.uniform(0, bounds[-1])), len(options) - 1)]

    def order(self, count: int) -> list[int]:
        """Return 0 to `count` - 1 in random order."""
        return torch.randperm(count, generator=self._generator).tolist()

    def fork(self) -> torch.Generator:
        """Return a new generator for a field of noise.

        How many numbers Poisson noise takes depends on the pixels, which differ by rounding between devices; the
        parameters drawn after it must not.
        """
        return torch.Generator().manual_seed(self.whole(0, 2**62))
