"""Markdown tables, and where they stand in a page of docs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from aesop.errors import AesopError
from aesop.files import write_atomically


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def fill(page: Path, tables: Mapping[str, str]) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- end -->` by the table of that name; repeatable.

    Raises:
        AesopError: if the page lacks the marks of a table.

    """
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->", "<!-- end -->"
        before, found, after = text.partition(begin)
        _, closed, rest = after.partition(end)
        if not (found and closed):
            raise AesopError(f"{page}: has no place for the table `{name}`; write {begin} and {end} there.")
        text = f"{before}{begin}\n\n{table}\n\n{end}{rest}"
    write_atomically(page, text)
