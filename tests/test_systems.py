"""Every recipe of the package, at a tiny size, trains, resumes bit-exactly, evaluates and upscales.

The tests are generated from the list of recipes, so a new recipe is always covered.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from aesop.evaluation.evaluate import evaluate
from aesop.networks.state_dicts import read_state
from aesop.run import Run
from aesop.training.recipe_names import recipe_names
from aesop.training.record import finished_iterations
from aesop.training.train import train
from aesop.upscaling.upscale import upscale
from helpers import synthetic_pictures
from tiny_systems import LARGE_CROP, tiny_recipe
from tiny_training import same_files

pytestmark = pytest.mark.long

NAMES = recipe_names()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("systems")
    synthetic_pictures(folder / "photos", 3, LARGE_CROP)
    return folder


def trained(name: str, pictures: Path, run: Path, iterations: int, last: int) -> Run:
    """Train the stages of a recipe for this many iterations, the last one for `last`."""
    *others, final = tiny_recipe(name).trained_stages()
    lengths = [*(f"{stage}.iterations={iterations}" for stage in others), f"{final}.iterations={last}"]
    store = pictures / name
    return train(tiny_recipe(name, *lengths), pictures / "photos", run, store=store, device="cpu", say=lambda _: None)


@pytest.mark.parametrize("name", NAMES)
def test_trains_resumes_evaluates_and_upscales(name: str, pictures: Path, tmp_path: Path):
    whole = trained(name, pictures, tmp_path / "whole", 4, 4)
    recipe = tiny_recipe(name)
    stages = recipe.trained_stages()
    assert [finished_iterations(whole, stage) for stage in stages] == [4] * len(stages)
    # Train the last stage again, stopped halfway.
    shutil.copytree(tmp_path / "whole", tmp_path / "halves")
    shutil.rmtree(tmp_path / "halves" / stages[-1])
    for last in (2, 4):
        halves = trained(name, pictures, tmp_path / "halves", 4, last)
        assert finished_iterations(halves, stages[-1]) == last
    output = whole.stage(stages[-1]).network
    assert same_files(tmp_path / "whole", tmp_path / "halves", str(output.relative_to(tmp_path / "whole")))
    assert all(torch.isfinite(value.float()).all() for value in read_state(output).values())

    benchmark = pictures / f"benchmark-x{recipe.scale}"
    if not benchmark.exists():
        synthetic_pictures(benchmark, 1, 48)
    autoencoder = tmp_path / "whole" if "autoencoder" in stages else None
    asked = ["psnr", "lr-psnr", *(["ae-psnr"] if autoencoder else [])]
    evaluated = evaluate([tmp_path / "whole"], [benchmark], scale=recipe.scale, metrics=asked, autoencoder=autoencoder)
    assert not evaluated.failures
    assert all(result.mean is not None for result in evaluated.results)

    Image.new("RGB", (9, 7), (200, 100, 50)).save(tmp_path / "small.png")
    upscale([tmp_path / "small.png"], tmp_path / "whole", tmp_path / "upscaled")
    with Image.open(tmp_path / "upscaled" / "small.png") as picture:
        assert picture.size == (9 * recipe.scale, 7 * recipe.scale)
