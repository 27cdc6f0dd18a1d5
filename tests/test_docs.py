"""What the documents promise stands in the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aesop.training.recipe_files import recipe_names

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def quotations() -> list[tuple[str, str]]:
    """Each quoted line of code in docs/method.md with the file it is said to stand in."""
    text = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    return re.findall(r"^\|.*\| `([^`]+)` \| \[[^]]+\]\(\.\./([^)]+)\) \|$", text, flags=re.MULTILINE)


def test_every_equation_is_quoted():
    assert len(quotations()) >= 11


@pytest.mark.parametrize(("line", "file"), quotations())
def test_quoted_code_is_there(line: str, file: str):
    lines = [
        found.split("  #")[0].strip().rstrip(",") for found in (ROOT / file).read_text(encoding="utf-8").splitlines()
    ]
    assert line in lines


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path):
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8")):
        assert target.startswith("http") or (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_recipes_that_are_named_exist(document: Path):
    for name in re.findall(r"aesop train ([a-z0-9-]+)", document.read_text(encoding="utf-8")):
        assert name in recipe_names()
