"""Files of ours give their networks back; what they say of a user's own class is checked, and never imported."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from aesop.autoencoder import AutoEncoder
from aesop.errors import ModelError
from aesop.networks.loading import load_generator
from aesop.networks.srvgg import SRVGGConfig
from aesop.networks.state_dicts import write_state
from aesop.training.recipe import Recipe
from aesop.training.recipe_files import load_recipe

SWINIR = {"type": "swinir", "features": 8, "groups": 1, "blocks": 2, "heads": 2, "window": 4}

GENERATORS: dict[str, dict[str, Any]] = {
    "rrdb": {"type": "rrdb", "features": 4, "blocks": 1, "growth": 4},
    "swinir": SWINIR,
    "swinir-nearest": SWINIR | {"upsampler": "nearest+conv"},
    "swinir-heads": SWINIR | {"heads": 8, "window": 8},
    "drct": {"type": "drct", "features": 8, "groups": 1, "heads": 4, "growth": 4, "window": 4},
    "srresnet": {"type": "srresnet", "features": 16, "blocks": 1, "norm": True},
    "srvgg": {"type": "srvgg", "features": 4, "convs": 1},
    "span": {"type": "span", "features": 4},
    "span-norm": {"type": "span", "features": 4, "norm": True},
    "spandrel": {"type": "spandrel", "architecture": "RealPLKSR", "arguments": {"dim": 8, "n_blocks": 1}},
}


def recipe(generator: dict[str, Any], *overrides: str) -> Recipe:
    sizes = [f"{stage}.crop=64" for stage in ("fidelity", "autoencoder", "perceptual")]
    return load_recipe("laptop", [f"generator={json.dumps(generator)}", *sizes, *overrides])


def randomised(network: nn.Module) -> nn.Module:
    """Move every parameter off its start, behind whose zeros a difference could hide."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return network.eval()


def write(path: Path, network: nn.Module, said: Recipe, stage: str = "fidelity") -> Path:
    """Write a file as training does."""
    write_state(path, network.state_dict(), {"stage": stage, "recipe": said.model_dump(mode="json")})
    return path


def forged(
    path: Path, section: Any, scale: Any = 4, stage: Any = "fidelity", state: dict[str, Tensor] | None = None
) -> Path:
    """Write a file that claims to hold the network of `section`; by default it holds one small matrix."""
    record = {"recipe": json.dumps({"generator": section, "scale": scale}), "stage": json.dumps(stage)}
    save_file(state or {"weight": torch.zeros(2, 2)}, path, record)
    return path


@pytest.mark.parametrize("name", GENERATORS)
def test_a_file_of_ours_gives_the_network_back(tmp_path: Path, name: str):
    said = recipe(GENERATORS[name])
    network = randomised(said.generator.build(said.scale))
    loaded = load_generator(write(tmp_path / "net.safetensors", network, said))
    assert loaded.scale == 4
    assert not loaded.model.training
    assert all(parameter.dtype == torch.float32 for parameter in loaded.model.parameters())
    lr = torch.rand(1, 3, 13, 10)
    with torch.no_grad():
        assert torch.equal(loaded.model(lr), network(lr))


@pytest.mark.parametrize("stage", ["fidelity", "autoencoder", "perceptual"])
def test_every_stage_gives_its_network_back(tmp_path: Path, stage: str):
    said = recipe(GENERATORS["rrdb"], f"autoencoder.decoder={json.dumps(SWINIR)}")
    if stage == "autoencoder":
        assert said.autoencoder is not None
        assert said.autoencoder.decoder is not None
        network = randomised(AutoEncoder(said.autoencoder.decoder.build(4), 4, growth=4, blocks=1))
        loaded: nn.Module = AutoEncoder.load(write(tmp_path / "net.safetensors", network, said, stage))
        images = torch.rand(1, 3, 16, 24)
    else:
        network = randomised(said.generator.build(4))
        loaded = load_generator(write(tmp_path / "net.safetensors", network, said, stage)).model
        images = torch.rand(1, 3, 9, 7)
    with torch.no_grad():
        assert torch.equal(loaded(images), network(images))


def test_spsr_of_a_perceptual_stage_loads(tmp_path: Path):
    small = ["generator.features=4", "generator.blocks=4", "generator.growth=4"]
    said = load_recipe("spsr-128", [*small, *(f"perceptual.{setting}" for setting in small)])
    assert said.perceptual is not None
    assert said.perceptual.generator is not None
    network = randomised(said.perceptual.generator.build(4))
    loaded = load_generator(write(tmp_path / "net.safetensors", network, said, "perceptual"))
    lr = torch.rand(1, 3, 9, 7)
    with torch.no_grad():
        assert torch.equal(loaded.model(lr), network(lr))


