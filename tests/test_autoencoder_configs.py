"""The auto-encoder's settings: table 3's configurations, decoders of other types, and invalid ones."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from aesop.autoencoder import AutoEncoder, initialise_as_downscaler
from aesop.data.bicubic import resize
from aesop.errors import ModelError, RecipeError
from aesop.losses.aesop import AESOPLoss
from aesop.networks.generators import SPANConfig, SRVGGConfig
from aesop.networks.loading import load_generator
from aesop.networks.rrdb import RRDBConfig
from aesop.networks.srresnet import SRResNetConfig
from aesop.networks.state_dicts import write_state
from aesop.run import Run
from aesop.training.autoencoder import AutoEncoderStage
from aesop.training.build import build_stage, check_weights, starting_network
from aesop.training.perceptual import PerceptualStage
from aesop.training.recipe import Recipe
from aesop.training.recipe_files import load_recipe
from equations import unseen_by
from helpers import randomise
from tiny_systems import DAT, tiny_recipe

SCALES = [2, 3, 4, 8]
SMALL = SRVGGConfig(type="srvgg", features=4, convs=1)
#: A tiny system for any scale.
TINY = ["generator={type: srvgg, features: 4, convs: 1}", "autoencoder.growth=4", "autoencoder.blocks=1"]


FRESH = "autoencoder.decoder={type: srresnet, features: 16, blocks: 1}"


def small_recipe(*overrides: str, name: str = "ablation-c", scale: int = 4) -> Recipe:
    sizes = [f"{stage}.crop=48" for stage in ("fidelity", "autoencoder", "perceptual")]
    return tiny_recipe(name, f"scale={scale}", *TINY, *sizes, *overrides)


def saved(network: nn.Module, path: Path, **metadata: Any) -> Path:
    write_state(path, network.state_dict(), metadata)
    return path


def stage_of(recipe: Recipe, folder: Path, name: str) -> Any:
    """Build a stage of a run whose fidelity network has random weights."""
    run = Run(folder)
    if not run.stage("fidelity").network.is_file():
        torch.manual_seed(1)
        saved(randomise(recipe.generator.build(recipe.scale)), run.stage("fidelity").network)
    torch.manual_seed(0)
    return build_stage(Fabric(accelerator="cpu", devices=1), run, recipe, name)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[key]) for key, value in first.items())


def fidelity_of(folder: Path) -> nn.Module:
    return load_generator(Run(folder).stage("fidelity").network).model


def batch(recipe: Recipe, seed: int = 0) -> tuple[Tensor, Tensor]:
    hr = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(seed))
    return resize(hr, 1 / recipe.scale).clamp(0, 1), hr


# Table 3, config (a): the bottleneck collapsed.


@pytest.mark.parametrize("scale", SCALES)
def test_config_a_is_the_fidelity_network_on_bicubic_lr(tmp_path: Path, scale: int):
    recipe = small_recipe(name="ablation-a", scale=scale)
    assert recipe.trained_stages() == ("fidelity", "perceptual")
    stage: PerceptualStage = stage_of(recipe, tmp_path, "perceptual")
    loss = stage.losses["aesop"]
    assert isinstance(loss, AESOPLoss)
    _, hr = batch(recipe)
    with torch.no_grad():
        before, expected = loss.autoencoder(hr), fidelity_of(tmp_path)(resize(hr, 1 / scale))
    # Two layouts in memory: on some processors their convolutions are rounded in two ways.
    torch.testing.assert_close(before, expected, atol=1e-5, rtol=0)
    stage.step(*batch(recipe))  # the generator moves, its copy in the decoder's place does not
    with torch.no_grad():
        assert torch.equal(loss.autoencoder(hr), before)


@pytest.mark.parametrize("scale", SCALES)
def test_config_a_is_blind_to_what_downscaling_removes_and_a_learned_encoder_is_not(scale: int):
    """Bottleneck collapse: if SR has the LR image of HR, the loss is 0 and does not pull SR towards HR."""
    decoder = SMALL.build(scale)
    collapsed = AESOPLoss(AutoEncoder.collapsed(copy.deepcopy(decoder), scale).double())
    learned = AutoEncoder(copy.deepcopy(decoder), scale, features=4, growth=4, blocks=1)
    learned = AESOPLoss(trained_to_copy(learned).double())
    hr = torch.rand(1, 3, 24, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 0.2 + 0.4
    pattern = unseen_by(scale)
    sr = hr + 0.3 * pattern
    assert collapsed(sr, hr).item() < 1e-12
    assert learned(sr, hr).item() > 1e-5
    other = (hr + 0.05 * torch.randn_like(hr)).clamp(0, 1).requires_grad_()
    pulls = {}
    for name, loss in (("collapsed", collapsed), ("learned", learned)):
        (gradient,) = torch.autograd.grad(loss(other, hr), other)
        pulls[name] = ((gradient * pattern).sum().abs() / gradient.norm() / pattern.norm()).item()
    assert pulls["collapsed"] < 1e-9
    assert pulls["learned"] > 1e-4


def trained_to_copy(autoencoder: AutoEncoder) -> AutoEncoder:
    """Take a few steps of config (b), from a downscaler: the bottleneck begins to carry more than LR."""
    initialise_as_downscaler(autoencoder.encoder, autoencoder.scale)
    recipe = small_recipe("autoencoder.lr_weight=0", "autoencoder.learning_rate=0.01", scale=autoencoder.scale)
    assert recipe.autoencoder is not None
    stage = AutoEncoderStage(autoencoder, recipe.autoencoder)
    for number in range(3):
        stage.step(*batch(recipe, number))
    return autoencoder


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("ablation-a", ["autoencoder.weights=ae.safetensors"]),
        ("ablation-a", [FRESH]),
        # Random weights that never train: AE would be noise.
        ("ablation-c", [FRESH, "autoencoder.freeze_decoder=true"]),
    ],
)
def test_what_would_be_ignored_or_never_trained_is_refused(name: str, overrides: list[str]):
    with pytest.raises(RecipeError, match="autoencoder"):
        small_recipe(*overrides, name=name)
    assert small_recipe(FRESH, "autoencoder.decoder_weights=srresnet.pth", name=name).autoencoder


# Table 3, config (b): no LR term.


@pytest.mark.parametrize(("name", "heeds"), [("ablation-b", False), ("ablation-c", True)])
def test_without_the_lr_term_the_lr_image_is_measured_but_not_learned_from(tmp_path: Path, name: str, heeds: bool):
    recipe = small_recipe(name=name)
    lr, hr = batch(recipe)
    after = []
    for target in (lr, lr - 2):  # above and below what a fresh encoder makes
        stage: AutoEncoderStage = stage_of(recipe, tmp_path, "autoencoder")
        losses = [stage.step(target, hr) for _ in range(2)]
        expected = (stage.network.encode(hr) - target).abs().mean().item()
        assert losses[-1]["lr"].item() == pytest.approx(expected, rel=0.2)
        after.append(copy.deepcopy(stage.network.state_dict()))
    assert same(*after) is not heeds


# A frozen decoder (the real-world auto-encoder).


@pytest.mark.parametrize(
    "generator", ["{type: srvgg, features: 4, convs: 1}", "{type: srresnet, features: 16, blocks: 1, norm: true}"]
)
def test_a_frozen_decoder_stays_bit_for_bit_while_the_encoder_trains(tmp_path: Path, generator: str):
    recipe = small_recipe(f"generator={generator}", "degradation=null", name="aesop-real-x4")
    assert recipe.autoencoder is not None
    assert recipe.autoencoder.freeze_decoder
    stage: AutoEncoderStage = stage_of(recipe, tmp_path, "autoencoder")
    networks: dict[str, AutoEncoder] = {"trained": stage.network, "EMA": stage.result}
    before = {name: copy.deepcopy(network.state_dict()) for name, network in networks.items()}
    for number in range(3):
        stage.step(*batch(recipe, number))
    fidelity = fidelity_of(tmp_path).state_dict()
    for name, network in networks.items():
        assert same(network.decoder.state_dict(), fidelity), name
        encoder, start = network.encoder.state_dict(), before[name]
        assert not any(torch.equal(value, start[f"encoder.{key}"]) for key, value in encoder.items()), name


def test_a_decoder_starts_as_the_fidelity_network_and_trains(tmp_path: Path):
    recipe = small_recipe()
    stage: AutoEncoderStage = stage_of(recipe, tmp_path, "autoencoder")
    start = fidelity_of(tmp_path).state_dict()
    assert stage.fidelity is not None
    for network in (stage.network.decoder, stage.result.decoder, stage.fidelity):
        assert same(network.state_dict(), start)
    stage.step(*batch(recipe))
    moved = {key for key, value in stage.network.decoder.state_dict().items() if not torch.equal(value, start[key])}
    assert moved >= {key for key, value in start.items() if value.dim() == 4}
    assert same(stage.fidelity.state_dict(), start)


# What the decoder starts as.


@pytest.mark.parametrize(
    ("name", "section"),
    [
        ("ablation-c", SRResNetConfig(type="srresnet", features=16, blocks=1, norm=True)),
        ("ablation-a", SRResNetConfig(type="srresnet", features=16, blocks=1, norm=True)),
        ("ablation-c", None),
    ],
)
def test_a_decoder_starts_as_the_file_that_is_named(tmp_path: Path, name: str, section: SRResNetConfig | None):
    """Of another type, or of the recipe's own generator."""
    network = randomise((section or SMALL).build(4))
    path = saved(network, tmp_path / "decoder.safetensors")
    own = [] if section is None else [f"autoencoder.decoder={json.dumps(section.model_dump())}"]
    recipe = small_recipe(*own, f"autoencoder.decoder_weights={path}", name=name)
    check_weights(recipe)
    stage_name = "autoencoder" if name == "ablation-c" else "perceptual"
    stage = stage_of(recipe, tmp_path / "run", stage_name)
    autoencoder = stage.network if stage_name == "autoencoder" else stage.losses["aesop"].autoencoder
    assert same(autoencoder.decoder.state_dict(), network.state_dict())


