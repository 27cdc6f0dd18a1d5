"""What benchmarks share: a clock, and how results are told."""

from __future__ import annotations

import time
from statistics import median

import torch


def clock() -> float:
    """Seconds of the processor where one thread computes, which other programs hardly affect, else of the wall."""
    alone = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    return time.process_time() if alone else time.perf_counter()


def spread(values: list[float], digits: int = 2) -> str:
    """Tell a median, minimum and maximum."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
