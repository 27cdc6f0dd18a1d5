"""Several processes resume from one checkpoint, each with its own pool of pairs."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from aesop.networks.state_dicts import read_metadata
from aesop.run import Run
from tiny_training import OUTPUTS, TINY, flip, run_tiny, same_files

SHARED = ["fidelity.total_batch=4", "fidelity.cosine=false", "perceptual=null", "autoencoder=null"]


def two_machines(photos: Path, work: Path, runs: tuple[Path, Path], *overrides: str) -> list[tuple[int, str]]:
    """Train with a process on each of two machines, as torchrun would start them; return status and errors of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = []
    for rank, run in enumerate(runs):
        variables = {"TORCHELASTIC_RUN_ID": "a", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1", "RANK": str(rank),
                     "LOCAL_RANK": "0", "GROUP_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
                     "OMP_NUM_THREADS": "1", "AESOP_CACHE": str(work / "cache"), "AESOP_TIMEOUT": "60"}  # fmt: skip
        arguments = [*TINY, *overrides, "--data", str(photos), "--run", str(run), "--device", "cpu"]
        processes.append(subprocess.Popen(
            [sys.executable, "-m", "aesop", "train", "laptop", *arguments],
            stderr=subprocess.PIPE, text=True, env={**os.environ, **variables},
        ))  # fmt: skip
    try:
        return [(process.wait(timeout=240), process.stderr.read()) for process in processes if process.stderr]
    finally:
        for process in processes:
            process.kill()


@pytest.mark.long
def test_processes_resume_from_the_checkpoint_of_the_first_or_say_why_not(photos: Path, tmp_path: Path):
    runs = tmp_path / "first", tmp_path / "second"
    run_tiny(photos, runs[0], *SHARED, "fidelity.iterations=4")
    Run(runs[0]).stage("fidelity").network.unlink()
    shutil.copytree(runs[0], runs[1])
    flip(Run(runs[0]).stage("fidelity").checkpoint)  # the second machine's copy is sound
    for status, errors in two_machines(photos, tmp_path, runs, *SHARED, "fidelity.iterations=6"):
        assert status == 0, errors
    stage, other = (Run(run).stage("fidelity") for run in runs)
    assert read_metadata(stage.network)["iteration"] == 6
    assert [line["iteration"] for line in stage.read_log() if line["kind"] == "loss"] == [2, 4, 6]
    run_tiny(photos, tmp_path / "alone", *SHARED)
    alone = torch.load(Run(tmp_path / "alone").stage("fidelity").checkpoint, weights_only=True)
    both = torch.load(stage.checkpoint, weights_only=True)
    for name, value in alone["state"]["network"].items():
        torch.testing.assert_close(both["state"]["network"][name], value, rtol=1e-3, atol=2e-5)
    for missing in (False, True):  # first, what the second has is of iteration 4
        if missing:
            shutil.rmtree(other.folder)
        (one, _), (two, errors) = two_machines(photos, tmp_path, runs, *SHARED, "fidelity.iterations=8")
        assert (one, two) == (2, 2), errors
        told = errors.splitlines()[-1]
        assert re.search(r"checkpoint.pt: process 2 of 2: cannot read the checkpoint of the first one", told), errors
        assert ("(iteration 6, not 4)" in told) != missing
        assert "Traceback" not in errors


@pytest.mark.long
def test_processes_resume_with_their_own_pools_of_degraded_pairs(photos: Path, tmp_path: Path):
    degradation = ["degradation={type: real-esrgan, source_crop: 48, pool: 6}", "perceptual=null", "autoencoder=null"]
    run, resumed = tmp_path / "run", tmp_path / "resumed"
    for status, errors in two_machines(photos, tmp_path, (run, run), *degradation):
        assert status == 0, errors
    pools = torch.load(Run(run).stage("fidelity").checkpoint, weights_only=True)["state"]["degradation"]["processes"]
    assert torch.stack(pools["hr"]).shape == (2, 6, 3, 32, 32)
    assert not torch.equal(*pools["hr"])
    shutil.copytree(run, resumed)
    for file in (Run(resumed).stage("fidelity").network, Run(resumed).stage("fidelity").checkpoint):
        file.unlink()  # iterations 5 and 6 draw from pools that are full
    for status, errors in two_machines(photos, tmp_path, (resumed, resumed), *degradation):
        assert status == 0, errors
    assert same_files(run, resumed, OUTPUTS[0])
