"""Check that a wheel holds the package and its licences and nothing else: `contents.py DIST`, from the repository."""

from __future__ import annotations

import re
import subprocess
import sys
from email.parser import BytesParser
from pathlib import Path
from zipfile import ZipFile

(wheel,) = Path(sys.argv[1]).glob("*.whl")
(source,) = Path(sys.argv[1]).glob("*.tar.gz")
tracked = subprocess.run(["git", "ls-files", "src/aesop"], capture_output=True, text=True, check=True).stdout.split()
files = {path.removeprefix("src/"): Path(path) for path in tracked}
licences = {"LICENSE": "LICENSE"} | {path: path for path in tracked if re.search("LICENSE$|niqe_pristine.txt$", path)}
with ZipFile(wheel) as archive:
    held = set(archive.namelist())
    information = wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info/"
    files |= {f"{information}licenses/{path}": Path(path) for path in licences}
    expected = files.keys() | {information + name for name in ("METADATA", "WHEEL", "entry_points.txt", "RECORD")}
    assert held == expected, sorted(held ^ expected)
    for name, path in files.items():
        assert archive.read(name) == path.read_bytes(), name
    metadata = BytesParser().parsebytes(archive.read(information + "METADATA"))
readme = metadata.get_payload()
assert isinstance(readme, str)
assert re.findall(r"\]\((?!https?:)[^)]*\)", readme) == [], "links that lead nowhere on a package index"
version = re.search(r'^__version__ = "(.+)"$', Path("src/aesop/__init__.py").read_text(), re.MULTILINE)
cited = re.search("^version: (.+)$", Path("CITATION.cff").read_text(), re.MULTILINE)
told = {found and found[1] for found in (version, cited)}
assert told == {metadata["Version"]}, f"versions differ: {told}"
box = ", ".join(
    f"{path.name} {path.stat().st_size / 1e6:.2f}" for path in files.values() if path.suffix == ".safetensors"
)
print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB, {len(held)} files (MB in the box: {box})")
print(f"{source.name}: {source.stat().st_size / 1e6:.2f} MB")
