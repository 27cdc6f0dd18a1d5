"""Lists, numbers and errors in words, and untrusted text as one line."""

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


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type if it has none."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def with_unit(name: str, value: float) -> str:
    """`27.12 dB`: a number of a validation, by its name in the log; NIQE alone has no unit."""
    return f"{value:.2f}" if name == "niqe" else f"{value:.2f} dB"


def one_line(text: object) -> str:
    """Return untrusted text as one line without control characters, cut to 300."""
    return "".join(character for character in " ".join(str(text).split()) if character.isprintable())[:300]
