"""Training end to end at tiny size: stages, resume, signals, mistakes."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aesop.autoencoder import AutoEncoder
from aesop.errors import DataError, ModelError, RunError
from aesop.networks.loading import load_generator
from aesop.networks.srvgg import SRVGGConfig
from aesop.networks.state_dicts import read_metadata, read_state, write_state
from aesop.training import loop
from aesop.training.autoencoder import AutoEncoderStage
from aesop.training.fidelity import FidelityStage
from aesop.training.interruption import Interrupted
from aesop.training.loop import read_log
from aesop.training.perceptual import PerceptualStage
from aesop.training.recipe_files import load_recipe
from aesop.training.run import Run
from aesop.training.train import train
from helpers import synthetic_pictures

TINY = [
    "generator.features=4",
    "generator.convs=1",
    "data.held_out=1",
    *(f"{stage}.{setting}" for stage in ("fidelity", "autoencoder", "perceptual") for setting in (
        "iterations=6", "crop=32", "batch=2", "log_every=2", "validate_every=4", "checkpoint_every=2", "warmup=0",
    )),
    "perceptual.discriminator.features=4",
    "perceptual.perceptual_loss.features.blocks={0: 1.0}",
]  # fmt: skip

STAGES: dict[str, type] = {
    "fidelity": FidelityStage,
    "autoencoder": AutoEncoderStage,
    "perceptual": PerceptualStage,
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AESOP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    synthetic_pictures(tmp_path / "photos", 4, 48)
    return tmp_path / "photos"


def run_tiny(photos: Path, run: Path, *overrides: str, recipe: str = "laptop") -> list[str]:
    said: list[str] = []
    tiny = [setting for setting in TINY if recipe == "laptop" or not setting.startswith("autoencoder")]
    train(load_recipe(recipe, [*tiny, *overrides]), photos, run, accelerator="cpu", say=said.append)
    return said


def same_files(first: Path, second: Path, name: str) -> bool:
    ours, theirs = read_state(first / name), read_state(second / name)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


OUTPUTS = (
    "fidelity/generator.safetensors",
    "autoencoder/autoencoder.safetensors",
    "perceptual/generator.safetensors",
)


def test_three_stages_leave_everything_in_the_run_folder(photos: Path, tmp_path: Path):
    run = tmp_path / "run"
    said = run_tiny(photos, run)
    assert load_generator(run).path == run / "perceptual/generator.safetensors"
    assert load_generator(run / "fidelity/snapshots/00000004.safetensors").scale == 4
    assert AutoEncoder.load(run).scale == 4
    assert any("learned nothing beyond LR" in line or "more of HR than LR" in line for line in said)
    record = json.loads((run / "run.json").read_text())
    assert record["seed"] == 0
    assert torch.__version__.startswith(record["versions"]["torch"])
    assert Run(run).recipe() == load_recipe("laptop", TINY)
    assert list((run / "logs").rglob("events.out.tfevents*"))
    for stage in STAGES:
        log = read_log(run / stage)
        assert [line["iteration"] for line in log if line["kind"] == "loss"] == [2, 4, 6]
        assert [line["iteration"] for line in log if line["kind"] == "validation"] == [4, 6]
    assert read_log(run / "perceptual")[0].keys() >= {"aesop", "perceptual", "artifact", "adversarial", "discriminator"}
    validation = [line for line in read_log(run / "autoencoder") if line["kind"] == "validation"][-1]
    assert validation.keys() >= {"ae_psnr", "fidelity_psnr", "bottleneck_psnr"}
    origin = json.loads(read_metadata(run / "perceptual/generator.safetensors")["recipe"])
    assert origin["perceptual"]["fidelity_loss"]["type"] == "aesop"


def test_finished_stages_are_skipped_and_left_alone(photos: Path, tmp_path: Path):
    run_tiny(photos, tmp_path / "run")
    before = {name: (tmp_path / "run" / name).stat().st_mtime_ns for name in OUTPUTS}
    said = run_tiny(photos, tmp_path / "run")
    assert {name: (tmp_path / "run" / name).stat().st_mtime_ns for name in OUTPUTS} == before
    assert [line for line in said if "done before" in line] == [f"{stage}: done before" for stage in STAGES]


def stop_at(monkeypatch: pytest.MonkeyPatch, stage: str, iteration: int, stop: Callable[[], None]) -> None:
    """Call `stop` in the given iteration of a stage, once."""
    original = STAGES[stage].step
    calls = 0

    def step(self: Any, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        if calls == iteration:
            stop()
        return original(self, lr, hr)

    monkeypatch.setattr(STAGES[stage], "step", step)


@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupted_run_resumes_bit_for_bit(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
):
    run_tiny(photos, tmp_path / "straight")
    with monkeypatch.context() as patched:
        stop_at(patched, stage, 3, lambda: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(Interrupted, match="SIGTERM after iteration 3"):
            run_tiny(photos, tmp_path / "resumed")
    assert not (tmp_path / "resumed" / OUTPUTS[list(STAGES).index(stage)]).exists()
    run_tiny(photos, tmp_path / "resumed")
    for name in OUTPUTS:
        assert same_files(tmp_path / "straight", tmp_path / "resumed", name), name
    for name in STAGES:
        straight, resumed = ([
            {key: value for key, value in line.items() if key != "seconds"}
            for line in read_log(tmp_path / run / name) if line["iteration"] % 2 == 0 and line["iteration"] != 4
        ] for run in ("straight", "resumed"))  # fmt: skip
        assert straight == resumed  # the line of iteration 4 covers the iterations since the resume only


def test_a_killed_run_loses_only_what_came_after_its_checkpoint(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    run_tiny(photos, tmp_path / "straight")
    with monkeypatch.context() as patched:
        stop_at(patched, "perceptual", 6, die)
        with pytest.raises(Killed):
            run_tiny(photos, tmp_path / "killed")
    run_tiny(photos, tmp_path / "killed")
    for name in OUTPUTS:
        assert same_files(tmp_path / "straight", tmp_path / "killed", name), name


def test_training_for_longer_continues_where_it_ended(photos: Path, tmp_path: Path):
    """train(2N) == train(N), then N more: here with a constant learning rate, since a cosine knows its end."""
    constant = [f"{stage}.cosine=false" for stage in STAGES]
    run_tiny(photos, tmp_path / "straight", *constant)
    run_tiny(photos, tmp_path / "longer", *constant, "perceptual.iterations=3")
    said = run_tiny(photos, tmp_path / "longer", *constant)
    assert [line for line in said if "done before" in line] == ["fidelity: done before", "autoencoder: done before"]
    assert same_files(tmp_path / "straight", tmp_path / "longer", OUTPUTS[2])


def test_a_trial_does_not_pass_for_the_whole_training(photos: Path, tmp_path: Path):
    """After `steps=2`, the full recipe must neither call the stages done nor build on a network it would replace."""
    run_tiny(photos, tmp_path / "run", "steps=2")
    with pytest.raises(RunError, match="fidelity was trained for 2 of 6 iterations, and autoencoder builds on it"):
        run_tiny(photos, tmp_path / "run")


def test_swapping_the_fidelity_loss_is_the_papers_comparison(photos: Path, tmp_path: Path):
    """The twins see the same crops with the same networks at first; only the fidelity term differs."""
    run_tiny(photos, tmp_path / "aesop", "perceptual.log_every=1")
    weights = f"fidelity.weights={tmp_path / 'aesop' / OUTPUTS[0]}"
    run_tiny(photos, tmp_path / "pixel", weights, "perceptual.log_every=1", recipe="laptop-pixel")
    first, second = (read_log(tmp_path / run / "perceptual")[0] for run in ("aesop", "pixel"))
    assert first.keys() ^ second.keys() == {"aesop", "pixel"}
    for name in ("perceptual", "artifact", "adversarial", "discriminator", "logit_real", "logit_fake"):
        assert first[name] == second[name]


def test_weights_take_the_place_of_training(photos: Path, tmp_path: Path):
    run_tiny(photos, tmp_path / "first")
    files = [
        f"fidelity.weights={tmp_path / 'first' / OUTPUTS[0]}",
        f"autoencoder.weights={tmp_path / 'first' / OUTPUTS[1]}",
    ]
    said = run_tiny(photos, tmp_path / "second", *files)
    assert sum("taken from" in line for line in said) == 2
    small = tmp_path / "small"  # too small for the stages that are not trained
    synthetic_pictures(small, 4, 48)
    run_tiny(small, tmp_path / "third", *files, "fidelity.crop=64", "autoencoder.crop=64", "steps=1")
    assert not (tmp_path / "second" / "fidelity").exists()
    assert same_files(tmp_path / "first", tmp_path / "second", OUTPUTS[2])


def test_a_network_of_another_scale_is_refused_before_work(photos: Path, tmp_path: Path):
    generator = SRVGGConfig(type="srvgg", features=4, convs=1).build(2)
    write_state(tmp_path / "x2.safetensors", generator.state_dict(), {})
    write_state(tmp_path / "ae2.safetensors", AutoEncoder(generator, 2, 4, 4, 1).state_dict(), {})
    with pytest.raises(ModelError, match=r"fidelity\.weights: .*x2\.safetensors is of scale 2; the recipe wants 4"):
        run_tiny(photos, tmp_path / "run", f"fidelity.weights={tmp_path / 'x2.safetensors'}")
    with pytest.raises(ModelError, match=r"autoencoder\.weights: .*ae2\.safetensors is of scale 2"):
        run_tiny(photos, tmp_path / "run", f"autoencoder.weights={tmp_path / 'ae2.safetensors'}")
    wider = SRVGGConfig(type="srvgg", features=6, convs=1).build(4)
    write_state(tmp_path / "wide.safetensors", wider.state_dict(), {})
    with pytest.raises(ModelError, match=r"wide\.safetensors holds .* parameters, not the recipe's generator"):
        run_tiny(photos, tmp_path / "run", f"fidelity.weights={tmp_path / 'wide.safetensors'}")
    with pytest.raises(ModelError, match=r"missing\.pth: no such model file"):
        run_tiny(photos, tmp_path / "run", f"fidelity.weights={tmp_path / 'missing.pth'}")
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_recipe_or_other_pictures_is_refused(photos: Path, tmp_path: Path):
    run_tiny(photos, tmp_path / "run", "steps=2")
    before = (tmp_path / "run" / OUTPUTS[2]).read_bytes()
    with pytest.raises(RunError, match=r"was trained with perceptual\.batch = 2, not 3"):
        run_tiny(photos, tmp_path / "run", "perceptual.batch=3")
    synthetic_pictures(tmp_path / "others", 4, 48, seed=9)
    with pytest.raises(RunError, match="was trained on other pictures"):
        run_tiny(tmp_path / "others", tmp_path / "run", "steps=2")
    with pytest.raises(RunError, match="not empty and not a run"):
        run_tiny(photos, photos)
    with pytest.raises(RunError, match=r"000\.png: is a file; name a folder with --run"):
        run_tiny(photos, photos / "000.png")
    assert (tmp_path / "run" / OUTPUTS[2]).read_bytes() == before


def test_pictures_that_cannot_train(photos: Path, tmp_path: Path):
    with pytest.raises(DataError, match="nowhere"):
        run_tiny(tmp_path / "nowhere", tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty"):
        run_tiny(tmp_path / "empty", tmp_path / "run")
    with pytest.raises(DataError, match="64"):
        run_tiny(photos, tmp_path / "run", "fidelity.crop=64")
    (photos / "broken.png").write_bytes((photos / "000.png").read_bytes()[:500])
    said = run_tiny(photos, tmp_path / "run", "steps=1")
    assert any("left out" in line and "broken.png" in line for line in said)
    with pytest.raises(DataError, match="hold"):
        run_tiny(photos, tmp_path / "other", "data.held_out=4")


def test_a_loss_that_is_not_finite_stops_the_stage_and_keeps_the_rest(photos: Path, tmp_path: Path):
    run_tiny(photos, tmp_path / "run", "steps=2")
    told = r"perceptual: .* became (nan|inf|-inf) .* lower perceptual\.learning_rate"
    with pytest.raises(RunError, match=told):
        run_tiny(photos, tmp_path / "logged", "perceptual.learning_rate=1e30", "perceptual.checkpoint_every=100")
    with pytest.raises(RunError, match=told):
        run_tiny(photos, tmp_path / "wild", "perceptual.learning_rate=1e30", "perceptual.log_every=100")
    with pytest.raises(ModelError, match="perceptual network is not finished"):
        load_generator(tmp_path / "wild")
    assert load_generator(tmp_path / "wild" / OUTPUTS[0]).scale == 4
    checkpoint = tmp_path / "wild" / "perceptual" / "checkpoint.pt"
    assert not checkpoint.exists()


def test_a_full_disk_is_one_sentence_and_keeps_the_checkpoint(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    original, saved = torch.save, 0

    def save(obj: object, file: Path) -> None:
        nonlocal saved
        saved += 1
        if saved == 2:
            file.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(obj, file)

    monkeypatch.setattr("aesop.training.checkpoint.torch.save", save)
    with pytest.raises(RunError, match=r"checkpoint\.pt: the disk is full"):
        run_tiny(photos, tmp_path / "run")
    monkeypatch.undo()
    assert sorted(path.name for path in (tmp_path / "run" / "fidelity").glob("*checkpoint*")) == ["checkpoint.pt"]
    assert torch.load(tmp_path / "run" / "fidelity" / "checkpoint.pt", weights_only=True)["iteration"] == 2


@pytest.mark.parametrize("accelerator", ["warp", "cuda"])
def test_a_device_that_is_not_there_is_named(photos: Path, tmp_path: Path, accelerator: str):
    if accelerator == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(RunError, match=f"--accelerator {accelerator}"):
        train(load_recipe("laptop", TINY), photos, tmp_path / "run", accelerator=accelerator, say=lambda _: None)


def test_a_corrupt_checkpoint_is_named(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patched:
        stop_at(patched, "fidelity", 2, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(Interrupted):
            run_tiny(photos, tmp_path / "run")
    (tmp_path / "run/fidelity/checkpoint.pt").write_bytes(b"garbage")
    with pytest.raises(RunError, match=r"checkpoint\.pt: is corrupt"):
        run_tiny(photos, tmp_path / "run")
    (tmp_path / "run/recipe.yaml").write_text("name: [")
    with pytest.raises(RunError, match=r"recipe\.yaml: is not valid YAML.* damaged"):
        run_tiny(photos, tmp_path / "run")
    (tmp_path / "run/recipe.yaml").unlink()
    (tmp_path / "run/run.json").write_text("{")
    with pytest.raises(RunError, match=r"run\.json: is damaged"):
        run_tiny(photos, tmp_path / "run")


def test_the_second_signal_kills_as_usual():
    from aesop.training.interruption import caught_signals

    with caught_signals() as noted:
        signal.raise_signal(signal.SIGINT)
        assert noted.signum == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_losses_are_read_at_log_lines_alone(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    looks = 0
    original = loop._Means.peek

    def peek(self: Any) -> dict[str, float]:
        nonlocal looks
        looks += bool(self.count)
        return original(self)

    monkeypatch.setattr(loop._Means, "peek", peek)
    every = [f"{stage}.{key}=3" for stage in STAGES for key in ("log_every", "checkpoint_every")]
    run_tiny(photos, tmp_path / "run", *every)
    assert looks == 2 * len(STAGES)


def command(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "AESOP_CACHE": str(cwd / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "aesop", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, env=environment, timeout=240, check=False,
    )  # fmt: skip


def test_mistakes_on_the_command_line_are_one_sentence_and_status_2(photos: Path, tmp_path: Path):
    for arguments, message in (
        (["labtop", "--data", photos, "--run", tmp_path / "run"], "did you mean laptop"),
        (["laptop", "seeed=1", "--data", photos, "--run", tmp_path / "run"], "did you mean `seed`"),
        (["laptop", "--data", tmp_path / "none", "--run", tmp_path / "run"], "none"),
    ):
        result = command("train", *arguments, cwd=tmp_path)
        assert result.returncode == 2, result.stderr
        assert message in result.stderr
        assert "Traceback" not in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.long
def test_two_processes_train_like_one_with_twice_the_batch(photos: Path, tmp_path: Path):
    """Each process takes half of the batch; averaged gradients are the whole batch's."""
    common = ["train", "laptop", *TINY, "steps=2", "--data", photos, "--accelerator", "cpu"]
    doubled = [f"{stage}.batch=4" for stage in STAGES]
    one = command(*common, *doubled, "--run", tmp_path / "one", cwd=tmp_path)
    two = command(*common, "--run", tmp_path / "two", "--devices", 2, cwd=tmp_path)
    assert one.returncode == two.returncode == 0, two.stderr
    for name in OUTPUTS[:2]:
        ours, theirs = read_state(tmp_path / "one" / name), read_state(tmp_path / "two" / name)
        for key, value in ours.items():
            torch.testing.assert_close(theirs[key], value, rtol=1e-3, atol=2e-5)
    # The perceptual stage's batch norm sees each process's own crops: its own test compares it.
    alone = command(*common, "--run", tmp_path / "two", cwd=tmp_path)
    assert alone.returncode == 2
    assert "trained by 2 processes, not 1" in alone.stderr


