"""Snapshots: a stage's network along its training. Those that a recipe does not keep are removed again."""

from __future__ import annotations

from contextlib import suppress

from aesop.errors import ModelError
from aesop.run import StageFolder
from aesop.training.recipe import StageConfig
from aesop.training.validation import best_of


def prune(files: StageFolder, config: StageConfig, done: int) -> None:
    """Remove all snapshots but the last `keep_snapshots` and the best; all stay where none is the best.

    `done` is the iteration of the last checkpoint: what comes after it may still have to be done again.
    """
    if not config.keep_snapshots or (best := best_of(files.read_log(), config.best)) is None:
        return
    with suppress(ModelError):  # the user has removed the snapshots
        passed = {iteration: path for iteration, path in files.snapshots().items() if iteration <= done}
        kept = {best["iteration"], *list(passed)[-config.keep_snapshots :]}
        for iteration, path in passed.items():
            if iteration not in kept:
                path.unlink()
