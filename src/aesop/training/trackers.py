"""Trackers of a stage's numbers and pictures, beside its log: a small class for each that a recipe may name."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol
from uuid import uuid4

import numpy as np

from aesop.errors import AesopError, MissingExtraError, RunError
from aesop.files import write_atomically
from aesop.run import StageFolder
from aesop.training.fabric import CSVLogger, TensorBoardLogger
from aesop.words import first_line

#: What a picture is called.
PICTURES = "validation/pictures"


class Tracker(Protocol):
    """Takes numbers by names such as `loss/pixel`, and pictures: uint8, H x W x 3."""

    def numbers(self, iteration: int, values: Mapping[str, float]) -> None:
        """Take what was measured at an iteration."""

    def picture(self, iteration: int, picture: np.ndarray) -> None:
        """Take the picture of a validation."""

    def finish(self, *, finished: bool) -> None:
        """Take the end of this call's training: the stage is finished, or was interrupted."""


@dataclass(frozen=True)
class Start:
    """What a tracker begins with.

    The stage's `files`, the iteration `done` of the checkpoint it resumes from, the `lines` of its log up to there, the
    last iteration that was `logged` before (those after `done` are logged again), and facts `about` the training.
    """

    files: StageFolder
    done: int
    lines: Sequence[Mapping[str, Any]]
    logged: int
    about: Mapping[str, Any]

    @property
    def title(self) -> str:
        """The names of run folder and stage."""
        return f"{self.files.folder.parent.resolve().name}-{self.files.folder.name}"


def require(names: Iterable[str]) -> None:
    """Raise MissingExtraError where the package of a tracker is not installed."""
    for name in set(names) & {"wandb", "mlflow", "trackio"}:
        spec = find_spec(name)
        if spec is None or spec.origin is None:  # a folder of this name, such as wandb makes
            raise MissingExtraError(f"The tracker {name}", name)


def start(names: Iterable[str], begin: Start) -> dict[str, Tracker]:
    """Start trackers, by their names; raises RunError where one cannot."""
    trackers: dict[str, Tracker] = {}
    for name in names:
        try:
            trackers[name] = TRACKERS[name](begin)
        except AesopError:
            raise
        except Exception as error:  # each package has its own errors
            why = first_line(error).rstrip(".")
            raise RunError(f"trackers: {name} does not start ({why}); mend that, or leave {name} out.") from error
    return trackers


