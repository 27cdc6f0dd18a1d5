"""Files that were damaged on disk are detected and named; training recovers if an intact file is left."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
import torch

from aesop.data.prepare import prepare
from aesop.errors import Interrupted, ModelError, RunError
from aesop.networks.loading import load_generator
from aesop.run import Run
from stopping import SECTION, stop_at
from tiny_training import OUTPUTS, flip, run_tiny, same_files, same_logs, truncate


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
def test_a_damaged_checkpoint_costs_the_way_from_the_one_before(photos: Path, tmp_path: Path, damage):
    straight, resumed = Run(tmp_path / "straight"), Run(tmp_path / "resumed")
    run_tiny(photos, straight.folder, SECTION)
    with stop_at("perceptual", 5, lambda: signal.raise_signal(signal.SIGTERM)), pytest.raises(Interrupted):
        run_tiny(photos, resumed.folder, SECTION)
    checkpoint = resumed.stage("perceptual").checkpoint
    damage(checkpoint)
    said = run_tiny(photos, resumed.folder, SECTION)
    told = f"{checkpoint}: is damaged; resuming from the checkpoint before it, of iteration 4"
    assert (told in said) == (damage != Path.unlink)  # a kill between two renames leaves none
    for name in OUTPUTS:
        assert same_files(straight.folder, resumed.folder, name), name
    assert same_logs(straight, resumed)
    assert torch.load(checkpoint, weights_only=True)["iteration"] == 6


def test_a_damaged_checkpoint_never_takes_the_place_of_the_one_before(photos: Path, tmp_path: Path):
    run = tmp_path / "run"
    run_tiny(photos, run, "steps=4", "perceptual=null", "autoencoder=null")
    files = Run(run).stage("fidelity")
    good = files.previous_checkpoint.read_bytes()
    for path in (files.checkpoint, files.previous_checkpoint):
        truncate(path)
    files.network.unlink()
    with pytest.raises(RunError, match=r"checkpoint\.pt: is damaged, and no intact one is left"):
        run_tiny(photos, run, "steps=4", "perceptual=null", "autoencoder=null")
    files.previous_checkpoint.write_bytes(good)
    run_tiny(photos, run, "steps=4", "perceptual=null", "autoencoder=null")
    kept = files.checkpoint, files.previous_checkpoint
    assert [torch.load(path, weights_only=True)["iteration"] for path in kept] == [4, 2]


def test_a_checkpoint_that_does_not_read_back_is_not_kept(photos: Path, tmp_path: Path, monkeypatch):
    run = tmp_path / "run"
    original, saved = torch.save, 0

    def save(obj: object, file: Path) -> None:
        nonlocal saved
        original(obj, file)
        saved += 1
        if saved == 2:
            flip(file)

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(RunError, match=r"checkpoint\.pt: was written, but reads back otherwise; check the disk"):
        run_tiny(photos, run)
    assert torch.load(Run(run).stage("fidelity").checkpoint, weights_only=True)["iteration"] == 2


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_damaged_network_is_named_and_written_again(photos: Path, tmp_path: Path, name: str):
    run = tmp_path / "run"
    run_tiny(photos, run, "steps=2")
    path = run / name
    before = path.read_bytes()
    flip(path)
    told = r"(generator|autoencoder)\.safetensors: is damaged.* delete it and repeat `aesop train`"
    with pytest.raises(ModelError, match=told):
        load_generator(path)
    if not name.startswith("perceptual"):
        (run / OUTPUTS[2]).unlink()
        with pytest.raises(ModelError, match=told):  # before the next stage builds on it
            run_tiny(photos, run, "steps=2")
    path.unlink()
    run_tiny(photos, run, "steps=2")
    assert path.read_bytes() == before


def test_a_prepared_picture_that_was_damaged_is_prepared_again(photos: Path, tmp_path: Path):
    store = tmp_path / "store"
    data = prepare(photos, store, 4, minimum=32)
    before = [path.read_bytes() for path in sorted(store.iterdir())]
    for entry in data.entries:
        path = store / entry.file
        whole = bytearray(path.read_bytes())
        whole[random.Random(entry.name).randrange(len(whole) // 2, len(whole))] ^= 1
        path.write_bytes(whole)
    again = prepare(photos, store, 4, minimum=32)
    assert again == data
    assert [path.read_bytes() for path in sorted(store.iterdir())] == before
