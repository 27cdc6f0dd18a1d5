"""Means of the losses since the last log line, and the iterations that were skipped."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


class Tally:
    """Sums of losses, which stay on the device until they are read."""

    def __init__(self, count: int = 0, sums: dict[str, Tensor] | None = None, streak: int = 0) -> None:
        self._count: int | Tensor = count
        self._sums = sums or {}
        #: Iterations in a row that were skipped, as of the last call of `skipped`.
        self.streak = streak
        self._unseen: list[tuple[int, dict[str, Tensor], Tensor]] = []

    def add(self, iteration: int, losses: dict[str, Tensor], skipped: Tensor) -> None:
        """Add an iteration's losses; those of a skipped one count for nothing."""
        counted = {name: value.masked_fill(skipped, 0) for name, value in losses.items()}
        self._sums = {name: self._sums[name] + value for name, value in counted.items()} if self._sums else counted
        self._count = self._count + ~skipped
        # Copies: CUDA graphs reuse the memory of what they return.
        self._unseen.append((iteration, {name: value.clone() for name, value in losses.items()}, skipped))

    def skipped(self, *, alone: bool = True) -> Iterator[tuple[int, str]]:
        """Read which iterations were skipped since the last call, and why; update `streak`.

        Processes that are not `alone` share gradients, so that another one's loss may be the cause.
        """
        cause = "a gradient was nan" if alone else "a gradient, or a loss of another process, was nan"
        unseen, self._unseen = self._unseen, []
        flags = torch.stack([skipped for *_, skipped in unseen]).tolist() if unseen else []
        for (iteration, losses, _), skipped in zip(unseen, flags, strict=True):
            self.streak = self.streak + 1 if skipped else 0
            if skipped:
                wild = {name: float(value) for name, value in losses.items() if not math.isfinite(value)}
                yield iteration, ", ".join(f"{name} was {value}" for name, value in wild.items()) or cause

    def means(self) -> dict[str, float]:
        """Return the means over the iterations that count, nothing where none does."""
        if not int(self._count):
            return {}
        return dict(zip(self._sums, torch.stack([*self._sums.values()]).div(self._count).tolist(), strict=True))

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the arguments of a Tally that continues this one."""
        return {"count": int(self._count), "sums": self._sums, "streak": self.streak}
