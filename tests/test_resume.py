"""Stopping and resuming: signals, kills, several processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from aesop.errors import Interrupted, RunError
from aesop.files import atomic_path
from aesop.run import STAGES, Run
from stopping import SECTION, stop_at
from tiny_training import OUTPUTS, TINY, command, run_tiny, same_files, same_logs, start_endless


@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupted_run_resumes_bit_for_bit(photos: Path, tmp_path: Path, stage: str):
    run_tiny(photos, tmp_path / "straight", SECTION)
    with (
        stop_at(stage, 3, lambda: signal.raise_signal(signal.SIGTERM)),
        pytest.raises(Interrupted, match="SIGTERM after iteration 3"),
    ):
        run_tiny(photos, tmp_path / "resumed", SECTION)
    assert not (tmp_path / "resumed" / OUTPUTS[STAGES.index(stage)]).exists()
    run_tiny(photos, tmp_path / "resumed", SECTION)
    for name in OUTPUTS:
        assert same_files(tmp_path / "straight", tmp_path / "resumed", name), name
    assert same_logs(Run(tmp_path / "straight"), Run(tmp_path / "resumed"))


def test_a_checkpoint_without_sums_of_losses_resumes(photos: Path, tmp_path: Path):
    run_tiny(photos, tmp_path / "straight", SECTION)
    with stop_at("fidelity", 3, lambda: signal.raise_signal(signal.SIGTERM)), pytest.raises(Interrupted):
        run_tiny(photos, tmp_path / "resumed", SECTION)
    path = Run(tmp_path / "resumed").stage("fidelity").checkpoint
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint.pop("losses")["count"] == 1
    torch.save(checkpoint, path)
    run_tiny(photos, tmp_path / "resumed", SECTION)
    assert same_files(tmp_path / "straight", tmp_path / "resumed", OUTPUTS[0])


@pytest.mark.skipif(os.name != "posix", reason="no locks on this system")
def test_a_run_that_trains_refuses_a_second_training_until_it_dies(photos: Path, tmp_path: Path):
    process = start_endless(photos, tmp_path, "data.workers=1")
    run = Run(tmp_path / "run")
    try:
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGSTOP)  # then only the second process could change anything
        before = contents(run.folder)
        second = command("train", "laptop", *TINY, "--data", photos, "--run", run.folder, cwd=tmp_path)
        assert second.returncode == 2, second.stderr
        (sentence,) = second.stderr.splitlines()
        assert f"{run.folder}: is in use by process {process.pid} on " in sentence
        assert contents(run.folder) == before
        assert run.stage("fidelity").read_log()  # readers need no lock
        os.kill(process.pid, signal.SIGKILL)  # the data loader's worker lives on for now
        process.wait()
        with run.locked():
            pass
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.skipif(os.name != "posix", reason="no locks on this system")
def test_a_lock_is_held_once_and_leaves_nothing(photos: Path, tmp_path: Path):
    run = Run(tmp_path / "run")
    with run.locked(), pytest.raises(RunError, match=rf"run: is in use by process {os.getpid()} on .* since 20"):
        run_tiny(photos, run.folder)
    assert not run.folder.exists()
    run.folder.mkdir()
    run.lock_file.write_text("process 1 on elsewhere")  # from a process that was killed before it began
    run_tiny(photos, run.folder, "fidelity.iterations=2", "autoencoder.iterations=1", "perceptual.iterations=1")
    assert run.record_file.is_file()
    assert not run.lock_file.exists()


def test_a_resumed_run_clears_leftovers_of_the_killed_and_no_others(photos: Path, tmp_path: Path):
    folder = tmp_path / "run"
    few = [f"{stage}.iterations=1" for stage in STAGES]
    run_tiny(photos, folder, *few)
    dead = folder / "fidelity" / f".{'0' * 32}.part"
    dead.touch()
    with atomic_path(folder / "fidelity" / "mine") as mine:
        run_tiny(photos, folder, *few)
        assert mine.exists()
    assert dead.exists() == (os.name != "posix")


def contents(folder: Path) -> dict[Path, tuple[int, int]]:
    """Sizes and modification times of all files."""
    stats = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def test_a_killed_run_loses_only_what_came_after_its_checkpoint(photos: Path, tmp_path: Path):
    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    run_tiny(photos, tmp_path / "straight", SECTION)
    with stop_at("perceptual", 6, die), pytest.raises(Killed):
        run_tiny(photos, tmp_path / "killed", SECTION)
    run_tiny(photos, tmp_path / "killed", SECTION)
    for name in OUTPUTS:
        assert same_files(tmp_path / "straight", tmp_path / "killed", name), name


def test_the_second_signal_kills_as_usual():
    from aesop.training.interruption import caught_signals

    # A shell's background jobs ignore the signal, and tests may run in one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with caught_signals() as caught:
        signal.raise_signal(signal.SIGINT)
        assert caught == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups on this system")
@pytest.mark.parametrize(
    ("number", "status", "devices"), [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 1), (signal.SIGTERM, 143, 2)]
)
def test_a_signal_to_the_whole_group_stops_with_a_checkpoint_and_says_how_to_resume(
    photos: Path, tmp_path: Path, number: signal.Signals, status: int, devices: int
):
    """Terminals, SLURM and systemd signal every process of a job; if a worker died, the checkpoint would be lost."""
    process = start_endless(photos, tmp_path, "data.workers=2", "--device", "cpu", "--devices", str(devices))
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert f"stopped by {number.name}" in errors
    assert "run the same command again to resume" in errors
    assert (tmp_path / "run/fidelity/checkpoint.pt").is_file()
