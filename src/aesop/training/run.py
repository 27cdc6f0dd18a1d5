"""A run: the folder with everything that one training produced."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from aesop.errors import RecipeError, RunError
from aesop.files import write_atomically
from aesop.networks.state_dicts import read_metadata
from aesop.training.checkpoint import FILE as CHECKPOINT
from aesop.training.loop import Paths
from aesop.training.recipe import Recipe
from aesop.training.recipe_files import dump_recipe, load_recipe
from aesop.versions import versions

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

    def iterations(self, stage: str) -> int:
        """Return how many iterations a stage's finished network has seen, 0 if there is none.

        Raises:
            ModelError: if the file is corrupt.

        """
        output = self.paths(stage).output
        return int(read_metadata(output).get("iteration", 1)) if output.is_file() else 0

    def has_begun(self, stage: str) -> bool:
        """Tell whether a stage has left a checkpoint or a network."""
        paths = self.paths(stage)
        return paths.output.is_file() or (paths.folder / CHECKPOINT).is_file()

    def check(self, recipe: Recipe) -> None:
        """Check that the folder is new, or belongs to this recipe and can be trained on.

        Raises:
            RunError: naming what differs.

        """
        if self.folder.exists() and not self.folder.is_dir():
            raise RunError(f"{self.folder}: is a file; name a folder with --run.")
        if not self._record_path.is_file():
            if self.folder.is_dir() and any(self.folder.iterdir()):
                raise RunError(f"{self.folder}: is not empty and not a run; name a new folder with --run.")
            return
        if (self.folder / "recipe.yaml").is_file():
            self._require_same(recipe)
        trained = recipe.trained_stages()
        for number, stage in enumerate(trained):
            done, wanted = self.iterations(stage), recipe.iterations(stage)
            heirs = [later for later in trained[number + 1 :] if self.has_begun(later)]
            if 0 < done < wanted and heirs:
                raise RunError(
                    f"{self.folder}: {stage} was trained for {done} of {wanted} iterations, and {heirs[0]} builds on "
                    "it; name a new folder with --run."
                )

    def check_data(self, fingerprint: str, processes: int) -> None:
        """Check that a run that has begun was trained on these pictures, by as many processes.

        Raises:
            RunError: naming what differs.

        """
        if not self._record_path.is_file():
            return
        record = self._record()
        if record["data"] != fingerprint:
            raise RunError(
                f"{self.folder}: was trained on other pictures (or they have changed); "
                "name a new folder with --run, or the pictures it was trained on with --data."
            )
        if record["processes"] != processes:
            raise RunError(
                f"{self.folder}: was trained by {record['processes']} processes, not {processes}, each with its "
                "own batch; give the same --devices and --nodes, or name a new folder with --run."
            )

    def open(self, recipe: Recipe, fingerprint: str, processes: int) -> None:
        """Make the folder, or clear what a killed process left in it, and record the recipe.

        Raises:
            RunError: if the folder cannot be written.

        """
        if self._record_path.is_file():
            for leftover in self.folder.rglob(".*.part"):
                leftover.unlink(missing_ok=True)
        else:
            record = {
                "recipe": recipe.name,
                "stages": list(recipe.stages()),
                "seed": recipe.seed,
                "data": fingerprint,
                "processes": processes,
                "command": sys.argv,
                "versions": versions(),
            }
            write_atomically(self._record_path, json.dumps(record, indent=2) + "\n")
        write_atomically(self.folder / "recipe.yaml", dump_recipe(recipe))

    @property
    def _record_path(self) -> Path:
        return self.folder / "run.json"

    def _record(self) -> dict[str, Any]:
        try:
            record = json.loads(self._record_path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self._record_path}: is damaged; name a new folder with --run.") from error
        if not isinstance(record, dict) or not {"data", "processes"} <= record.keys():
            raise RunError(f"{self._record_path}: is not a run's record; name a new folder with --run.")
        return record

    def recipe(self) -> Recipe:
        """Read the recipe that this run was trained by.

        Raises:
            RunError: if the folder is no run.

        """
        path = self.folder / "recipe.yaml"
        if not path.is_file():
            raise RunError(f"{self.folder}: is not a run folder; it has no recipe.yaml.")
        return load_recipe(str(path))

    def _require_same(self, recipe: Recipe) -> None:
        try:
            before = _flat(self.recipe().model_dump(mode="json"))
        except RecipeError as error:
            raise RunError(
                f"{error} This run is damaged or of another version; name a new folder with --run."
            ) from error
        now = _flat(recipe.model_dump(mode="json"))
        for key in sorted(before.keys() | now.keys()):
            if key.split(".")[-1] not in _FREE and before.get(key) != now.get(key):
                raise RunError(
                    f"{self.folder}: was trained with {key} = {before.get(key)}, not {now.get(key)}; "
                    "name a new folder with --run, or take the value back."
                )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
