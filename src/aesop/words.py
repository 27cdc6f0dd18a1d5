"""Lists as sentences have them."""

from __future__ import annotations

from collections.abc import Sequence

#: How many names a list gives before it counts the others.
NAMED = 5


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def first_few(names: Sequence[str]) -> str:
    """`a, b, c, d, e and 7 more`."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
