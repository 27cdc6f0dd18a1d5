"""Markup that several parts of a report share."""

from __future__ import annotations

import re
from html import escape

from aesop.evaluation.results import Evaluation

#: The marks of models, drawn around the origin within 6 units; shapes help where colours do not.
_MARKS = (
    "M5 0A5 5 0 1 1-5 0A5 5 0 1 1 5 0Z",
    "M0-6L5.6 4.4H-5.6Z",
    "M-4.6-4.6H4.6V4.6H-4.6Z",
    "M0-6.2L5.4 0L0 6.2L-5.4 0Z",
    "M0 6L-5.6-4.4H5.6Z",
    "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
    "M0-6.4L1.7-2.2L6.1-1.9L2.7.9L3.8 5.2L0 2.8L-3.8 5.2L-2.7.9L-6.1-1.9L-1.7-2.2Z",
    "M0-2.6L3.2-5.8L5.8-3.2L2.6 0L5.8 3.2L3.2 5.8L0 2.6L-3.2 5.8L-5.8 3.2L-2.6 0L-5.8-3.2L-3.2-5.8Z",
)


def marks() -> str:
    """The definitions that every <use> of the page refers to."""
    paths = "".join(f'<path id="mark-{index}" d="{path}"/>' for index, path in enumerate(_MARKS))
    return f'<svg width="0" height="0" class="marks" aria-hidden="true"><defs>{paths}</defs></svg>'


def mark(number: int) -> tuple[int, int]:
    """The colour and the shape of model `number`, each 0 to 7; from the ninth on they pair in another way."""
    return number % 8, (number + number // 8) % 8


def chip(evaluation: Evaluation, model: str) -> str:
    """A model's mark, as it stands in the plot."""
    colour, shape = mark(evaluation.models.index(model))
    return f'<svg class="chip s{colour}" viewBox="-7 -7 14 14" aria-hidden="true"><use href="#mark-{shape}"/></svg>'


def breakable(text: str) -> str:
    """A name, escaped, that a line may break in after _ - / and a full stop."""
    return "<wbr>".join(escape(part) for part in re.split(r"(?<=[_\-/.])(?=[^_\-/.])", text))


def named(evaluation: Evaluation, model: str) -> str:
    """A model's mark and name, that stay together."""
    return f'<span class="name">{chip(evaluation, model)}<span>{breakable(model)}</span></span>'
