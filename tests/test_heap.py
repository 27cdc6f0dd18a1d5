"""Freed memory is kept for the next tensor, and given back at the end."""

from __future__ import annotations

import resource

import pytest
import torch

from aesop import heap


def faults() -> int:
    """How many pages the system has to map for a tensor of 160 MB, which is let go at once."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(40 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(heap._LIBRARY is None, reason="the C library is not glibc")
def test_memory_is_kept_in_the_block_only():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        usual = min(faults() for _ in range(3))
        with heap.kept_heap():
            faults()
            kept = min(faults() for _ in range(3))
        assert kept * 20 < usual
        assert min(faults() for _ in range(3)) * 2 > usual
    finally:
        torch.set_num_threads(threads)


def test_nothing_happens_without_glibc(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(heap, "_LIBRARY", None)
    heap.share_heap()
    with heap.kept_heap():
        assert torch.ones(3).sum() == 3
