"""Stopping and resuming: signals, kills, several processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from aesop.errors import Interrupted
from aesop.run import STAGES, Run
from stopping import SECTION, stop_at
from tiny_training import OUTPUTS, run_tiny, same_files, start_endless


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
    for name in STAGES:
        straight, resumed = ([
            {key: value for key, value in line.items() if key != "seconds"}
            for line in Run(tmp_path / run).stage(name).read_log() if line["iteration"] in (2, 6)
        ] for run in ("straight", "resumed"))  # fmt: skip
        assert straight == resumed  # the line of iteration 4 covers the iterations since the resume only


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

    # A shell's background jobs ignore it, and tests may run in one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with caught_signals() as caught:
        signal.raise_signal(signal.SIGINT)
        assert caught == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups on this system")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_whole_group_stops_with_a_checkpoint_and_says_how_to_resume(
    photos: Path, tmp_path: Path, number: signal.Signals, status: int
):
    """Terminals, SLURM and systemd signal every process of a job; one worker that died would cost the checkpoint."""
    process = start_endless(photos, tmp_path, "data.workers=2")
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert f"stopped by {number.name}" in errors
    assert "run the same command again to resume" in errors
    assert (tmp_path / "run/fidelity/checkpoint.pt").is_file()