def test_files_that_do_not_fit_are_one_sentence(tmp_path: Path):
    files = {
        "x2": SMALL.build(2),
        "wide": SMALL.model_copy(update={"features": 6}).build(4),
        "rrdb": RRDBConfig(type="rrdb", features=4, blocks=1, growth=4).build(4),
        "ae": AutoEncoder(SMALL.build(4), 4, 4, 4, 1),
        "ae2": AutoEncoder(SMALL.build(2), 2, 4, 4, 1),
        "mixed": AutoEncoder(SMALL.build(2), 4, 4, 4, 1),
        "x6": AutoEncoder(SMALL.build(4), 6, 36, 4, 1),  # unshuffling reaches no 6
    }
    for name, network in files.items():
        saved(network, tmp_path / f"{name}.safetensors")
    for key, name, message in (
        ("fidelity.weights", "x2", r"fidelity\.weights: .*x2\.safetensors has scale 2; the recipe has 4"),
        ("fidelity.weights", "wide", r"holds .* parameters, not the recipe's generator"),
        ("fidelity.weights", "missing", r"fidelity\.weights: .*missing\.safetensors: no such model file"),
        ("fidelity.start_weights", "wide", r"fidelity\.start_weights: .* not the recipe's generator"),
        ("autoencoder.decoder_weights", "x2", r"decoder_weights: .* has scale 2; the recipe has 4"),
        ("autoencoder.decoder_weights", "rrdb", r"autoencoder\.decoder_weights: .* holds RRDB .*decoder"),
        ("autoencoder.decoder_weights", "ae", r"is an auto-encoder; a generator is expected"),
        ("autoencoder.weights", "x2", r"is a generator .*; an auto-encoder is expected"),
        ("autoencoder.weights", "ae2", r"autoencoder\.weights: .* has scale 2"),
        ("autoencoder.weights", "x6", "do not fit an auto-encoder"),
        ("autoencoder.weights", "mixed", r"its decoder does not undo its encoder's scale of 4"),
    ):
        with pytest.raises(ModelError, match=message) as refused:
            check_weights(small_recipe(f"{key}={tmp_path / name}.safetensors"))
        assert f"{name}.safetensors" in str(refused.value)


