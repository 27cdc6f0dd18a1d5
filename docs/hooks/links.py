"""Links and excerpts of the site: its pages are read in the repository too, so they link to its files.

A file outside docs/ that a page links to becomes a page of the site below repository/: Markdown as it is, a folder as
a list, all else as text. A line `<!-- FILE.md: Heading -->` stands for that section of the file.
"""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: Where pages of files outside docs/ lie in the site.
OUTSIDE = "repository/"
#: Files that the navigation names and no page need link to.
ALWAYS = ("CHANGELOG.md",)
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".cff": "yaml", ".json": "json"}

_LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)(?=[)#\s])")
_FENCED = re.compile(r"(^ *```.*?^ *```$)", re.DOTALL | re.MULTILINE)
_EXCERPT = re.compile(r"^<!-- (\S+\.md): (.+) -->$", re.MULTILINE)
#: What a browser would fetch by itself from another host.
_FETCHED = re.compile(r"""<(?:script|img|iframe|source|link)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^"' >]+""")

log = logging.getLogger(f"mkdocs.hooks.{Path(__file__).stem}")


def origin(page: str) -> str:
    """The file of the repository that a page of the site shows."""
    if not page.startswith(OUTSIDE):
        return f"docs/{page}"
    path = page.removeprefix(OUTSIDE)
    return path if (ROOT / path).exists() else path.removesuffix("/index.md").removesuffix(".md")


def page_of(path: str) -> str:
    """The page, or file, of the site that shows a file or folder of the repository."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/").replace(".ipynb", ".md")
    if (ROOT / path).is_dir():
        return f"{OUTSIDE}{path}/index.md"
    return OUTSIDE + path + ("" if path.endswith(".md") else ".md")


def targets(text: str, source: str) -> Iterator[str]:
    """The files of the repository to which a Markdown text of the file `source` links."""
    for part in _FENCED.split(text)[::2]:
        for link in _LINK.findall(part):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
            if not path.startswith("../") and (ROOT / path).exists():
                yield path


def rewritten(text: str, source: str, page: str) -> str:
    """The text of the file `source`, its links leading from the page `page` of the site to pages of the site."""

    def target(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        if path.startswith("../") or not (ROOT / path).exists():
            return link[1]
        return posixpath.relpath(page_of(path), posixpath.dirname(page) or ".")

    parts = _FENCED.split(text)
    parts[::2] = [_LINK.sub(target, part) for part in parts[::2]]
    return "".join(parts)


def section(text: str, heading: str) -> str:
    """What stands below a heading of a Markdown text, up to the next of its level; KeyError where there is none."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^\1 |\Z)", text, re.DOTALL | re.MULTILINE)
    if not found:
        raise KeyError(heading)
    return found[2].strip()


def shown(path: str) -> str:
    """A file or folder of the repository as a page."""
    file = ROOT / path
    if file.is_dir():
        inside = sorted(entry.name for entry in file.iterdir() if not entry.name.startswith((".", "__")))
        return f"# {path}/\n\n" + "".join(f"- [{name}]({name})\n" for name in inside)
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        return text
    fence = "`" * 4
    return f"# {path}\n\n{fence}{LANGUAGES.get(file.suffix, 'text')}\n{text.rstrip()}\n{fence}\n"


def _excerpts(text: str, page: str) -> str:
    """Fill in the sections of other files, links included."""

    def excerpt(line: re.Match[str]) -> str:
        return rewritten(section((ROOT / line[1]).read_text(encoding="utf-8"), line[2]), line[1], page)

    return _EXCERPT.sub(excerpt, text)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of all files outside docs/ that are linked to, those that these link to among them."""
    from mkdocs.structure.files import File

    pages = [file for file in files.documentation_pages() if file.abs_src_path]
    waiting = list(ALWAYS)
    for page in pages:
        text = _EXCERPT.sub("", page.content_string)
        waiting += targets(text, origin(page.src_uri))
        for source, heading in _EXCERPT.findall(page.content_string):
            waiting += targets(section((ROOT / source).read_text(encoding="utf-8"), heading), source)
    done = set()
    while waiting:
        path = waiting.pop()
        if path.startswith("docs/") or path in done:
            continue
        done.add(path)
        text = shown(path)
        files.append(File.generated(config, page_of(path), content=text))
        if path.endswith(".md") or (ROOT / path).is_dir():
            waiting += targets(text, path + ("/" if (ROOT / path).is_dir() else ""))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in excerpts, and let links lead to pages of the site."""
    uri = page.file.src_uri
    source = origin(uri)
    text = rewritten(markdown, source + ("/" if (ROOT / source).is_dir() else ""), uri)
    return _excerpts(text, uri)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Warn of everything that a browser would fetch from elsewhere."""
    for found in _FETCHED.findall(output):
        log.warning("%s would be fetched from outside: %s", page.file.src_uri, found)
    return output
