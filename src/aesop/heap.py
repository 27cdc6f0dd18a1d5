"""Keeps the memory of freed tensors with the process while networks run on the CPU.

glibc gives large blocks back to the system at once, which has to map and zero them for the next tensor: in eager torch,
that is up to half of the time of a network.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

#: Parameters of glibc's mallopt: what is free at the end of the heap is given back above this; the size, and the
#: number, of blocks that are mapped one by one; how many heaps there are for threads, which hold no large blocks.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8
#: What glibc comes to by itself, in bytes.
_MAPPED_FROM, _TRIMMED_FROM, _MAPPED_BLOCKS = 32 << 20, 64 << 20, 65536


def share_heap() -> None:
    """Let all threads share one heap; call it before torch starts threads."""
    _set({_ARENA_MAX: 1})


@contextmanager
def kept_heap() -> Iterator[None]:
    """Keep freed memory until the block ends, then give it back; threads' memory too, after `share_heap`.

    Does nothing where the C library is not glibc.
    """
    _set({_TRIM_THRESHOLD: (1 << 31) - 1, _MMAP_MAX: 0})
    try:
        yield
    finally:
        _set({_TRIM_THRESHOLD: _TRIMMED_FROM, _MMAP_THRESHOLD: _MAPPED_FROM, _MMAP_MAX: _MAPPED_BLOCKS})
        give_back()


def give_back() -> None:
    """Give the system what is free now, the gaps between blocks too."""
    if _LIBRARY is not None:
        _LIBRARY.malloc_trim(0)


def _set(values: dict[int, int]) -> None:
    if _LIBRARY is not None:
        for parameter, value in values.items():
            _LIBRARY.mallopt(parameter, value)


def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
        return library if library.mallopt and library.malloc_trim else None
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return None


_LIBRARY = _glibc()