def test_a_file_whose_parameters_fit_but_whose_network_is_another_is_refused(tmp_path: Path):
    """SPAN has the same parameters with and without its range of 255 levels, but a different output."""
    path = saved(randomise(SPANConfig(type="span", features=4, norm=True).build(4)), tmp_path / "span.safetensors")
    lr = torch.rand(1, 3, 9, 8)
    with torch.no_grad():
        same = starting_network(SPANConfig(type="span", features=4, norm=True), 4, path).eval()
        torch.testing.assert_close(same(lr), load_generator(path).model(lr))
    with pytest.raises(ModelError, match=r"fidelity\.weights: .*span\.safetensors"):
        starting_network(SPANConfig(type="span", features=4, norm=False), 4, path)


def test_training_starts_from_a_file(tmp_path: Path):
    trained = randomise(SMALL.build(4))
    path = saved(trained, tmp_path / "trained.safetensors")
    recipe = small_recipe(f"fidelity.start_weights={path}")
    stage = build_stage(Fabric(accelerator="cpu", devices=1), Run(tmp_path / "run"), recipe, "fidelity")
    assert same(stage.network.state_dict(), trained.state_dict())
    assert recipe.trained_stages()[0] == "fidelity"
    with pytest.raises(RecipeError, match=r"fidelity\.start_weights: fidelity\.body_weights is set as well"):
        small_recipe(f"fidelity.start_weights={path}", f"fidelity.body_weights={path}", "generator.type=upconv-head")