@pytest.mark.parametrize(
    "record", ["[]", "{}", "not JSON", '{"generator": 3, "scale": 4}', '{"generator": {}, "scale": 4}']
)
def test_a_file_that_records_no_network_is_read_by_its_shapes(tmp_path: Path, record: str):
    network = randomised(SRVGGConfig(type="srvgg", features=4, convs=1).build(2))
    save_file(network.state_dict(), tmp_path / "net.safetensors", {"recipe": record, "stage": '"fidelity"'})
    loaded = load_generator(tmp_path / "net.safetensors")
    lr = torch.rand(1, 3, 9, 7)
    with torch.no_grad():
        assert torch.equal(loaded.model(lr), network(lr))


# Imports.

OWN = """
from pathlib import Path

import torch
from torch import nn

from aesop.networks.section import GeneratorSection

Path(__file__).with_name("imported").touch()


class Net(nn.Module):
    def __init__(self, scale: int, width: int, depth: int, drop: bool) -> None:
        super().__init__()
        # As networks with stochastic depth do it.
        self.rates = [rate.item() for rate in torch.linspace(0, 0.1, depth)] if drop else []
        self.body = nn.Sequential(nn.Conv2d(3, width, 1), *(nn.Conv2d(width, width, 1) for _ in range(depth)))
        self.last = nn.Conv2d(width, 3 * scale**2, 3, padding=1)
        self.up = nn.PixelShuffle(scale)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return self.up(self.last(self.body(lr)))


class NetConfig(GeneratorSection):
    type: str
    width: int = 4
    depth: int = 1
    drop: bool = False
    base: float = 100.0

    def build(self, scale: int) -> nn.Module:
        return Net(scale, self.width, self.depth, self.drop)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of the user's, importable but not imported, that leaves a mark when it is."""
    name = "own_network_of_a_test"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield name
    sys.modules.pop(name, None)


@pytest.mark.parametrize("stage", ["fidelity", "autoencoder", "perceptual"])
def test_a_file_never_causes_an_import(tmp_path: Path, own: str, stage: str):
    section = {"type": f"{own}:NetConfig"}
    state = {"conv.weight": torch.zeros(48, 3, 3, 3), "conv.bias": torch.zeros(48)}
    if stage == "autoencoder":
        autoencoder = AutoEncoder(SRVGGConfig(type="srvgg", features=4, convs=1).build(4), 4, 4, 4, 1).state_dict()
        encoder = {key: value for key, value in autoencoder.items() if key.startswith("encoder.")}
        state = encoder | {f"decoder.{key}": value for key, value in state.items()}
    path = forged(tmp_path / "net.safetensors", section, stage=stage, state=state)
    with pytest.raises(ModelError, match=rf"net\.safetensors: .*{own}:NetConfig.*--import {own}"):
        AutoEncoder.load(path) if stage == "autoencoder" else load_generator(path)
    assert own not in sys.modules
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    "kind",
    [
        "os:system",
        "builtins:eval",
        "aesop.training.recipe:Recipe",
        "aesop.networks.section:GeneratorSection",
        "sys:",
        ":",
        "a:b:c",
    ],
)
def test_a_file_cannot_name_what_is_no_generator(tmp_path: Path, kind: str):
    with pytest.raises(ModelError, match=r"net\.safetensors"):
        load_generator(forged(tmp_path / "net.safetensors", {"type": kind}))


@pytest.mark.parametrize(
    "settings", [{}, {"drop": True}, {"base": 10000.0}], ids=["plain", "reads-values", "large-number"]
)
def test_a_network_of_the_users_own_loads_once_it_is_imported(tmp_path: Path, own: str, settings: dict[str, Any]):
    """Whatever could be trained: a constructor may read values (drop rates), and a number may be large (a base)."""
    said = recipe({"type": f"{own}:NetConfig", **settings})
    assert own in sys.modules  # a recipe is the user's, and imports
    network = randomised(said.generator.build(4))
    loaded = load_generator(write(tmp_path / "net.safetensors", network, said))
    assert loaded.architecture == f"{own}:NetConfig"
    lr = torch.rand(1, 3, 9, 7)
    with torch.no_grad():
        assert torch.equal(loaded.model(lr), network(lr))


def test_an_auto_encoder_whose_decoder_is_the_users_own_loads(tmp_path: Path, own: str):
    """Its decoder's section is meant, not the generator's."""
    said = recipe(SWINIR, f"autoencoder.decoder={{type: '{own}:NetConfig', width: 6}}")
    assert said.autoencoder is not None
    assert said.autoencoder.decoder is not None
    network = randomised(AutoEncoder(said.autoencoder.decoder.build(4), 4, growth=4, blocks=1))
    loaded = AutoEncoder.load(write(tmp_path / "net.safetensors", network, said, "autoencoder"))
    hr = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        assert torch.equal(loaded(hr), network(hr))
    loaded = load_generator(write(tmp_path / "net.safetensors", said.generator.build(4), said))
    assert loaded.architecture == "SwinIR"


