"""Trackers: each gets every number and picture once, even if training was interrupted."""

from __future__ import annotations

import csv
import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from aesop.errors import MissingExtraError, RecipeError, RunError
from aesop.networks.state_dicts import read_metadata
from aesop.run import Run, StageFolder
from aesop.training import trackers
from aesop.training.recipe_files import load_recipe
from stopping import SECTION, stop_at
from tiny_training import TINY, run_tiny

#: Iterations 3 and 4 are logged, lost and repeated.
SETTINGS = [
    SECTION, "autoencoder=null", "perceptual=null", "fidelity.log_every=1", "fidelity.validate_every=2",
    "fidelity.checkpoint_every=5",
]  # fmt: skip


class Killed(BaseException):
    pass


def die() -> None:
    raise Killed


def killed_and_resumed(photos: Path, run: Path, *settings: str) -> StageFolder:
    for iteration in (4, 6):
        with stop_at("fidelity", iteration, die), pytest.raises(Killed):
            run_tiny(photos, run, *SETTINGS, *settings)
    run_tiny(photos, run, *SETTINGS, *settings)
    return Run(run).stage("fidelity")


def logged(files: StageFolder) -> set[tuple[str, int, float]]:
    """All numbers of the log, under the names that trackers use."""
    return {
        (f"{line['kind']}/{name}", line["iteration"], value)
        for line in files.read_log()
        for name, value in line.items()
        if name not in ("iteration", "kind", "seconds")
    }


def test_csv_and_tensorboard_have_the_logs_numbers_after_a_kill(photos: Path, tmp_path: Path):
    files = killed_and_resumed(photos, tmp_path / "run", "trackers=[csv,tensorboard]")
    with (files.board / "csv/metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = [
        (name, int(row["step"]), float(value))
        for row in rows
        for name, value in row.items()
        if value and name != "step"
    ]
    assert len(found) == len(set(found))
    assert set(found) == logged(files)
    board = EventAccumulator(str(files.board)).Reload()
    expected = {(name, iteration) for name, iteration, _ in logged(files)}
    assert {(name, event.step) for name in board.Tags()["scalars"] for event in board.Scalars(name)} == expected
    assert [event.step for event in board.Images(trackers.PICTURES)] == [2, 4, 6]


