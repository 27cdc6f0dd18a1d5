"""Mistakes in training: what is refused, the error messages, and what stays intact."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
import torch

from aesop.errors import DataError, ModelError, RunError
from aesop.networks.loading import load_generator
from aesop.training.recipe_files import load_recipe
from aesop.training.train import train
from helpers import synthetic_pictures
from tiny_training import OUTPUTS, TINY, run_tiny


def test_a_network_that_is_not_there_is_refused_before_work(photos: Path, tmp_path: Path):
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


def test_a_run_that_was_killed_while_it_was_first_recorded_is_begun_anew(photos: Path, tmp_path: Path):
    (tmp_path / "run").mkdir()
    leftover = tmp_path / f"run/.{'0' * 32}.part"
    leftover.write_text('{"recipe": "lap')
    run_tiny(photos, tmp_path / "run", "steps=1")
    assert not leftover.exists()
    assert (tmp_path / "run" / OUTPUTS[2]).is_file()


def test_pictures_that_cannot_train(photos: Path, tmp_path: Path):
    with pytest.raises(DataError, match="nowhere"):
        run_tiny(tmp_path / "nowhere", tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty"):
        run_tiny(tmp_path / "empty", tmp_path / "run")
    with pytest.raises(DataError, match="64"):
        run_tiny(photos, tmp_path / "run", "fidelity.crop=64")
    with pytest.raises(RunError, match=r"--store-size: limits the tiles of an address, and .* is a folder"):
        train(load_recipe("laptop", TINY), photos, tmp_path / "run", store_size=1.0)
    (photos / "broken.png").write_bytes((photos / "000.png").read_bytes()[:500])
    said = run_tiny(photos, tmp_path / "run", "steps=1")
    assert any("left out" in line and "broken.png" in line for line in said)
    with pytest.raises(DataError, match="hold"):
        run_tiny(photos, tmp_path / "other", "data.held_out=4")


def test_a_cache_that_cannot_be_written_names_the_option(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AESOP_CACHE", str(photos / "000.png"))
    with pytest.raises(RunError, match=r"000\.png.* that of --store"):
        run_tiny(photos, tmp_path / "run")


def test_a_training_that_diverges_stops_and_tells_how_to_keep_the_rest(photos: Path, tmp_path: Path):
    diverging = ["perceptual.learning_rate=1e30", "perceptual.iterations=30", "perceptual.checkpoint_every=100"]
    folder = tmp_path / "wild"
    kept = [f"fidelity.weights={folder / OUTPUTS[0]}", f"autoencoder.weights={folder / OUTPUTS[1]}"]
    told = (
        r"perceptual: (\w+ was (nan|inf), )*\w+ was (nan|inf) in iteration 1\d, as in the 9 before it; .* lower "
        rf"perceptual\.learning_rate .* {' '.join(kept)}\.$"
    )
    with pytest.raises(RunError, match=told):
        run_tiny(photos, folder, "perceptual.validate_every=100", *diverging)
    with pytest.raises(ModelError, match="last network is not finished"):
        load_generator(folder)
    assert not (folder / "perceptual" / "checkpoint.pt").exists()
    with pytest.raises(RunError, match=r"perceptual: the network's output is nan after iteration 4"):
        run_tiny(photos, tmp_path / "kept", "perceptual.validate_every=4", *diverging, *kept)


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

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(RunError, match=r"checkpoint\.pt: the disk is full"):
        run_tiny(photos, tmp_path / "run")
    monkeypatch.undo()
    assert sorted(path.name for path in (tmp_path / "run" / "fidelity").glob("*checkpoint*")) == ["checkpoint.pt"]
    assert torch.load(tmp_path / "run" / "fidelity" / "checkpoint.pt", weights_only=True)["iteration"] == 2


@pytest.mark.parametrize("device", ["warp", "cuda"])
def test_a_device_that_is_not_there_is_named(photos: Path, tmp_path: Path, device: str):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(RunError, match=f"--device {device}"):
        train(load_recipe("laptop", TINY), photos, tmp_path / "run", device=device, say=lambda _: None)


def test_a_corrupt_checkpoint_is_named(photos: Path, tmp_path: Path):
    run_tiny(photos, tmp_path / "run", "steps=2")
    (tmp_path / "run/fidelity/generator.safetensors").unlink()
    for stage in ("autoencoder", "perceptual"):
        shutil.rmtree(tmp_path / "run" / stage)
    checkpoint = torch.load(tmp_path / "run/fidelity/checkpoint.pt", weights_only=True)
    torch.save({**checkpoint, "state": {}}, tmp_path / "run/fidelity/checkpoint.pt")
    with pytest.raises(RunError, match=r"checkpoint\.pt: is of another version; delete it"):
        run_tiny(photos, tmp_path / "run")
    (tmp_path / "run/fidelity/checkpoint.pt").write_bytes(b"garbage")
    with pytest.raises(RunError, match=r"checkpoint\.pt: is damaged, and no intact one is left; delete it"):
        run_tiny(photos, tmp_path / "run")
    (tmp_path / "run/recipe.yaml").write_text("name: [")
    with pytest.raises(RunError, match=r"recipe\.yaml: is not valid YAML.* damaged"):
        run_tiny(photos, tmp_path / "run")
    (tmp_path / "run/recipe.yaml").unlink()
    (tmp_path / "run/run.json").write_text("{")
    with pytest.raises(RunError, match=r"run\.json: is damaged"):
        run_tiny(photos, tmp_path / "run")
