"""The paper's own numbers, to be shown beside ours and never mixed with them (tables 1, 2, 4 and 6 to 9)."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import NamedTuple

#: The scale of all of them.
SCALE = 4


class Published(NamedTuple):
    """A number as the paper prints it; `backbone` and `crop` are empty where its table has none."""

    table: str
    backbone: str
    crop: str
    method: str
    benchmark: str
    metric: str
    text: str


@cache
def published() -> tuple[Published, ...]:
    """All numbers, in the paper's order."""
    text = files("aesop.evaluation").joinpath("published.csv").read_text(encoding="utf-8")
    return tuple(Published(*row) for row in list(csv.reader(text.splitlines()))[1:])


def published_rows(benchmark: str, scale: int, metrics: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the paper's numbers for a benchmark, by method, then metric; none at another scale.

    A method's title is such as `AESOP RRDB-128, tables 1, 7`.
    """
    wanted = set(metrics)
    rows: dict[tuple[str, str, str], list[Published]] = {}
    for number in published():
        if scale == SCALE and number.benchmark == benchmark and number.metric in wanted:
            rows.setdefault((number.backbone, number.crop, number.method), []).append(number)
    found = {}
    for (backbone, crop, method), numbers in rows.items():
        tables = sorted({number.table for number in numbers})
        network = " ".join(filter(None, (method, "-".join(filter(None, (backbone, crop))))))
        title = f"{network}, table{'s' if len(tables) > 1 else ''} {', '.join(tables)}"
        # Tables that repeat a number agree, but for the digits of table 8; the first table is the finer one.
        found[title] = {number.metric: number.text for number in reversed(numbers)}
    return found
