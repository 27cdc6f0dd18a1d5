"""Recipes: the paper's numbers, inheritance, overrides and error messages."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aesop.errors import RecipeError
from aesop.networks.features import EfficientNetConfig
from aesop.training.loop import learning_rate
from aesop.training.recipe_files import dump_recipe, load_recipe
from aesop.training.recipe_names import recipe_names
from sections import perceptual_of


def test_the_papers_numbers():
    recipe = load_recipe("aesop-rrdb-128")
    generator, autoencoder, perceptual = recipe.generator, recipe.autoencoder, perceptual_of(recipe)
    assert generator.type == "rrdb"
    assert (recipe.scale, generator.features, generator.blocks, generator.growth) == (4, 64, 23, 32)
    assert autoencoder is not None
    assert (autoencoder.iterations, autoencoder.crop, autoencoder.batch) == (100_000, 256, 16)
    assert (autoencoder.lr_weight, autoencoder.hr_weight, autoencoder.start) == (1.0, 1.0, "kaiming")
    assert (autoencoder.learning_rate, autoencoder.betas, autoencoder.ema) == (1e-4, (0.9, 0.99), 0.999)
    assert (perceptual.iterations, perceptual.crop, perceptual.batch) == (300_000, 128, 16)
    assert (perceptual.learning_rate, perceptual.betas, perceptual.ema) == (1e-4, (0.9, 0.99), 0.999)
    assert (perceptual.fidelity_loss.type, perceptual.fidelity_loss.weight) == ("aesop", 1.0)
    assert perceptual.perceptual_loss.weight == 1.0
    assert perceptual.perceptual_loss.features.type == "vgg19"
    layers = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}
    assert perceptual.perceptual_loss.features.layers == layers
    assert perceptual.adversarial_loss.weight == 0.005
    assert perceptual.artifact_loss.weight == 1.0
    assert perceptual.discriminator.features == 64


@pytest.mark.parametrize(("system", "twin"), [("aesop-rrdb-128", "ldl-rrdb-128"), ("laptop", "laptop-pixel")])
def test_a_twin_differs_in_the_fidelity_loss_alone(system: str, twin: str):
    ours, theirs = (load_recipe(name).model_dump() for name in (system, twin))
    for values in (ours, theirs):
        del values["name"], values["about"], values["autoencoder"]
    assert ours["perceptual"].pop("fidelity_loss") == {"type": "aesop", "weight": 1.0}
    assert theirs["perceptual"].pop("fidelity_loss") == {"type": "pixel", "weight": 0.01}
    assert ours == theirs


@pytest.mark.parametrize("name", recipe_names())
def test_resolved_recipes_read_back_as_they_were(name: str, tmp_path: Path):
    (tmp_path / "resolved.yaml").write_text(dump_recipe(load_recipe(name)), encoding="utf-8")
    assert load_recipe(str(tmp_path / "resolved.yaml")) == load_recipe(name)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("perceptual.artifact_loss.wait=1", r"unknown key `perceptual.artifact_loss.wait`; the nearest is `weight`"),
        ("qqq=1", r"unknown key `qqq`; the keys here are .*autoencoder"),
        ("perceptual.perceptual_loss.features.layers={conv9_9: 1}", r"VGG19 has no layer conv9_9"),
        ("scale=5", r"`scale` must be 2, 3, 4 or 8 \(it is 5\)"),
        ("perceptual.batch=0", r"`perceptual.batch` must be at least 1 \(it is 0\)"),
        ("perceptual.learning_rate=-1e-4", r"`perceptual.learning_rate` must be more than 0"),
        ("perceptual.learning_rate=.nan", r"`perceptual.learning_rate` must be a finite number"),
        ("perceptual.batch=null", r"`perceptual.batch` must be a whole number \(it is null\)"),
        ("fidelity.betas=[1,2,3]", r"`fidelity.betas` must be a list of at most 2"),
        ("fidelity=null", r"`fidelity` must be a section \(it is null\)"),
        ("perceptual.batch=many", r'`perceptual.batch` must be a whole number \(it is "many"\)'),
        ("fidelity.crop=130", r"fidelity.crop: 130 is not a multiple of the scale 4"),
        ("perceptual.crop=8", r"perceptual.crop: "),
        ("autoencoder=null", r"needs a section `autoencoder`"),
        ("perceptual.weights=x.pth", r"unknown key `perceptual.weights`"),
        ("generator.type=resnet", r'`generator.type` must be one of rrdb, .* \(it is "resnet"\)'),
        ("seed=4294967296", r"`seed` must be (less than|at most)"),
        ("perceptual.crop=16", r"VGG19 halves its input four times"),
        ("perceptual.perceptual_loss.features.layers={conv1_1: -1}", r"must be at least 0"),
        ("generator={features: 8}", r"`generator.type` is missing; set it to one of rrdb, swinir, drct.*srvgg"),
        ("generator={}", r"`generator.type` is missing; set it to one of rrdb"),
        ("perceptual.perceptual_loss.features={type: efficientnet-lite0, blocks: {a: 1}}",
         r'a key of `perceptual.perceptual_loss.features.blocks` must be a whole number \(it is "a"\)'),
        ("perceptual.batch", r"write key=value"),
        ("scale.x=1", r"`scale` is a value, not a section"),
        ("name=[unclosed", r"not valid YAML"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_its_path_and_mend(override: str, message: str):
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe("aesop-rrdb-128", [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("block", "smallest"), [(2, 4), (4, 8), (10, 16), (15, 32)])
def test_features_take_the_smallest_crop_that_the_recipe_allows(block: int, smallest: int):
    config = EfficientNetConfig(type="efficientnet-lite0", blocks={block: 1.0})
    with pytest.raises(ValueError, match=f"block {block} needs {smallest} pixels or more"):
        config.check(smallest - 1)
    config.check(smallest)
    features, _ = config.build()
    assert features(torch.rand(1, 3, smallest, smallest))[0].shape[0] == 1


def test_other_mistakes(tmp_path: Path):
    with pytest.raises(RecipeError, match="did you mean laptop"):
        load_recipe("labtop")
    with pytest.raises(RecipeError, match="RRDB doubles its size"):
        load_recipe("aesop-rrdb-128", ["scale=3", "fidelity.crop=96", "autoencoder.crop=96", "perceptual.crop=96"])
    for number, (text, message) in enumerate([
        ("- 1", "is not a recipe"),
        ("a: [", "not valid YAML"),
        ("inherits: 2.yaml", "in a circle"),
        (f"inherits: ../{tmp_path.name}/3.yaml", "in a circle"),
        ("inherits: nobody.yaml", "no such recipe"),
        ("inherits: [laptop, 3]", "`inherits` names recipes"),
        ("name: short\nscale: 4", "`generator` is missing"),
        ("name: Zürich", "is not UTF-8"),
    ]):  # fmt: skip
        (tmp_path / f"{number}.yaml").write_bytes(text.encode("latin-1"))
        with pytest.raises(RecipeError, match=message):
            load_recipe(str(tmp_path / f"{number}.yaml"))


def test_inheritance_replaces_a_section_of_another_type_whole(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text(
        "inherits: laptop\nname: mine\ngenerator: {type: rrdb, blocks: 3}\nperceptual: {batch: 2}", encoding="utf-8"
    )
    (tmp_path / "heir.yaml").write_text("inherits: mine.yaml\nseed: 7", encoding="utf-8")
    recipe = load_recipe(str(tmp_path / "heir.yaml"))
    assert recipe.seed == 7
    assert recipe.generator.type == "rrdb"
    assert (recipe.generator.blocks, recipe.generator.features) == (3, 64)
    assert (perceptual_of(recipe).batch, perceptual_of(recipe).crop) == (2, perceptual_of(load_recipe("laptop")).crop)


def test_what_several_parents_share_lies_under_all_of_them(tmp_path: Path):
    """fidelity-rrdb, an ancestor of both parents, must not override the first one."""
    (tmp_path / "mine.yaml").write_text("inherits: [aesop-rrdb-x2, fidelity-swinir]\nname: mine", encoding="utf-8")
    recipe = load_recipe(str(tmp_path / "mine.yaml"))
    assert (recipe.scale, recipe.generator.type, recipe.fidelity.iterations) == (2, "swinir", 500_000)
    (tmp_path / "orphan.yaml").write_text("inherits: [laptop, nobody]", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"nobody: no such recipe \(inherited by .*orphan.yaml\)"):
        load_recipe(str(tmp_path / "orphan.yaml"))


def test_overrides_read_numbers_as_people_write_them():
    recipe = load_recipe("laptop", ["perceptual.learning_rate=1e-5", "fidelity.weights=some.pth", "steps=3"])
    assert perceptual_of(recipe).learning_rate == 1e-5
    assert recipe.fidelity.weights == Path("some.pth")
    assert [recipe.iterations(name) for name in recipe.stages()] == [3, 3, 3]


def test_one_override_makes_the_papers_comparison():
    """Another type resets its section: weight 0.01, and no auto-encoder, since nothing would use it."""
    overridden = load_recipe("aesop-rrdb-128", ["perceptual.fidelity_loss.type=pixel"])
    assert perceptual_of(overridden).fidelity_loss == perceptual_of(load_recipe("ldl-rrdb-128")).fidelity_loss
    assert overridden.stages() == ("fidelity", "perceptual")
    weighed = ["perceptual.fidelity_loss.weight=1", "perceptual.fidelity_loss.type=pixel"]
    assert perceptual_of(load_recipe("aesop-rrdb-128", weighed)).fidelity_loss.weight == 1.0


def test_a_perceptual_stage_without_any_loss_is_refused():
    silent = [f"perceptual.{name}_loss.weight=0" for name in ("fidelity", "perceptual", "artifact", "adversarial")]
    assert load_recipe("aesop-rrdb-128", silent[:3]).stages()
    with pytest.raises(RecipeError, match="all losses have weight 0; raise one of them"):
        load_recipe("aesop-rrdb-128", silent)
    assert load_recipe("aesop-rrdb-128", [*silent, "perceptual.grid_loss.weight=1"]).stages()


@given(st.integers(0, 999))
def test_learning_rate_schedule(iteration: int):
    base = load_recipe("aesop-rrdb-128").fidelity
    config = base.model_copy(update={"milestones": (200, 500), "warmup": 10, "learning_rate": 1.0})
    expected = 0.5 ** ((iteration >= 200) + (iteration >= 500)) * min(1, (iteration + 1) / 10)
    assert learning_rate(config, iteration, 1000) == pytest.approx(expected)
    cosine = base.model_copy(update={"milestones": (), "cosine": True, "learning_rate": 1.0})
    assert learning_rate(cosine, 0, 1000) == pytest.approx(1.0)
    assert learning_rate(cosine, 500, 1000) == pytest.approx(0.5)
    assert learning_rate(cosine, iteration + 1, 1000) < learning_rate(cosine, iteration, 1000)
