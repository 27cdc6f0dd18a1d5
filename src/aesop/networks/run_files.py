"""Where a run folder keeps its networks."""

from __future__ import annotations

import json
from pathlib import Path

from aesop.errors import ModelError


def generator_file(folder: Path) -> Path:
    """Return a run folder's generator: that of its last stage that trains one.

    Raises:
        ModelError: if the folder is no run, or that stage is not finished.

    """
    perceptual, fidelity = (folder / stage / "generator.safetensors" for stage in ("perceptual", "fidelity"))
    if perceptual.is_file():
        return perceptual
    if not (folder / "run.json").is_file():
        raise ModelError(f"{folder}: is not a run folder (no run.json); name a run or a model file.")
    if "perceptual" not in _stages(folder / "run.json"):
        if fidelity.is_file():
            return fidelity
        if (folder / "autoencoder" / "autoencoder.safetensors").is_file():
            raise ModelError(f"{folder}: this run trained an auto-encoder alone; name a generator here.")
    raise ModelError(
        f"{folder}: this run's last network is not finished; train it to the end, or name another of its files, such "
        "as fidelity/generator.safetensors."
    )


def autoencoder_file(folder: Path) -> Path:
    """Return a run folder's auto-encoder.

    Raises:
        ModelError: if it has none, or none that is finished.

    """
    path = folder / "autoencoder" / "autoencoder.safetensors"
    if not path.is_file():
        raise ModelError(f"{folder}: this run has no trained auto-encoder ({path}); name one that has.")
    return path


def _stages(record: Path) -> list[str]:
    try:
        return list(json.loads(record.read_text(encoding="utf-8"))["stages"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{record}: is damaged; name one of the run's model files.") from error
