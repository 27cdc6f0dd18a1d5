"""Notebooks of the site: kept without outputs, run from top to bottom as the site is built, shown with what came out.

A cell that fails ends the build. What came out is kept in build/notebooks until the notebook or the package changes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "notebooks"
#: Seconds that a cell may take.
LONGEST = 300


def executed(path: Path) -> dict[str, Any]:
    """The notebook with its outputs, run in its own folder; raises nbclient's CellExecutionError where a cell fails."""
    digest = hashlib.sha256(path.read_bytes())
    for file in sorted(path for path in (ROOT / "src").rglob("*") if path.suffix in (".py", ".safetensors")):
        digest.update(file.read_bytes())
    kept = KEPT / f"{path.stem}-{digest.hexdigest()[:16]}.ipynb"
    if not kept.exists():
        import nbformat
        from nbclient import NotebookClient

        notebook = nbformat.read(path, as_version=4)
        resources = {"metadata": {"path": str(path.parent)}}
        client = NotebookClient(notebook, timeout=LONGEST, resources=resources, extra_arguments=["--log-level=ERROR"])
        # One thread: the numbers are then the same wherever the site is built, and busy machines are no slower.
        client.execute(env=os.environ | {"OMP_NUM_THREADS": "1"})
        KEPT.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, kept)
    return json.loads(kept.read_text(encoding="utf-8"))


def to_markdown(notebook: dict[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """The notebook as Markdown, and its pictures by the names under which the Markdown shows them."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {"text/plain": output.get("text", "")})
            if "image/png" in data:
                picture = f"{name}-{len(pictures) + 1}.png"
                pictures[picture] = base64.b64decode("".join(data["image/png"]))
                parts.append(f"![]({picture})")
            elif "text/markdown" in data:
                parts.append("".join(data["text/markdown"]))
            elif output["output_type"] != "stream" or output["name"] == "stdout":
                parts.append(f"```text\n{''.join(data['text/plain']).rstrip()}\n```")
    return "\n\n".join(parts) + "\n", pictures


def on_files(files: Any, config: Any) -> Any:
    """Add a page for each notebook, which itself stays as a file to download."""
    from mkdocs.structure.files import File

    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        path = Path(file.abs_src_path)
        text, pictures = to_markdown(executed(path), path.stem)
        folder = file.src_uri.rpartition("/")[0]
        files.append(File.generated(config, f"{folder}/{path.stem}.md", content=text))
        for name, picture in pictures.items():
            files.append(File.generated(config, f"{folder}/{name}", content=picture))
    return files
