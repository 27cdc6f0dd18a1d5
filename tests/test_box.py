"""The models in the box: found by name, small, readable elsewhere, better than bicubic, each with a card."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from spandrel import ModelLoader
from torch import nn
from typer.testing import CliRunner

import aesop
import cards
from aesop.cli import app
from aesop.data.bicubic import resize
from aesop.data.pictures import to_float, to_planes, write_picture
from aesop.degradation.jpeg import compress
from aesop.metrics.psnr import psnr
from aesop.networks.interpolate import load_between
from aesop.networks.state_dicts import read_metadata

METADATA = {name: read_metadata(file) for name, file in aesop.models().items()}
STAGES = {name: metadata["stage"] for name, metadata in METADATA.items()}
SCALES = {name: metadata["recipe"]["scale"] for name, metadata in METADATA.items()}
NAMES = [name for name, stage in STAGES.items() if stage != "autoencoder"]


@pytest.fixture(scope="module")
def astronaut() -> torch.Tensor:
    """(1, 3, 256, 256): part of a photograph that no model in the box was trained on."""
    data = pytest.importorskip("skimage.data")
    return to_float(to_planes(data.astronaut()))[None, :, :256, 128:384]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_in_the_box_beats_bicubic_wherever_it_is_loaded(name: str, astronaut: torch.Tensor):
    file, scale = aesop.models()[name], SCALES[name]
    loaded = aesop.load_generator(name)
    assert (loaded.path, loaded.scale) == (file, scale)
    lr = resize(astronaut, 1 / scale)
    elsewhere = ModelLoader().load_from_state_dict(load_file(file))
    with torch.inference_mode():
        sr = loaded.model(lr)
        theirs = elsewhere.model.float().eval()(lr)
    margin = 1 if name == "clean-x4" else 0.3
    assert psnr(sr, astronaut, scale) > psnr(resize(lr, scale), astronaut, scale) + margin
    torch.testing.assert_close(sr, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_colours_stay(name: str, astronaut: torch.Tensor):
    lr = resize(astronaut, 1 / SCALES[name]).clamp(0, 1)
    with torch.inference_mode():
        sr = aesop.load_generator(name).model(lr).clamp(0, 1)
    shift = nn.functional.avg_pool2d(sr, SCALES[name]) - lr
    bright = (lr.mean(dim=1) > 0.6).expand_as(shift)
    for part in (shift, shift.where(bright, torch.nan)):
        assert part.nanmean(dim=(0, 2, 3)).abs().max() < 2 / 255


@pytest.mark.parametrize("scale", [2, 4])
def test_the_models_for_photographs_are_for_jpeg(scale: int, astronaut: torch.Tensor):
    lr = compress(resize(astronaut, 1 / scale), [70])
    with torch.inference_mode():
        sr = aesop.load_generator(f"photo-x{scale}").model(lr)
    assert psnr(sr, astronaut, scale) > psnr(resize(lr, scale), astronaut, scale) + 0.3


def test_the_model_for_photographs_goes_before_that_for_clean_pictures(astronaut: torch.Tensor):
    lr = compress(resize(astronaut, 1 / 4), [70])
    with torch.inference_mode():
        photo, clean = (psnr(aesop.load_generator(name).model(lr), astronaut, 4) for name in ("photo-x4", "clean-x4"))
    assert photo > clean + 0.1


def test_the_auto_encoder_keeps_more_of_hr_than_lr_allows(astronaut: torch.Tensor):
    (name,) = STAGES.keys() - set(NAMES)
    autoencoder, fidelity = aesop.AutoEncoder.load(name), aesop.load_generator("clean-x4").model
    lr = resize(astronaut, 1 / 4)
    with torch.inference_mode():
        assert psnr(autoencoder(astronaut), astronaut, 4) > psnr(fidelity(lr), astronaut, 4) + 1
        assert psnr(autoencoder.encode(astronaut), lr, 1) > 38
    sr = resize(lr, 4).requires_grad_()
    aesop.AESOPLoss(autoencoder)(sr, astronaut).backward()
    assert sr.grad is not None
    assert sr.grad.abs().sum() > 0


@pytest.mark.parametrize("name", STAGES)
def test_files_are_small_and_have_a_card(name: str):
    file = aesop.models()[name]
    assert file.stat().st_size < 3_000_000
    assert {value.dtype for value in load_file(file).values()} == {torch.float16}
    assert '"/' not in json.dumps(METADATA[name]), "holds a path of the machine that it was trained on"
    card = file.with_suffix(".md").read_text(encoding="utf-8")
    for word in ("Licence", "Trained on", "Set14", "Limits", "models/pictures.tsv"):
        assert word in card


@pytest.mark.parametrize("name", NAMES)
def test_the_card_for_openmodeldb_is_of_this_file(name: str):
    file = aesop.models()[name]
    written = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    assert written == cards.entry(name), "call `python models/cards.py`"
    (resource,) = written["resources"]
    assert resource["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    loaded = ModelLoader().load_from_state_dict(load_file(file))
    assert (loaded.scale, loaded.architecture.id) == (written["scale"], written["architecture"].upper())
    assert loaded.size_requirements is not None
    assert set(written["size"]) <= set(loaded.tags)


def test_the_dial_runs_between_twins(tmp_path: Path, astronaut: torch.Tensor):
    lr, networks = resize(astronaut, 1 / 4), {}
    for alpha, name in ((0.0, "clean-x4"), (1.0, "clean-x4-aesop")):
        networks[alpha] = load_between("clean-x4", alpha).model
        with torch.inference_mode():
            torch.testing.assert_close(networks[alpha](lr), aesop.load_generator(name).model(lr))
    between = load_between("clean-x4-aesop", 0.5).model.state_dict()
    ends = [network.state_dict() for network in networks.values()]
    for name, value in between.items():
        torch.testing.assert_close(value, (ends[0][name] + ends[1][name]) / 2, atol=1e-3, rtol=1e-3)
    with pytest.raises(aesop.AesopError, match="auto-encoder-x4: has no fidelity network beside a perceptual one"):
        load_between("auto-encoder-x4", 0.5)


def test_a_file_of_the_name_goes_before_the_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path(NAMES[0]).write_text("not a model")
    with pytest.raises(aesop.AesopError, match="not a model file"):
        aesop.load_generator(NAMES[0])


def test_a_picture_is_all_that_upscale_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_picture(Path("holiday.png"), np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    found = CliRunner().invoke(app, ["upscale", "holiday.png", "--engine", "torch"])
    assert found.exit_code == 0, found.output
    assert Path("upscaled/holiday.png").is_file()
    assert "clean-x4" in CliRunner().invoke(app, ["models"]).output
