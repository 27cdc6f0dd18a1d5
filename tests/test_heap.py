"""Freed memory is kept for the next tensor, and returned to the system at the end."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from aesop import heap

#: Counts the pages that the system maps for a tensor of 160 MB that is freed at once: before, in and after the block.
#: It needs a new process, since earlier allocations determine where a tensor is placed.
FAULTS = """
import resource
import torch
from aesop.heap import kept_heap, share_heap

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(40 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

share_heap()
torch.set_num_threads(1)
usual = min(faults() for _ in range(3))
with kept_heap():
    torch.ones(44 << 20)  # larger: an aligned tensor does not fit into the place of its like
    kept = min(faults() for _ in range(3))
print(usual, kept, faults())  # the first one: where something lies above it, glibc keeps the next
"""


@pytest.mark.skipif(heap._LIBRARY is None, reason="the C library is not glibc")
def test_memory_is_kept_in_the_block_only():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    usual, kept, after = map(int, done.stdout.split())
    assert kept * 20 < usual
    assert after * 2 > usual


def test_nothing_happens_without_glibc(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(heap, "_LIBRARY", None)
    heap.share_heap()
    with heap.kept_heap():
        assert torch.ones(3).sum() == 3