# Records that ask for too much, or for something else.


class TooMuchError(BaseException):
    """Not an Exception, so that nothing on the way takes it for a file's mistake."""


@contextmanager
def bounded(parameters: int, elements: int) -> Iterator[None]:
    """Stop whoever makes more parameters than that, or larger ones that take memory."""
    made = 0

    def count(module: nn.Module, name: str, value: nn.Parameter | None) -> None:
        nonlocal made
        made += 1
        if made > parameters:
            raise TooMuchError(f"{made} parameters made for a file that holds six")
        if value is not None and value.device.type != "meta" and value.numel() > elements:
            raise TooMuchError(f"{value.numel():,} numbers of memory: {name} of {type(module).__name__}")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def own_file(path: Path, own: str, scale: Any = 4, **settings: Any) -> Path:
    """Write the parameters of the plain network of the user's own, and say something of it."""
    network = recipe({"type": f"{own}:NetConfig"}).generator.build(4)
    return forged(path, {"type": f"{own}:NetConfig", **settings}, scale, state=network.state_dict())


@pytest.mark.parametrize(
    "settings",
    [{"width": 10**9}, {"width": 20_000}, {"width": 10**30}, {"depth": -1}],
    ids=["width", "wide", "astronomical", "negative"],
)
def test_a_record_that_asks_for_absurd_sizes_is_refused_before_they_are_made(
    tmp_path: Path, own: str, settings: dict[str, Any]
):
    path = own_file(tmp_path / "net.safetensors", own, **settings)
    with bounded(parameters=2000, elements=10**6), pytest.raises(ModelError, match=r"net\.safetensors"):
        load_generator(path)


@pytest.mark.parametrize("scale", [10**9, -4, 0, 2, 3])
def test_a_record_of_another_scale_is_refused(tmp_path: Path, own: str, scale: int):
    assert load_generator(own_file(tmp_path / "net.safetensors", own)).scale == 4
    with pytest.raises(ModelError, match=r"net\.safetensors: its parameters are not those of the own"):
        load_generator(own_file(tmp_path / "net.safetensors", own, scale))


@pytest.mark.parametrize(
    "settings", [{"width": 8}, {"depth": 2}, {"depth": 0}, {"colour": "red"}, {"width": None}, {"width": "wide"}]
)
def test_a_record_that_does_not_fit_its_parameters_is_refused(tmp_path: Path, own: str, settings: dict[str, Any]):
    with pytest.raises(ModelError, match=r"net\.safetensors: its parameters are not those of the own"):
        load_generator(own_file(tmp_path / "net.safetensors", own, **settings))


@pytest.mark.parametrize("damage", ["missing", "over", "shape"])
def test_parameters_that_are_not_those_of_the_record_are_refused(tmp_path: Path, own: str, damage: str):
    section = {"type": f"{own}:NetConfig"}
    state = recipe(section).generator.build(4).state_dict()
    if damage == "missing":
        del state["last.bias"]
    else:
        state["another.bias" if damage == "over" else "last.bias"] = torch.zeros(7)
    with pytest.raises(ModelError, match=r"net\.safetensors: its parameters are not those of the own"):
        load_generator(forged(tmp_path / "net.safetensors", section, state=state))


@pytest.mark.parametrize(
    "section",
    [
        SWINIR | {"features": 10**9},
        SWINIR | {"groups": 4096, "blocks": 4096},
        SWINIR | {"heads": 4},
        {"type": "nothing"},
    ],
)
def test_what_a_file_says_of_networks_that_shapes_tell_changes_nothing(tmp_path: Path, section: dict[str, Any]):
    network = randomised(recipe(SWINIR).generator.build(4))
    path = forged(tmp_path / "net.safetensors", section, scale=2, state=network.state_dict())
    lr = torch.rand(1, 3, 9, 7)
    with bounded(parameters=2000, elements=10**6), torch.no_grad():
        assert torch.equal(load_generator(path).model(lr), network(lr))


@pytest.mark.parametrize(
    "text", [f'{{"generator": {json.dumps(SWINIR)}, "scale": 1e999}}', "[" * 100_000], ids=["infinite", "deep"]
)
def test_a_damaged_record_is_no_traceback(tmp_path: Path, text: str):
    """Either it counts as no record, or the file is refused."""
    state = randomised(recipe(SWINIR).generator.build(4)).state_dict()
    save_file(state, tmp_path / "net.safetensors", {"recipe": text, "stage": '"fidelity"'})
    with suppress(ModelError):
        assert load_generator(tmp_path / "net.safetensors").scale == 4
