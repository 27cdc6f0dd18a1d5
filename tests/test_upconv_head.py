"""A released network with an UpConv head: only the head is trained, and files give the network back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from aesop.errors import ModelError, RecipeError
from aesop.networks.generators import DRCTConfig
from aesop.networks.loading import load_generator
from aesop.networks.spandrel_any import SpandrelConfig
from aesop.networks.state_dicts import write_state
from aesop.networks.upconv import Reheaded, UpConvHeadConfig
from aesop.run import Run
from aesop.training.build import check_weights
from aesop.training.recipe_files import load_recipe
from aesop.training.train import train
from helpers import synthetic_pictures
from tiny_systems import DAT

BODY = SpandrelConfig(type="spandrel", architecture="DAT", arguments=DAT)
SECTION = UpConvHeadConfig(type="upconv-head", body=BODY, width=4)


@pytest.fixture
def released(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    write_state(tmp_path / "released.safetensors", BODY.build(4).state_dict(), {})
    return tmp_path / "released.safetensors"


def recipe_file(folder: Path, weights: Path) -> str:
    path = folder / "own.yaml"
    text = [
        "name: own", "scale: 4", "data: {held_out: 1, validation_crop: 32}",
        f"generator: {SECTION.model_dump_json()}",
        f"fidelity: {{body_weights: {weights}, iterations: 3, crop: 32, batch: 2, learning_rate: 0.01, ema: 0.0}}",
    ]  # fmt: skip
    path.write_text("\n".join(text))
    return str(path)


def test_the_head_alone_is_trained_and_a_file_gives_it_back(tmp_path: Path, released: Path) -> None:
    synthetic_pictures(tmp_path / "pictures", 3, 64)
    recipe = load_recipe(recipe_file(tmp_path, released))
    train(recipe, data=tmp_path / "pictures", run=tmp_path / "run", store=tmp_path / "store", device="cpu")
    file = Run(tmp_path / "run").stage("fidelity").network
    loaded = load_generator(file)
    assert (loaded.scale, loaded.architecture) == (4, "UpConv head")
    found, before = loaded.model.state_dict(), load_generator(released).model.state_dict()
    kept = [key for key in found if ".upsample." not in key]
    assert {key.removeprefix("body.") for key in kept} == {key for key in before if "upsample" not in key}
    # Parameters, and what the batch norms have learned.
    assert all(torch.equal(found[key], before[key.removeprefix("body.")]) for key in kept)
    torch.manual_seed(0)
    fresh = SECTION.build(4).state_dict()
    assert not any(torch.equal(found[key], fresh[key]) for key in found if key not in kept)
    write_state(tmp_path / "bare.safetensors", found, {})
    lr = torch.rand(1, 3, 9, 11)
    assert torch.equal(load_generator(tmp_path / "bare.safetensors").model(lr), loaded.model(lr))


def test_all_is_trained_where_no_body_is_named() -> None:
    network = SECTION.build(4)
    assert all(parameter.requires_grad for parameter in network.parameters())
    network.train()
    assert network.body.training
    network.keep(BODY.build(4))
    assert not network.body.training
    assert {name.split(".")[1] for name, value in network.named_parameters() if value.requires_grad} == {"upsample"}


def test_what_does_not_fit_is_named(tmp_path: Path, released: Path) -> None:
    with pytest.raises(RecipeError, match=r"fidelity\.body_weights: only a generator of the type upconv-head"):
        load_recipe("laptop", [f"fidelity.body_weights={released}"])
    drct = DRCTConfig(type="drct", features=8, groups=1, heads=2, growth=4, window=4, mlp_ratio=2).build(4)
    with pytest.raises(ValueError, match="does not end in one convolution and a pixel shuffle"):
        Reheaded(drct, 4, 4)
    with pytest.raises(ModelError, match=r"^fidelity\.body_weights: .*none\.pth: no such model file"):
        check_weights(load_recipe(recipe_file(tmp_path, tmp_path / "none.pth")))
    other = tmp_path / "other.safetensors"
    write_state(other, drct.state_dict(), {})
    synthetic_pictures(tmp_path / "pictures", 3, 64)
    with pytest.raises(ModelError, match=r"fidelity\.body_weights: .*other.safetensors holds another network"):
        train(
            load_recipe(recipe_file(tmp_path, other)),
            data=tmp_path / "pictures", run=tmp_path / "run", store=tmp_path / "store", device="cpu",
        )  # fmt: skip
