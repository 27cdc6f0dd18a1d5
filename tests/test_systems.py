"""Every recipe that comes with the package, tiny: it trains, resumes to the bit, learns, evaluates and upscales.

Made from the list of recipes, so that a new one cannot escape.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor

from aesop.data.crops import Crops
from aesop.data.pictures import to_float
from aesop.evaluation.evaluate import evaluate
from aesop.networks.state_dicts import read_state, write_state
from aesop.run import Run
from aesop.training.build import build_stage
from aesop.training.recipe_files import recipe_names
from aesop.training.record import finished_iterations, open_run
from aesop.training.train import train, training_data
from aesop.upscaling.upscale import upscale
from helpers import synthetic_pictures
from tiny_systems import LARGE_CROP, crop_of, tiny_recipe
from tiny_training import same_files

pytestmark = pytest.mark.long

NAMES = recipe_names()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("systems")
    synthetic_pictures(folder / "photos", 3, LARGE_CROP)
    return folder


def trained(name: str, pictures: Path, run: Path, iterations: int, last: int) -> Run:
    """Train the stages of a recipe for so many iterations, the last one for `last`."""
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
    # The last stage once more, stopped half-way.
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


@pytest.mark.parametrize("name", NAMES)
def test_losses_fall_on_a_fixed_batch(name: str, pictures: Path, tmp_path: Path):
    """Each stage's objective, from fresh weights and without the adversary, which would move the mark."""
    recipe = tiny_recipe(name)
    if recipe.perceptual is not None:
        silenced = ["perceptual.adversarial_loss.weight=0"]
        silenced += ["perceptual.gradient_loss.adversarial_weight=0"] if recipe.perceptual.gradient_loss else []
        recipe = tiny_recipe(name, *silenced)
    run = Run(tmp_path / "run")
    open_run(run, recipe, "", 1)
    data = training_data(recipe, pictures / "photos", None, pictures / name, lambda _: None).training
    lr, hr = (to_float(images) for images in Crops(data, crop_of(name), seed=0).__getitems__([0, 1]))
    for stage_name in recipe.stages():
        torch.manual_seed(0)
        stage = build_stage(Fabric(accelerator="cpu", devices=1), run, recipe, stage_name)
        # The next stage, too, starts from fresh weights: there is more to learn than in what has been trained.
        write_state(run.stage(stage_name).network, stage.result.state_dict(), {})
        if stage_name not in recipe.trained_stages():
            continue
        for group in stage.optimizer.param_groups:
            group["lr"] = 0.002
        values = [objective(stage, stage.step(lr, hr)) for _ in range(5)]
        while sum(values[-3:]) > 0.98 * sum(values[:3]):
            assert len(values) < 150, f"{stage_name}: {values[:3]} ... {values[-3:]}"
            values.append(objective(stage, stage.step(lr, hr)))


def objective(stage: Any, losses: dict[str, Tensor]) -> float:
    """The weighted sum of a stage's losses."""
    weights = {
        "fidelity": lambda: {"pixel": 1.0},
        "autoencoder": lambda: {"lr": stage.lr_weight, "hr": stage.hr_weight},
    }
    terms = weights.get(stage.name, lambda: {term.name: term.weight for term in stage.terms if term.weight})()
    branch = {"branch": stage.branch_weight} if "branch" in losses else {}
    return sum(weight * losses[name].item() for name, weight in (terms | branch).items())
