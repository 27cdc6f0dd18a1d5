"""Models by name: those in the box, which come with the package, and those fetched into our cache folder before.

Each lies beside its card (Markdown). Models of Hugging Face are called by their address, `hf://OWNER/NAME`.
"""

from __future__ import annotations

from pathlib import Path

from aesop.box.hub import SUFFIXES, address_of, fetch
from aesop.files import cache_folder

__all__ = ["AUTO", "SUFFIXES", "chosen", "fetched", "fetched_folder", "is_auto", "models", "resolved", "twins"]

#: The name of whichever model in the box fits a picture.
AUTO = "auto"


def models() -> dict[str, Path]:
    """The models' files by name."""
    return {file.stem: file for file in sorted(Path(__file__).parent.glob("*.safetensors"), key=lambda file: file.stem)}


def is_auto(model: object) -> bool:
    """Whether a model is asked for as whichever in the box fits; a file or folder of that name goes before."""
    return isinstance(model, Path | str) and str(model) == AUTO and not Path(model).exists()


def chosen(*, compressed: bool = False, factor: float = 4) -> str:
    """The name of the model for pictures of lossy formats, or of others, that are to be `factor` times as large."""
    if not compressed:
        return "clean-x4"
    return "photo-x2" if factor <= 2 else "photo-x4"


def twins(model: Path | str) -> tuple[Path, Path] | None:
    """A fidelity network in the box and its perceptual twin, NAME-aesop, by the name of either."""
    found, name = models(), str(model).removesuffix("-aesop")
    if Path(model).exists() or not {name, f"{name}-aesop"} <= found.keys():
        return None
    return found[name], found[f"{name}-aesop"]


def fetched_folder() -> Path:
    """The folder of the models that `aesop models --get` fetched."""
    return cache_folder() / "openmodeldb"


def fetched() -> dict[str, Path]:
    """The files of the models that were fetched, by name."""
    files = sorted(file for file in fetched_folder().glob("*") if file.suffix in SUFFIXES)
    return {file.stem: file for file in files}


def resolved(model: Path | str) -> Path:
    """The file of a model: of one in the box, or fetched, by its name, where no file or folder has it; else that path.

    One of Hugging Face is fetched, or taken from its cache; raises ModelError where that fails.
    """
    path = Path(model)
    if path.exists():
        return path
    if (address := address_of(model)) is not None:
        return fetch(address)
    return (fetched() | models()).get(str(model), path)
