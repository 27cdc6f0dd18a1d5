"""Parts of the site that need no site generator; `make docs` builds all of it strictly and runs the notebook."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import aesop
from hooks import links, notebooks

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def pages_of(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    return [page for inner in (entry.values() if isinstance(entry, dict) else entry) for page in pages_of(inner)]


def test_every_page_has_its_place():
    placed = pages_of(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    there = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    there |= {str(path.relative_to(DOCS).with_suffix(".md")) for path in DOCS.rglob("*.ipynb")}
    assert sorted(there - set(placed)) == []


def test_every_public_name_is_in_the_reference():
    text = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md"))
    named = set(re.findall(r"^::: aesop\.(\w+)$", text, flags=re.MULTILINE)) | {"AesopError", "__version__"}
    assert sorted(set(dir(aesop)) - named) == []


def test_every_picture_is_in_the_gallery():
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert [path.name for path in sorted((DOCS / "images").iterdir()) if f"(images/{path.name})" not in text] == []


@pytest.mark.parametrize(
    ("source", "page", "link", "leads_to"),
    [
        ("docs/loss.md", "loss.md", "method.md#precision", "method.md#precision"),
        ("docs/loss.md", "loss.md", "../README.md", "repository/README.md"),
        ("docs/api/loss.md", "api/loss.md", "../../Makefile", "../repository/Makefile.md"),
        ("docs/method.md", "method.md", "../src/aesop/run.py", "repository/src/aesop/run.py.md"),
        ("docs/evidence.md", "evidence.md", "../benchmarks/evidence", "repository/benchmarks/evidence/index.md"),
        ("README.md", "repository/README.md", "docs/images/crops.png", "../images/crops.png"),
        ("README.md", "index.md", "docs/loss.md", "loss.md"),
        ("docs/index.md", "index.md", "notebooks/loss.ipynb", "notebooks/loss.md"),
        ("docs/loss.md", "loss.md", "https://example.org/README.md", "https://example.org/README.md"),
        ("docs/loss.md", "loss.md", "nowhere.md", "nowhere.md"),
    ],
)  # fmt: skip
def test_links_lead_to_pages_of_the_site(source: str, page: str, link: str, leads_to: str):
    assert links.rewritten(f"a [b]({link}) c", source, page) == f"a [b]({leads_to}) c"
    assert links.rewritten(f"```\n[b]({link})\n```", source, page) == f"```\n[b]({link})\n```"


def test_a_page_knows_the_file_that_it_shows():
    for path in ("CHANGELOG.md", "src/aesop/run.py", "benchmarks/evidence/logs", "docs/loss.md"):
        assert links.origin(links.page_of(path)) == path


def test_files_are_shown_whole():
    text = (ROOT / "docs/hooks/links.py").read_text(encoding="utf-8")  # has a fence of its own
    assert links.shown("docs/hooks/links.py").split("````")[1] == f"python\n{text}"
    assert "[ci.yml](ci.yml)" in links.shown(".github/workflows")


def test_a_section_ends_at_the_next_heading_of_its_level():
    text = "# Title\n\n## One\n\na\n\n### Inner\n\nb\n\n## Two\n\nc\n"
    assert links.section(text, "One") == "a\n\n### Inner\n\nb"
    assert links.section(text, "Two") == "c"
    with pytest.raises(KeyError):
        links.section(text, "Three")


def test_notebooks_are_kept_without_outputs():
    for path in DOCS.rglob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert cell["cell_type"] == "markdown" or (cell["outputs"], cell["execution_count"]) == ([], None)


def test_a_notebook_as_markdown_has_its_outputs():
    png = base64.b64encode(b"picture").decode()
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["said\n"]},
        {"output_type": "stream", "name": "stderr", "text": ["a warning\n"]},
        {"output_type": "display_data", "data": {"image/png": png, "text/plain": ["<Figure>"]}},
        {"output_type": "execute_result", "data": {"text/markdown": ["| a |\n", "|---|"], "text/plain": ["<M>"]}},
        {"output_type": "execute_result", "data": {"text/plain": ["3"]}},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# Title"]},
        {"cell_type": "code", "source": ["1 + 2"], "outputs": outputs},
    ]
    text, pictures = notebooks.to_markdown({"cells": cells}, "name")
    shown = ["```python\n1 + 2\n```", "```text\nsaid\n```", "![](name-1.png)", "| a |\n|---|", "```text\n3\n```"]
    assert text == "\n\n".join(["# Title", *shown]) + "\n"
    assert pictures == {"name-1.png": b"picture"}
