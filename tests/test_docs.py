"""What the documents promise stands in the code."""

from __future__ import annotations

import json
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
    found = (ROOT / file).read_text(encoding="utf-8").splitlines()
    assert line in [one.split("  #")[0].strip().rstrip(",") for one in found]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path):
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8")):
        assert target.startswith("http") or (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_recipes_that_are_named_exist(document: Path):
    for name in re.findall(r"aesop train ([a-z0-9-]+)\s", document.read_text(encoding="utf-8")):
        assert name in recipe_names()


def test_evaluation_names_every_key_and_option():
    from typer.main import get_command

    from aesop.cli import app
    from aesop.evaluation.results import Evaluation, Failure, Result

    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    found = Evaluation(["a"], ["b"], ["psnr"], [Result("a", "b", 4, "psnr", {"c": 1.0})], [Failure("b", "c", *"ade")])
    document = json.loads(found.to_json())
    for entry in (document, *document["results"], *document["failures"]):
        for key in entry:
            assert f'"{key}"' in text
    for name in ("evaluate", "upscale"):
        synopsis = next(line for line in text.splitlines() if line.startswith(f"aesop {name} "))
        command = get_command(app).commands[name]  # type: ignore[attr-defined]
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        assert options == set(re.findall(r"--[a-z-]+", synopsis))


def test_every_recipe_stands_in_the_table_of_systems():
    text = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
    assert [name for name in recipe_names() if f"`{name}`" not in text] == []
