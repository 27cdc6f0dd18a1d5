"""Markup that several parts of a report share."""

from __future__ import annotations

from aesop.evaluation.results import Evaluation


def chip(evaluation: Evaluation, model: str) -> str:
    """The dot in a model's colour."""
    return f'<span class="chip s{evaluation.models.index(model) % 8}"></span>'
