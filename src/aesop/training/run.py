"""A run: the folder with everything that one training produced."""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from aesop.errors import RecipeError, RunError
from aesop.files import write_atomically
from aesop.training.loop import Paths
from aesop.training.recipe import Recipe
from aesop.training.recipe_files import check_recipe, dump_recipe

#: The file that each stage's finished network goes to.
NETWORKS = {
    "fidelity": "generator.safetensors",
    "autoencoder": "autoencoder.safetensors",
    "perceptual": "generator.safetensors",
}

#: Keys that may change between two calls on one run: they say how long and how to look, not what is trained.
_FREE = {
    "iterations",
    "steps",
    "workers",
    "log_every",
    "validate_every",
    "checkpoint_every",
    "about",
    "validation_crop",
}


class Run:
    """A run folder: `recipe.yaml` (resolved), `run.json` (versions, seed, data), a folder a stage, `logs`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def paths(self, stage: str) -> Paths:
        """Return where a stage's results stand."""
        return Paths(self.folder / stage, self.folder / "logs", NETWORKS[stage])

    def is_done(self, stage: str) -> bool:
        """Tell whether a stage's network is finished."""
        return self.paths(stage).output.is_file()

    def open(self, recipe: Recipe, fingerprint: str) -> None:
        """Make the folder, or check that it belongs to this recipe and these pictures.

        Raises:
            RunError: naming what differs.

        """
        recorded = self.folder / "run.json"
        if self.folder.exists() and not self.folder.is_dir():
            raise RunError(f"{self.folder}: is a file; name a folder with --run.")
        if recorded.is_file():
            self._require_same(recipe, json.loads(recorded.read_text(encoding="utf-8")), fingerprint)
        elif self.folder.is_dir() and any(self.folder.iterdir()):
            raise RunError(f"{self.folder}: is not empty and not a run; name a new folder with --run.")
        write_atomically(self.folder / "recipe.yaml", dump_recipe(recipe))
        if not recorded.is_file():
            write_atomically(recorded, json.dumps(_record(recipe, fingerprint), indent=2) + "\n")

    def recipe(self) -> Recipe:
        """Read the recipe that this run was trained by.

        Raises:
            RunError: if the folder is no run.

        """
        path = self.folder / "recipe.yaml"
        if not path.is_file():
            raise RunError(f"{self.folder}: is not a run folder; it has no recipe.yaml.")
        return check_recipe(yaml.safe_load(path.read_text(encoding="utf-8")), str(path))

    def _require_same(self, recipe: Recipe, record: dict[str, Any], fingerprint: str) -> None:
        try:
            before = _flat(self.recipe().model_dump(mode="json"))
        except RecipeError as error:
            raise RunError(f"{error} This run is of another version; name a new folder with --run.") from error
        now = _flat(recipe.model_dump(mode="json"))
        for key in sorted(before.keys() | now.keys()):
            if key.split(".")[-1] not in _FREE and before.get(key) != now.get(key):
                raise RunError(
                    f"{self.folder}: was trained with {key} = {before.get(key)}, not {now.get(key)}; "
                    "name a new folder with --run, or take the value back."
                )
        if record["data"] != fingerprint:
            raise RunError(
                f"{self.folder}: was trained on other pictures (or they have changed); "
                "name a new folder with --run, or the pictures it was trained on with --data."
            )


def _record(recipe: Recipe, fingerprint: str) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "stages": list(recipe.stages()),
        "seed": recipe.seed,
        "data": fingerprint,
        "command": sys.argv,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of what decides the numbers of a run."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("aesop-sr", "torch", "lightning-fabric", "spandrel", "numpy", "pyvips"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