def test_a_run_names_its_fidelity_network_where_one_is_wanted(tmp_path: Path):
    """Upscaling and evaluation use a run's perceptual network instead."""
    networks = {stage: randomise(SMALL.build(4)) for stage in ("fidelity", "perceptual")}
    for stage, network in networks.items():
        saved(network, tmp_path / stage / "generator.safetensors")
    (tmp_path / "run.json").write_text(json.dumps({"stages": ["fidelity", "autoencoder", "perceptual"]}))
    for key in ("fidelity.weights", "fidelity.start_weights", "autoencoder.decoder_weights"):
        assert same(starting_network(SMALL, 4, tmp_path, key).state_dict(), networks["fidelity"].state_dict()), key


# Files of auto-encoders.


@pytest.mark.parametrize(
    "decoder",
    [
        "{type: srresnet, features: 16, blocks: 1, norm: true}",
        "{type: swinir, features: 8, groups: 1, blocks: 1, heads: 4, window: 2, upsampler: nearest+conv}",
        "{type: span, features: 4, norm: true}",
    ],
)
def test_a_file_of_a_trained_auto_encoder_says_what_decodes(tmp_path: Path, decoder: str):
    """It does not depend on torch's default type at loading."""
    recipe = small_recipe(f"autoencoder.decoder={decoder}", "autoencoder.crop=64")
    stage: AutoEncoderStage = stage_of(recipe, tmp_path / "run", "autoencoder")
    randomise(stage.result)
    path = saved(stage.result, tmp_path / "ae.safetensors", stage="autoencoder", recipe=recipe.model_dump(mode="json"))
    hr = torch.rand(1, 3, 32, 48)
    torch.set_default_dtype(torch.float64)
    try:
        loaded = AutoEncoder.load(path)
    finally:
        torch.set_default_dtype(torch.float32)
    assert loaded.scale == 4
    assert not loaded.training
    # The stage's is channels-last, which rounds otherwise.
    trained = stage.result.to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        assert torch.equal(loaded(hr), trained(hr))
        assert torch.equal(loaded.encode(hr), trained.encode(hr))


@pytest.mark.parametrize(
    ("key", "shape"),
    [("conv_first.0", (0, 3, 3, 3)), ("conv_first.0", (400, 3, 3, 3)), ("conv_first.0", ()),
     ("conv_last.0", (48, 27, 3, 3)), ("body.0.rdb1.conv1", ()), ("body.7.rdb1.conv1", (4, 48, 3, 3))],
)  # fmt: skip
def test_a_damaged_auto_encoder_is_one_sentence(tmp_path: Path, key: str, shape: tuple[int, ...]):
    state = AutoEncoder(SMALL.build(4), 4, 4, 4, 1).state_dict() | {f"encoder.{key}.weight": torch.zeros(shape)}
    write_state(tmp_path / "damaged.safetensors", state, {})
    with pytest.raises(ModelError, match=r"damaged\.safetensors"):
        AutoEncoder.load(tmp_path / "damaged.safetensors")
    path = saved(AutoEncoder(SMALL.build(4), 6, 36, 4, 1), tmp_path / "x6.safetensors")  # which no unshuffling reaches
    with pytest.raises(ModelError, match=r"x6\.safetensors"):
        AutoEncoder.load(path)


def test_every_ablation_differs_in_the_auto_encoder_alone():
    names = ("ablation-a", "ablation-b", "ablation-c")
    a, b, c = ({**load_recipe(name).model_dump(mode="json"), "name": "", "about": ""} for name in names)
    assert a == {**c, "autoencoder": {**c["autoencoder"], "encoder": "bicubic"}}
    assert b == {**c, "autoencoder": {**c["autoencoder"], "lr_weight": 0.0}}


@pytest.mark.parametrize("name", ["fidelity", "autoencoder"])
def test_batches_of_one_train_dat(tmp_path: Path, name: str):
    """DAT's batch norm has one value per channel and image: one image alone has no variance."""
    section = json.dumps({"type": "spandrel", "architecture": "DAT", "arguments": DAT})
    recipe = small_recipe(f"generator={section}")
    stage = stage_of(recipe, tmp_path, name)
    lr, hr = batch(recipe)
    before = copy.deepcopy(stage.result.state_dict())
    stage.step(lr[:1], hr[:1])
    assert all(value.isfinite().all() for value in stage.result.state_dict().values())
    assert not same(stage.result.state_dict(), before)
