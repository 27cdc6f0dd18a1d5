"""Settings from torchrun and SLURM, and the loss of another process; for two machines see benchmarks/two_nodes.py."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from aesop.errors import RunError
from aesop.networks.state_dicts import read_metadata
from aesop.run import Run
from aesop.training.fabric import Fabric, ddp, rank_zero_only, runtime_errors_explained, shape_of
from aesop.training.interruption import Agreement
from tiny_training import TINY, run_tiny, start_endless

SLURM = {"SLURM_JOB_ID": "77", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4",
         "SLURM_NNODES": "2", "SLURM_PROCID": "6", "SLURM_LOCALID": "2", "SLURM_NODEID": "1",
         "SLURM_NODELIST": "gpu[07-08]"}  # fmt: skip
TORCHRUN = {"TORCHELASTIC_RUN_ID": "a", "WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "2", "RANK": "3", "LOCAL_RANK": "1"}


@pytest.fixture(autouse=True)
def _first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # which Fabric sets for the whole process


@pytest.mark.parametrize(("variables", "shape", "rank"), [(SLURM, (4, 2), 6), (TORCHRUN, (2, 3), 3)])
def test_a_training_has_the_shape_in_which_it_was_started(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], shape: tuple[int, int], rank: int
):
    assert shape_of(None, None) == (1, 1)
    assert shape_of(4, None) == (4, 1)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert shape_of(None, None) == shape
    assert shape_of(1, 5) == (1, 5)  # Fabric says that this is not how it was started
    fabric = Fabric(accelerator="cpu", devices=shape[0], num_nodes=shape[1], strategy=ddp())
    assert (fabric.global_rank, fabric.world_size) == (rank, shape[0] * shape[1])
    assert not fabric.is_global_zero


def test_what_torch_says_of_a_lost_process_becomes_a_sentence(monkeypatch: pytest.MonkeyPatch):
    one = Fabric(accelerator="cpu", devices=1)
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    many = Fabric(accelerator="cpu", devices=2, num_nodes=3, strategy=ddp())
    for said, why in (
        ("[gloo/transport/tcp/pair.cc:545] Read error [10.0.0.1]:2: Connection reset by peer\n", "connection reset"),
        ("[../gloo/unbound_buffer.cc:81] Timed out waiting 20000ms for recv operation to complete", "timed out"),
        ("NCCL communicator was aborted on rank 1", "nccl"),
    ):
        expected = rf"^process 4 of 6: another process is lost \({why}\); .* the same command again to resume"
        with pytest.raises(RunError, match=expected), runtime_errors_explained(many):
            raise RuntimeError(said)
        with pytest.raises(RuntimeError), runtime_errors_explained(one):
            raise RuntimeError(said)
    with pytest.raises(RuntimeError, match="shapes"), runtime_errors_explained(many):
        raise RuntimeError("shapes do not fit")
    full = "CUDA out of memory. Tried to allocate 2.00 GiB."
    for error in (torch.OutOfMemoryError(full), RuntimeError("[enforce fail] can't allocate memory"), MemoryError()):
        expected = r"^cpu: out of memory; .* checkpointing=true, or .*smaller batch or crop\.$"
        with pytest.raises(RunError, match=expected), runtime_errors_explained(one):
            raise error


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds the worker in /proc")
def test_a_killed_data_worker_ends_the_training_with_a_sentence(photos: Path, tmp_path: Path):
    process = start_endless(photos, tmp_path, "data.workers=1")
    try:
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 2, errors
    assert re.search(
        r"a data worker was lost \(.+\), .* \(data\.workers\)",
        errors.splitlines()[-1],
    )
    assert "Traceback" not in errors


@pytest.mark.parametrize(("pace", "asked"), [(0.01, [1, 11, 21]), (2.0, [1, 3, 5, 7]), (60.0, [1, 2, 3, 4])])
def test_processes_hear_of_a_signal_within_seconds(monkeypatch: pytest.MonkeyPatch, pace: float, asked: list[int]):
    clock, told, caught, now = 0.0, [], [], 0

    class Two:
        """This process takes no time; the other one `pace` seconds an iteration, since the two last met."""

        world_size, device = 2, torch.device("cpu")

        def all_reduce(self, mine: torch.Tensor, reduce_op: str) -> torch.Tensor:
            assert reduce_op == "max"
            told.append(now)
            return torch.maximum(mine, torch.tensor([0.0, pace]))

    monkeypatch.setattr("time.monotonic", lambda: clock)
    agreement = Agreement(cast(Any, Two()), caught, 0)
    for now in range(1, asked[-1] + 1):
        if now == asked[-2] + 1:
            caught.append(signal.SIGTERM)
        assert agreement.stop(now) == (signal.SIGTERM if now == asked[-1] else 0)
    assert told == asked


@pytest.mark.parametrize("given", ["soon", "inf", "-5", "0"])
def test_a_timeout_that_is_none_is_a_sentence(monkeypatch: pytest.MonkeyPatch, given: str):
    monkeypatch.setenv("AESOP_TIMEOUT", given)
    with pytest.raises(RunError, match=f"AESOP_TIMEOUT={given}: a number of seconds is expected"):
        ddp()


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds the second process in /proc")
def test_a_killed_process_ends_the_other_with_a_sentence_and_the_run_resumes(photos: Path, tmp_path: Path):
    settings = ["fidelity.total_batch=4", "fidelity.checkpoint_every=1", "perceptual=null", "autoencoder=null"]
    arguments = [*TINY, *settings, "fidelity.iterations=100000", "--data", photos, "--run", tmp_path / "run"]
    first = subprocess.Popen(
        [sys.executable, "-m", "aesop", "train", "laptop", *map(str, arguments), "--device", "cpu", "--devices", "2"],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
    )  # fmt: skip
    stage = Run(tmp_path / "run").stage("fidelity")
    try:
        while first.poll() is None and not stage.previous_checkpoint.is_file():
            time.sleep(0.05)
        (second,) = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        os.kill(int(second), signal.SIGKILL)
        _, errors = first.communicate(timeout=60)
    finally:
        first.kill()
    assert first.returncode == 2, errors
    assert "process 1 of 2: another process is lost (connection " in errors.splitlines()[-1]
    assert "Traceback" not in errors
    done = torch.load(stage.checkpoint, weights_only=True)["iteration"]
    run_tiny(photos, tmp_path / "run", *settings, f"fidelity.iterations={done + 2}")  # a total batch: one goes on alone
    assert read_metadata(stage.network)["iteration"] == done + 2
    assert stage.read_log()[0]["iteration"] <= done
