"""How a run folder is laid out: no other file of the package spells these names.

recipe.yaml   the resolved recipe
run.json      versions, seed, data and command
.lock         names the process that trains it, while it does
STAGE/        the finished network (EMA weights), checkpoint.pt and checkpoint-previous.pt, log.jsonl, snapshots/,
              validation/ with pictures of held-out crops
logs/         the same for TensorBoard and other trackers
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import yaml

from aesop.box import resolved
from aesop.errors import ModelError, RunError
from aesop.files import locked

#: The stages in the order in which they are trained.
STAGES = ("fidelity", "autoencoder", "perceptual")
#: The name of the network of every stage but the auto-encoder's.
GENERATOR = "generator.safetensors"


class StageFolder:
    """The files of one stage; `network` is the finished one, `board` the folder of its trackers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = folder / ("autoencoder.safetensors" if folder.name == "autoencoder" else GENERATOR)
        self.checkpoint = folder / "checkpoint.pt"
        self.previous_checkpoint = folder / "checkpoint-previous.pt"
        self.log = folder / "log.jsonl"
        self.board = folder.parent / "logs" / folder.name

    def snapshot(self, iteration: int) -> Path:
        """Return where the EMA network of an iteration goes."""
        return self.folder / "snapshots" / f"{iteration:08d}.safetensors"

    def picture(self, iteration: int) -> Path:
        """Return where the picture of an iteration's validation goes."""
        return self.folder / "validation" / f"{iteration:08d}.png"

    def snapshots(self) -> dict[int, Path]:
        """Return the snapshots that there are by iteration, in order; raises ModelError if there are none."""
        found = sorted((self.folder / "snapshots").glob("[0-9]*[0-9].safetensors"))
        if not found:
            raise ModelError(f"{self.folder}: has no snapshots; name a run that has trained this stage.")
        return {int(path.stem): path for path in found}

    def has_begun(self) -> bool:
        """Tell whether training has left a checkpoint or a network."""
        return any(path.is_file() for path in (self.network, self.checkpoint, self.previous_checkpoint))

    def read_log(self) -> list[dict[str, Any]]:
        """Read the log: dictionaries of iteration, kind (`loss`, `validation`, ...), seconds and values."""
        if not self.log.is_file():
            return []
        lines = []
        for text in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(json.JSONDecodeError):  # the line that a killed process was writing
                line = json.loads(text)
                if isinstance(line, dict) and {"iteration", "kind"} <= line.keys():
                    lines.append(line)
        return lines


class Run:
    """A folder with everything that one training produced."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.recipe_file = self.folder / "recipe.yaml"
        self.record_file = self.folder / "run.json"
        self.lock_file = self.folder / ".lock"

    @classmethod
    def of(cls, model: Path) -> Run:
        """Return the run that a model belongs to, if to any: `model` is its folder or a stage's network."""
        return cls(model if model.is_dir() else model.parent.parent)

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes from training here; raises RunError if one does. Readers need no lock."""
        return locked(self.lock_file)

    def is_there(self) -> bool:
        """Tell whether the folder is a run, finished or not."""
        return self.record_file.is_file() or any(self.stage(name).has_begun() for name in STAGES)

    def stage(self, name: str) -> StageFolder:
        """Return the folder of a stage."""
        return StageFolder(self.folder / name)

    def generator(self) -> Path:
        """Return the network of the last stage that trains a generator; raises ModelError if it is not finished."""
        perceptual, fidelity = (self.stage(name).network for name in ("perceptual", "fidelity"))
        if perceptual.is_file():
            return perceptual
        if not self.record_file.is_file():
            raise ModelError(
                f"{self.folder}: is not a run folder (no {self.record_file.name}); name a run or a model file."
            )
        if "perceptual" not in self.read_record()["stages"]:
            if fidelity.is_file():
                return fidelity
            if self.stage("autoencoder").network.is_file():
                raise ModelError(
                    f"{self.folder}: this run trained an auto-encoder alone; a generator is expected here."
                )
        raise ModelError(
            f"{self.folder}: this run's last network is not finished; train it to the end, or name another of its "
            f"files, such as {fidelity.relative_to(self.folder)}."
        )

    def autoencoder(self) -> Path:
        """Return the finished auto-encoder; raises ModelError if there is none."""
        path = self.stage("autoencoder").network
        if not path.is_file():
            what = "this run has no trained auto-encoder" if self.record_file.is_file() else "is not a run folder"
            raise ModelError(f"{self.folder}: {what} (no {path.relative_to(self.folder)}); name one that has it.")
        return path

    def fidelity(self) -> Path | None:
        """Return the fidelity network that the later stages began with, its own or the recipe's; None if it is gone."""
        own = self.stage("fidelity").network
        if own.is_file() or not self.recipe_file.is_file():
            return own if own.is_file() else None
        try:
            weights = yaml.safe_load(self.recipe_file.read_text(encoding="utf-8"))["fidelity"]["weights"]
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            raise RunError(f"{self.recipe_file}: is damaged; name a model file of the run.") from error
        with suppress(ModelError):  # a hub that cannot be reached
            if weights is not None and (found := resolved(weights)).is_file():
                return found
        return None

    def read_record(self) -> dict[str, Any]:
        """Read the run's record; raises RunError if it is damaged."""
        try:
            record = json.loads(self.record_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.record_file}: is damaged; train into a new folder, or name a model file.") from error
        if not isinstance(record, dict) or not {"stages", "data", "processes"} <= record.keys():
            raise RunError(f"{self.record_file}: is not a run's record; train into a new folder, or name a model file.")
        return record


def seconds_of(log: Sequence[Mapping[str, Any]]) -> float:
    """Return the time of a stage by its log, added up over interruptions: the clock restarts with every process."""
    times = [line["seconds"] for line in log]
    return sum(time for time, after in zip(times, [*times[1:], -1.0], strict=True) if after < time)
