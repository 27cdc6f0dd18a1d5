"""Tables between marks in a page of docs: a second call changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aesop.errors import AesopError
from aesop.files import write_atomically


def fill(page: Path, tables: Mapping[str, str]) -> None:
    """Put each table between `<!-- its name -->` and `<!-- end -->`. Raises AesopError where the marks are missing."""
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->", "<!-- end -->"
        before, found, after = text.partition(begin)
        _, closed, rest = after.partition(end)
        if not (found and closed):
            raise AesopError(f"{page}: has no place for the table `{name}`; write {begin} and {end} there.")
        text = f"{before}{begin}\n\n{table}\n\n{end}{rest}"
    write_atomically(page, text)
