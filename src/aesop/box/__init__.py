"""The models in the box: weights that come with the package, by name, each beside its card (Markdown)."""

from __future__ import annotations

from pathlib import Path

#: What a picture is upscaled with where no model is named.
DEFAULT = "clean-x4"


def models() -> dict[str, Path]:
    """The models' files by name."""
    return {file.stem: file for file in sorted(Path(__file__).parent.glob("*.safetensors"))}


def resolved(model: Path | str) -> Path:
    """The file of a model in the box, if `model` is its name and no file or folder has that name; else that path."""
    path = Path(model)
    return path if path.exists() else models().get(str(model), path)
