"""Models by name: those in the box, which come with the package, and those fetched into our cache folder before.

Each lies beside its card (Markdown).
"""

from __future__ import annotations

from pathlib import Path

from aesop.files import cache_folder

#: What a picture is upscaled with where no model is named.
DEFAULT = "clean-x4"
#: How files of models end; of two of one name, the last is taken.
SUFFIXES = (".pt", ".pth", ".safetensors")


def models() -> dict[str, Path]:
    """The models' files by name."""
    return {file.stem: file for file in sorted(Path(__file__).parent.glob("*.safetensors"))}


def fetched_folder() -> Path:
    """The folder of the models that `aesop models --get` fetched."""
    return cache_folder() / "openmodeldb"


def fetched() -> dict[str, Path]:
    """The files of the models that were fetched, by name."""
    files = sorted(file for file in fetched_folder().glob("*") if file.suffix in SUFFIXES)
    return {file.stem: file for file in files}


def resolved(model: Path | str) -> Path:
    """The file of a model in the box, or fetched, if `model` is its name and no file or folder is; else that path."""
    path = Path(model)
    return path if path.exists() else (fetched() | models()).get(str(model), path)
