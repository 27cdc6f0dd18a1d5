"""What a run folder records of its training, and the checks that a later call continues the same training."""

from __future__ import annotations

import json
import sys
from typing import Any

from aesop.errors import RecipeError, RunError
from aesop.files import remove_leftovers, require_writable, write_atomically
from aesop.networks.state_dicts import read_metadata
from aesop.run import Run
from aesop.training.recipe import Recipe
from aesop.training.recipe_files import dump_recipe, load_recipe
from aesop.versions import versions

#: Keys that may change between two calls on one run: they say how long and how to look, not what is trained.
_FREE = {
    "iterations", "steps", "workers", "log_every", "validate_every", "checkpoint_every", "keep_snapshots", "best",
    "trackers", "about", "checkpointing", "validation_crop",
}  # fmt: skip


def run_recipe(run: Run) -> Recipe:
    """Read the recipe of a run; raises RunError if the folder is no run, RecipeError if the recipe is damaged."""
    if not run.recipe_file.is_file():
        raise RunError(f"{run.folder}: is not a run folder; it has no {run.recipe_file.name}.")
    return load_recipe(str(run.recipe_file))


def finished_iterations(run: Run, stage: str) -> int:
    """Return how many iterations a stage's finished network has seen, 0 if there is none."""
    network = run.stage(stage).network
    return int(read_metadata(network).get("iteration", 1)) if network.is_file() else 0


def check_recipe_of(run: Run, recipe: Recipe) -> None:
    """Raise RunError unless the folder is new, or belongs to this recipe and can be trained on."""
    if run.folder.exists() and not run.folder.is_dir():
        raise RunError(f"{run.folder}: is a file; name a folder with --run.")
    require_writable(run.record_file)
    if not run.record_file.is_file():
        entries = run.folder.iterdir() if run.folder.is_dir() else ()
        if any(entry != run.lock_file and entry.suffix != ".part" for entry in entries):
            raise RunError(f"{run.folder}: is not empty and not a run; name a new folder with --run.")
        return
    if run.recipe_file.is_file():
        _require_same(run, recipe)
    trained = recipe.trained_stages()
    for number, stage in enumerate(trained):
        done, wanted = finished_iterations(run, stage), recipe.iterations(stage)
        begun = [later for later in trained[number + 1 :] if run.stage(later).has_begun()]
        if 0 < done < wanted and begun:
            raise RunError(
                f"{run.folder}: {stage} was trained for {done} of {wanted} iterations, and {begun[0]} builds on it; "
                "name a new folder with --run."
            )


def check_batches(recipe: Recipe, processes: int) -> None:
    """Raise RunError where so many processes cannot share a stage's `total_batch`."""
    for stage in recipe.trained_stages():
        try:
            recipe.stage(stage).batch_of(processes)
        except ValueError as error:
            raise RunError(f"{stage}.{error}; choose one that is a multiple of the other.") from error


def check_pictures_of(run: Run, recipe: Recipe, fingerprint: str, processes: int) -> None:
    """Raise RunError if the run was trained on other pictures, or by processes whose batches add up to another one."""
    if not run.record_file.is_file():
        return
    record = run.read_record()
    if record["data"] != fingerprint:
        raise RunError(
            f"{run.folder}: was trained on other pictures (or they have changed); "
            "name a new folder with --run, or the pictures it was trained on with --data."
        )
    shared = all(recipe.stage(stage).total_batch for stage in recipe.trained_stages())
    if record["processes"] != processes and not shared:
        raise RunError(
            f"{run.folder}: was trained by {record['processes']} processes, not {processes}, each with its own batch; "
            "give the same --devices and --nodes, or name a new folder with --run "
            "(a recipe that sets total_batch trains on with any number of them)."
        )


def open_run(run: Run, recipe: Recipe, fingerprint: str, processes: int) -> None:
    """Make the folder, or clear what a killed process left in it, and record the recipe."""
    for folder in {leftover.parent for leftover in run.folder.rglob(".*.part")}:
        remove_leftovers(folder)
    if not run.record_file.is_file():
        record = {
            "recipe": recipe.name,
            "stages": list(recipe.stages()),
            "seed": recipe.seed,
            "data": fingerprint,
            "processes": processes,
            "command": sys.argv,
            "versions": versions(),
        }
        write_atomically(run.record_file, json.dumps(record, indent=2) + "\n")
    write_atomically(run.recipe_file, dump_recipe(recipe))


def _require_same(run: Run, recipe: Recipe) -> None:
    try:
        before = _flat(run_recipe(run).model_dump(mode="json"))
    except RecipeError as error:
        raise RunError(f"{error} This run is damaged or of another version; name a new folder with --run.") from error
    now = _flat(recipe.model_dump(mode="json"))
    for key in sorted(before.keys() | now.keys()):
        if key.split(".")[-1] not in _FREE and before.get(key) != now.get(key):
            raise RunError(
                f"{run.folder}: was trained with {key} = {before.get(key)}, not {now.get(key)}; "
                "name a new folder with --run, or restore that value."
            )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