def test_without_trackers_the_log_is_written_alone(photos: Path, tmp_path: Path):
    settings = [*SETTINGS, "fidelity.iterations=2"]
    run_tiny(photos, tmp_path / "run", *settings, "trackers=[]")
    assert not (tmp_path / "run/logs").exists()
    assert logged(Run(tmp_path / "run").stage("fidelity"))
    run_tiny(photos, tmp_path / "run", *settings[:-1], "trackers=[csv]")  # they may change between calls
    files = Run(tmp_path / "run").stage("fidelity")
    first = (files.board / "csv/metrics.csv").read_text(encoding="utf-8").splitlines()[1]
    assert str(min(logged(files))[2])[:6] in first or ",1," in first


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_other_trackers_get_each_number_once(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_PROJECT", "TRACKIO_SPACE_ID"):
        monkeypatch.delenv(variable, raising=False)
    pytest.importorskip(name, reason=f"{name} is not installed")  # trackio reads its variable as it is imported
    files = killed_and_resumed(photos, tmp_path / "run", f"trackers=[{name}]")
    if name == "mlflow":
        with sqlite3.connect(tmp_path / "run/logs/mlflow.db") as base:
            found = base.execute("select key, step, value from metrics").fetchall()
            assert base.execute("select count(*), min(status) from runs").fetchone() == (1, "FINISHED")
        pictures = len(list(tmp_path.glob("run/logs/mlflow-artifacts/*/artifacts/images/*.png")))
    elif name == "trackio":
        with sqlite3.connect(tmp_path / "trackio/aesop.db") as base:
            rows = base.execute("select distinct run_name, step, metrics from metrics").fetchall()
        assert len({run for run, _, _ in rows}) == 1
        values = [(step, json.loads(line)) for _, step, line in rows]
        found = [(key, step, value) for step, line in values for key, value in line.items() if "/pictures" not in key]
        pictures = len(list(tmp_path.glob("trackio/media/**/*.png")))
    else:
        runs = sorted(files.board.glob("wandb/offline-run-*/*.wandb"))
        assert len(runs) == 3
        assert len({path.name for path in runs}) == 1  # of one id
        content = b"".join(path.read_bytes() for path in runs)
        found = [entry for entry in logged(files) if json.dumps(entry[2]).encode() in content]
        pictures = len(list(files.board.glob("wandb/offline-run-*/files/media/images/**/*.png")))
    assert sorted(found) == sorted(logged(files))
    assert pictures == 3


def test_a_tracker_hears_whether_the_stage_was_finished(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    heard = []
    monkeypatch.setattr(trackers.CSV, "finish", lambda self, *, finished: heard.append(finished))
    killed_and_resumed(photos, tmp_path / "run", "trackers=[csv]")
    assert heard == [False, False, True]


def test_a_tracker_that_is_not_installed_is_named_before_training(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"The tracker wandb needs .* pip install 'aesop-sr\[wandb\]'"):
        run_tiny(photos, tmp_path / "run", "trackers=[wandb]")
    assert not (tmp_path / "run").exists()
    with pytest.raises(RecipeError, match="trackers"):
        load_recipe("laptop", [*TINY, "trackers=[wandbee]"])


def test_trackers_and_model_files_are_told_no_folders(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Servers and files are shared, so they must not contain this machine's paths."""
    told = []

    class Curious(trackers.CSV):
        def __init__(self, begin: trackers.Start) -> None:
            told.append(json.dumps(dict(begin.about)))
            super().__init__(begin)

    monkeypatch.setitem(trackers.TRACKERS, "csv", Curious)
    settings = [*SETTINGS, "fidelity.iterations=1"]
    run_tiny(photos, tmp_path / "first", *settings, "trackers=[]")
    start = Run(tmp_path / "first").stage("fidelity").network
    run_tiny(photos, tmp_path / "run", *settings, "trackers=[csv]", f"fidelity.start_weights={start}")
    assert f'"start_weights": "{start.name}"' in told[0]
    assert str(tmp_path) not in told[0]
    made = Run(tmp_path / "run").stage("fidelity").network
    assert read_metadata(made)["recipe"]["fidelity"]["start_weights"] == start.name
    assert str(tmp_path).encode() not in made.read_bytes()


class Broken(trackers.CSV):
    def numbers(self, iteration: int, values: object) -> None:
        raise ConnectionError("the server is gone\nmore")


def test_training_goes_on_without_a_tracker_that_fails(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(trackers.TRACKERS, "csv", Broken)
    said = run_tiny(photos, tmp_path / "run", *SETTINGS, "trackers=[csv,tensorboard]")
    line = "trackers: csv failed; training continues without it (the server is gone)"
    assert said.count(line) == 1
    files = Run(tmp_path / "run").stage("fidelity")
    assert files.network.is_file()
    assert list(files.board.glob("events*"))


def test_a_tracker_that_does_not_start_is_one_sentence(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_key(begin: object) -> None:
        raise ValueError("no API key.\nCall login.")

    monkeypatch.setitem(trackers.TRACKERS, "csv", no_key)
    with pytest.raises(RunError, match=r"^trackers: csv does not start \(no API key\); mend that, or leave csv out\.$"):
        run_tiny(photos, tmp_path / "run", *SETTINGS, "trackers=[csv]")


def test_pictures_are_told_as_they_are_written(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from aesop.data.pictures import read_picture

    shown: dict[int, np.ndarray] = {}
    monkeypatch.setattr(trackers.CSV, "picture", lambda self, iteration, picture: shown.update({iteration: picture}))
    run_tiny(photos, tmp_path / "run", *SETTINGS, "trackers=[csv]")
    assert list(shown) == [2, 4, 6]
    for iteration, picture in shown.items():
        assert np.array_equal(read_picture(Run(tmp_path / "run").stage("fidelity").picture(iteration)), picture)