def start_endless(photos: Path, tmp_path: Path, *overrides: str) -> tuple[subprocess.Popen[str], Path]:
    """Start a training that would take hours; return it and the log whose first line says that it runs."""
    arguments = ["train", "laptop", *TINY, "fidelity.iterations=100000", "fidelity.checkpoint_every=100000", *overrides]
    process = subprocess.Popen(
        [sys.executable, "-m", "aesop", *arguments, "--data", str(photos), "--run", str(tmp_path / "run")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AESOP_CACHE": str(tmp_path / "cache")},
        start_new_session=True,
    )
    return process, tmp_path / "run" / "fidelity" / "log.jsonl"


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups on this system")
def test_a_signal_to_the_whole_group_finds_the_workers_still_at_work(photos: Path, tmp_path: Path):
    """SLURM and systemd signal every process of a job; a worker that died first would cost the checkpoint."""
    process, log = start_endless(photos, tmp_path, "data.workers=2")
    while process.poll() is None and not (log.is_file() and log.read_text()):
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert (tmp_path / "run/fidelity/checkpoint.pt").is_file()


@pytest.mark.long
def test_ctrl_c_says_how_to_resume(photos: Path, tmp_path: Path):
    process, log = start_endless(photos, tmp_path)
    while process.poll() is None and not (log.is_file() and log.read_text()):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped by SIGINT" in errors
    assert "call the same command again to resume" in errors
    assert (tmp_path / "run/fidelity/checkpoint.pt").is_file()
