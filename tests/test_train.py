"""Training end to end at tiny size: the files of the three stages, and which stages are trained again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aesop.autoencoder import AutoEncoder
from aesop.data.pictures import to_float, to_planes
from aesop.errors import RunError
from aesop.metrics.psnr import psnr
from aesop.networks.loading import load_generator
from aesop.networks.state_dicts import read_metadata, read_state
from aesop.run import STAGES, Run
from aesop.training.autoencoder import verdict
from aesop.training.fidelity import shortfall
from aesop.training.recipe_files import load_recipe
from aesop.training.record import run_recipe
from helpers import synthetic_picture, synthetic_pictures
from tiny_training import OUTPUTS, TINY, command, run_tiny, same_files


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
    assert run_recipe(Run(run)) == load_recipe("laptop", TINY)
    assert list((run / "logs").rglob("events.out.tfevents*"))
    for stage in STAGES:
        log = Run(run).stage(stage).read_log()
        assert [line["iteration"] for line in log if line["kind"] == "loss"] == [2, 4, 6]
        assert [line["iteration"] for line in log if line["kind"] == "validation"] == [4, 6]
    losses = {"aesop", "perceptual", "artifact", "adversarial", "discriminator"}
    assert Run(run).stage("perceptual").read_log()[0].keys() >= losses
    validation = [line for line in Run(run).stage("autoencoder").read_log() if line["kind"] == "validation"][-1]
    assert validation.keys() >= {"ae_psnr", "fidelity_psnr", "bottleneck_psnr"}
    origin = read_metadata(run / "perceptual/generator.safetensors")["recipe"]
    assert origin["perceptual"]["fidelity_loss"]["type"] == "aesop"
    before = {name: (run / name).stat().st_mtime_ns for name in OUTPUTS}
    assert [line for line in run_tiny(photos, run) if "done" in line] == [f"{stage}: done before" for stage in STAGES]
    assert {name: (run / name).stat().st_mtime_ns for name in OUTPUTS} == before


def test_an_autoencoder_is_worth_what_it_keeps_beyond_lr():
    assert "keeps 1.99 dB more of HR than LR allows" in verdict({"ae_psnr": 30.68, "fidelity_psnr": 28.69})
    for useless in (28.70, 26.0):
        assert "learned nothing beyond LR" in verdict({"ae_psnr": useless, "fidelity_psnr": 28.69})


def test_a_fidelity_network_worse_than_bicubic_is_told_when_its_stage_ends(photos: Path, tmp_path: Path):
    said = run_tiny(photos, tmp_path / "run", "steps=2")
    (fidelity,) = (number for number, line in enumerate(said) if line.startswith("fidelity: psnr"))
    told = re.search(
        r": psnr (\S+) dB.*: worse than bicubic upscaling \((\S+) dB\), so it has diverged", said[fidelity]
    )
    assert told is not None
    assert float(told[1]) < float(told[2])
    assert fidelity < min(number for number, line in enumerate(said) if line.startswith("autoencoder"))
    hr = synthetic_picture(64, 64, 3)
    lr = np.asarray(Image.fromarray(hr).resize((16, 16), Image.Resampling.BICUBIC))
    upscaled = np.asarray(Image.fromarray(lr).resize((64, 64), Image.Resampling.BICUBIC))
    pair, other = ((to_float(to_planes(one))[None], to_float(to_planes(hr))[None]) for one in (lr, upscaled))
    expected = psnr(other[0], pair[1], 4).item()
    assert shortfall(expected + 0.1, [pair]) is None
    assert f"({expected:.1f}" in str(shortfall(expected - 0.1, [pair]))


def test_nothing_builds_on_a_fidelity_network_that_has_diverged(photos: Path, tmp_path: Path):
    folder, wild = (
        tmp_path / "run",
        ["fidelity.learning_rate=1", "fidelity.ema=0", "fidelity.warmup=20", "fidelity.cosine=false"],
    )
    settings = [*wild, "fidelity.validate_every=1", "fidelity.iterations=12"]
    stage = Run(folder).stage("fidelity")
    for again in (False, True):
        with pytest.raises(
            RunError, match=r"fidelity: has diverged, from .* and autoencoder would build on it"
        ) as told:
            run_tiny(photos, folder, *settings)
        assert not (folder / "autoencoder").exists(), again
    values = {line["iteration"]: line["psnr"] for line in stage.read_log() if line["kind"] == "validation"}
    best = max(values, key=lambda iteration: values[iteration])
    assert values[best] - values[12] > 3
    assert f"fidelity.weights={stage.snapshot(best)} (the best)" in str(told.value)
    accepted = f"fidelity.weights={stage.network}"
    assert f"{accepted} (this one)" in str(told.value)
    run_tiny(photos, tmp_path / "accepted", accepted, "autoencoder.iterations=1", "perceptual.iterations=1")
    assert run_tiny(photos, tmp_path / "alone", *settings, "perceptual=null", "autoencoder=null")


def test_the_best_snapshot_is_told_where_it_is_not_the_last(photos: Path, tmp_path: Path):
    rates = ["fidelity.learning_rate=0.01", "fidelity.validate_every=1", "fidelity.iterations=12"]
    (line,) = (
        line for line in run_tiny(photos, tmp_path / "run", *rates, "autoencoder=null", "perceptual=null")
        if line.startswith("fidelity: psnr")
    )  # fmt: skip
    log = Run(tmp_path / "run").stage("fidelity").read_log()
    values = {line["iteration"]: line["psnr"] for line in log if line["kind"] == "validation"}
    best = max(values, key=lambda iteration: values[iteration])
    assert (best == 12) == ("(best:" not in line)
    assert best == 12 or f"(best: psnr {values[best]:.2f} dB, {tmp_path}/run/fidelity/snapshots/{best:08d}." in line


def test_a_collapsed_discriminator_is_told_once(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aesop.training.perceptual.COLLAPSED", 100)
    monkeypatch.setattr("aesop.training.perceptual.COLLAPSED_LINES", 2)
    for iterations, expected in ((2, 0), (6, 1), (8, 0)):
        said = run_tiny(photos, tmp_path / "run", f"perceptual.iterations={iterations}")
        told = [line for line in said if "discriminator's loss has been below 100 since iteration 2" in line]
        assert len(told) == expected
    log = Run(tmp_path / "run").stage("perceptual").read_log()
    assert [line["iteration"] for line in log if line["kind"] == "warning"] == [4]
    monkeypatch.setattr("aesop.training.perceptual.COLLAPSED", 0.02)
    assert not any("has been below" in line for line in run_tiny(photos, tmp_path / "sound"))


@pytest.mark.parametrize("computes", [True, False])
def test_emulated_bf16_is_told(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computes: bool):
    monkeypatch.setattr("aesop.training.train.computes_bfloat16", lambda _: computes)
    said = run_tiny(photos, tmp_path / "run", "perceptual=null", "autoencoder=null", "precision=bf16-mixed", "steps=1")
    assert any("precision=32-true is faster" in line for line in said) != computes


def test_training_for_longer_continues_where_it_ended(photos: Path, tmp_path: Path):
    """train(2N) == train(N), then N more; with a constant learning rate, since a cosine depends on the length."""
    constant = [f"{stage}.cosine=false" for stage in STAGES]
    run_tiny(photos, tmp_path / "straight", *constant)
    run_tiny(photos, tmp_path / "longer", *constant, "perceptual.iterations=3")
    said = run_tiny(photos, tmp_path / "longer", *constant)
    assert [line for line in said if "done before" in line] == ["fidelity: done before", "autoencoder: done before"]
    assert same_files(tmp_path / "straight", tmp_path / "longer", OUTPUTS[2])


def test_a_trial_does_not_pass_for_the_whole_training(photos: Path, tmp_path: Path):
    """After `steps=2`, the full recipe must neither skip the stages nor start from a network that it replaces."""
    run_tiny(photos, tmp_path / "run", "steps=2")
    with pytest.raises(RunError, match="fidelity was trained for 2 of 6 iterations, and autoencoder builds on it"):
        run_tiny(photos, tmp_path / "run")


def test_swapping_the_fidelity_loss_is_the_papers_comparison(photos: Path, tmp_path: Path):
    """The twins start from the same networks and see the same crops; only the fidelity term differs."""
    run_tiny(photos, tmp_path / "aesop", "perceptual.log_every=1")
    weights = f"fidelity.weights={tmp_path / 'aesop' / OUTPUTS[0]}"
    run_tiny(photos, tmp_path / "pixel", weights, "perceptual.log_every=1", recipe="laptop-pixel")
    first, second = (Run(tmp_path / run).stage("perceptual").read_log()[0] for run in ("aesop", "pixel"))
    assert first.keys() ^ second.keys() == {"aesop"}
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


@pytest.mark.long
def test_two_processes_train_like_one_with_twice_the_batch(photos: Path, tmp_path: Path):
    """Each process takes half of the batch; averaged gradients are the whole batch's."""
    common = ["train", "laptop", *TINY, "steps=2", "--data", photos, "--device", "cpu"]
    doubled = [f"{stage}.batch=4" for stage in STAGES]
    one = command(*common, *doubled, "--run", tmp_path / "one", cwd=tmp_path)
    two = command(*common, "--run", tmp_path / "two", "--devices", 2, cwd=tmp_path)
    assert one.returncode == two.returncode == 0, two.stderr
    for name in OUTPUTS[:2]:
        ours, theirs = read_state(tmp_path / "one" / name), read_state(tmp_path / "two" / name)
        for key, value in ours.items():
            torch.testing.assert_close(theirs[key], value, rtol=1e-3, atol=2e-5)
    # The perceptual stage's batch norm sees each process's own crops; another test compares it.
    alone = command(*common, "--run", tmp_path / "two", cwd=tmp_path)
    assert alone.returncode == 2
    assert "trained by 2 processes, not 1" in alone.stderr


@pytest.mark.long
def test_a_total_batch_is_trained_by_any_number_of_processes(photos: Path, tmp_path: Path):
    common = ["train", "laptop", *TINY, "fidelity.total_batch=4", "--until", "fidelity", "--data", photos]
    common += ["autoencoder.total_batch=4", "perceptual.total_batch=4", "--device", "cpu"]
    one = command(*common, "steps=2", "--run", tmp_path / "one", cwd=tmp_path)
    two = command(*common, "steps=1", "--run", tmp_path / "two", "--devices", 2, cwd=tmp_path)
    assert one.returncode == two.returncode == 0, two.stderr
    assert "1 iterations of 4 crops of 32 pixels, 2 on each of 2 devices" in two.stderr
    assert command(*common, "steps=2", "--run", tmp_path / "two", cwd=tmp_path).returncode == 0
    ours, theirs = (read_state(tmp_path / run / OUTPUTS[0]) for run in ("one", "two"))
    for key, value in ours.items():
        torch.testing.assert_close(theirs[key], value, rtol=1e-3, atol=2e-5)