def numbers_of(line: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a line of the log by the names that trackers know."""
    return {
        f"{line['kind']}/{key}": value for key, value in line.items() if isinstance(value, float) and key != "seconds"
    }


class Local:
    """A tracker that writes to the run folder, by one of Fabric's loggers."""

    logger: CSVLogger | TensorBoardLogger

    def numbers(self, iteration: int, values: Mapping[str, float]) -> None:
        self.logger.log_metrics(dict(values), step=iteration)

    def finish(self, *, finished: bool) -> None:
        self.logger.finalize("success" if finished else "failed")


class CSV(Local):
    """Rows of iteration and numbers, those before the checkpoint written anew."""

    def __init__(self, begin: Start) -> None:
        folder = begin.files.board / "csv"
        (folder / "metrics.csv").unlink(missing_ok=True)
        self.logger = CSVLogger(folder.parent, name="", version=folder.name, flush_logs_every_n_steps=1)
        for line in begin.lines:
            if values := numbers_of(line):
                self.numbers(line["iteration"], values)

    def picture(self, iteration: int, picture: np.ndarray) -> None:
        """Leave pictures to the files beside the log."""


class TensorBoard(Local):
    """Curves and pictures for TensorBoard, which drops those after the checkpoint."""

    def __init__(self, begin: Start) -> None:
        board = begin.files.board
        self.logger = TensorBoardLogger(board.parent, name="", version=board.name, purge_step=begin.done + 1)

    def picture(self, iteration: int, picture: np.ndarray) -> None:
        self.logger.experiment.add_image(PICTURES, picture, iteration, dataformats="HWC")


class Remote:
    """A tracker that cannot delete entries: what it was sent before an interruption is not sent again.

    It continues its run, whose id the run folder keeps. `send` and `show` are W&B's interface, which trackio shares.
    """

    name: str
    run: Any

    def __init__(self, begin: Start) -> None:
        self.package = import_module(self.name)
        kept = begin.files.board / f"{self.name}.id"
        known = kept.read_text(encoding="utf-8").strip() if kept.is_file() else ""
        self.sent = begin.logged if known else 0
        self.id = self.open(begin, known)
        write_atomically(kept, f"{self.id}\n")

    def numbers(self, iteration: int, values: Mapping[str, float]) -> None:
        if iteration > self.sent:
            self.send(iteration, values)

    def picture(self, iteration: int, picture: np.ndarray) -> None:
        if iteration > self.sent:
            self.show(iteration, picture)

    def open(self, begin: Start, known: str) -> str:
        """Begin a run, or continue the one of a known id; return its id."""
        raise NotImplementedError

    def send(self, iteration: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=iteration)

    def show(self, iteration: int, picture: np.ndarray) -> None:
        self.run.log({PICTURES: self.package.Image(picture)}, step=iteration)


class WandB(Remote):
    """Weights & Biases, as its environment variables say; offline runs lie in the run folder."""

    name = "wandb"

    def open(self, begin: Start, known: str) -> str:
        identity = known or uuid4().hex[:8]
        folder = begin.files.board
        folder.mkdir(parents=True, exist_ok=True)
        project = os.environ.get("WANDB_PROJECT", "aesop")
        config = dict(begin.about)
        self.run = self.package.init(
            project=project, name=begin.title, id=identity, resume="allow", dir=str(folder), config=config
        )
        return identity

    def finish(self, *, finished: bool) -> None:
        self.run.finish(exit_code=0 if finished else 1)


class MLflow(Remote):
    """MLflow, on the server of MLFLOW_TRACKING_URI, or in a data base and files in the run folder."""

    name = "mlflow"

    def open(self, begin: Start, known: str) -> str:
        folder = begin.files.board.parent.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        own = None if "MLFLOW_TRACKING_URI" in os.environ else folder
        self.client = self.package.MlflowClient(own and f"sqlite:///{own / 'mlflow.db'}")
        if known:
            self.client.update_run(known, status="RUNNING")
            return known
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "aesop")
        found = self.client.get_experiment_by_name(name)
        place = own and (own / "mlflow-artifacts").as_uri()
        experiment = found.experiment_id if found else self.client.create_experiment(name, place)
        identity = self.client.create_run(experiment, run_name=begin.title).info.run_id
        self.client.log_dict(identity, dict(begin.about), "about.json")
        return identity

    def send(self, iteration: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.client.log_metric(self.id, name, value, step=iteration)

    def show(self, iteration: int, picture: np.ndarray) -> None:
        self.client.log_image(self.id, picture, key=PICTURES, step=iteration)

    def finish(self, *, finished: bool) -> None:
        self.client.set_terminated(self.id, "FINISHED" if finished else "KILLED")


class Trackio(Remote):
    """trackio, as its environment variables say; without them in its own folder, where `trackio show` looks."""

    name = "trackio"

    def open(self, begin: Start, known: str) -> str:
        identity = known or f"{begin.title}-{uuid4().hex[:8]}"
        with redirect_stdout(sys.stderr):
            self.run = self.package.init("aesop", name=identity, config=dict(begin.about), resume="allow")
        return identity

    def finish(self, *, finished: bool) -> None:  # noqa: ARG002 - trackio has no such state
        with redirect_stdout(sys.stderr):
            self.run.finish()


#: By their names in a recipe.
TRACKERS: dict[str, type[CSV | TensorBoard | WandB | MLflow | Trackio]] = {
    "csv": CSV,
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "mlflow": MLflow,
    "trackio": Trackio,
}
