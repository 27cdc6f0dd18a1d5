"""Pictures as strips of rows from top to bottom, of which only those that are needed are held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor


def ahead(strips: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield all strips; while one is used, the next is made in a thread. Raises what making one raises."""
    source = iter(strips)
    with ThreadPoolExecutor(1) as maker:
        following = maker.submit(next, source, None)
        while (strip := following.result()) is not None:
            following = maker.submit(next, source, None)
            yield strip


def windows(strips: Iterable[Tensor], ranges: Iterable[tuple[int, int]]) -> Iterator[Tensor]:
    """Yield the rows `first` to `stop` of (C, H, W) for every pair of `ranges`, from its strips, (C, rows, W).

    Windows may overlap; neither bound ever decreases. What lies above a window is let go. Raises ValueError where the
    strips end too early.
    """
    source = iter(strips)
    held: list[Tensor] = []
    top = bottom = 0  # rows that are held
    for first, stop in ranges:
        while bottom < stop:
            strip = next(source, None)
            if strip is None:
                raise ValueError(f"a picture ends after {bottom} rows, before {stop}")
            held.append(strip)
            bottom += strip.shape[1]
        while top + held[0].shape[1] <= first:
            top += held.pop(0).shape[1]
        used, rows = [], stop - top
        for strip in held:
            used.append(strip[:, :rows])
            rows -= strip.shape[1]
            if rows <= 0:
                break
        window = used[0] if len(used) == 1 else torch.cat(used, dim=1)
        yield window[:, first - top :]
