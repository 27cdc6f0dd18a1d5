"""Our model files give their networks back; a user's class that a file names is checked and never imported."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from aesop.autoencoder import AutoEncoder
from aesop.errors import ModelError
from aesop.networks.generators import SRVGGConfig
from aesop.networks.loading import load_generator
from aesop.networks.state_dicts import write_state
from aesop.training.recipe import Recipe
from aesop.training.recipe_files import load_recipe
from helpers import memory_grows_by_at_most, randomise

SWINIR = {"type": "swinir", "features": 8, "groups": 1, "blocks": 2, "heads": 2, "window": 4}


def recipe(generator: dict[str, Any], *overrides: str) -> Recipe:
    sizes = [f"{stage}.crop=64" for stage in ("fidelity", "autoencoder", "perceptual")]
    return load_recipe("laptop", [f"generator={json.dumps(generator)}", *sizes, *overrides])


def write(path: Path, network: nn.Module, said: Recipe, stage: str = "fidelity") -> Path:
    """Write a file as training does."""
    write_state(path, network.state_dict(), {"stage": stage, "recipe": said.model_dump(mode="json")})
    return path


def forged(path: Path, section: Any, scale: Any = 4, state: dict[str, Tensor] | None = None) -> Path:
    """Write a file that claims to hold the network of `section`; by default it holds one small matrix."""
    record = {"recipe": json.dumps({"generator": section, "scale": scale}), "stage": '"fidelity"'}
    save_file(state or {"weight": torch.zeros(2, 2)}, path, record)
    return path


@torch.no_grad()
def same(one: nn.Module, other: nn.Module, height: int = 9, width: int = 7) -> bool:
    images = torch.rand(1, 3, height, width)
    return torch.equal(one(images), other(images))


@pytest.mark.parametrize(
    "record",
    [
        *("[]", "{}", "not JSON", '{"generator": 3, "scale": 4}', '{"generator": {}, "scale": 4}', "[" * 100_000),
        json.dumps({"generator": SWINIR, "scale": 2}).replace("2}", "1e999}"),
        *(
            json.dumps({"generator": section, "scale": 2})
            for section in (
                {"type": "srvgg", "features": 10**9},
                {"type": "srvgg", "features": 20_000, "convs": 400},
                SWINIR | {"groups": 4096, "blocks": 4096},
                {"type": "srvgg", "features": 8},
                {"type": "nothing"},
                {"type": "spandrel", "architecture": "HAT"},
            )
        ),
    ],
)
def test_a_record_that_does_not_fit_leaves_the_shapes_to_tell(tmp_path: Path, record: str):
    """The recorded network is neither trusted nor built."""
    network = randomise(SRVGGConfig(type="srvgg", features=4, convs=1).build(2))
    save_file(network.state_dict(), tmp_path / "net.safetensors", {"recipe": record, "stage": '"fidelity"'})
    with memory_grows_by_at_most(300):
        assert same(load_generator(tmp_path / "net.safetensors").model, network)


# Classes of the user's own.

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
    """A user's module that can be imported but is not; its import leaves a mark."""
    name = "own_network_of_a_test"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield name
    sys.modules.pop(name, None)


@pytest.mark.parametrize("stage", ["fidelity", "autoencoder", "perceptual"])
def test_a_file_never_causes_an_import(tmp_path: Path, own: str, stage: str):
    said = recipe(SWINIR).model_dump(mode="json") | {"generator": {"type": f"{own}:NetConfig"}}
    state = {"conv.weight": torch.zeros(48, 3, 3, 3), "conv.bias": torch.zeros(48)}
    if stage == "autoencoder":
        encoder = AutoEncoder(nn.Conv2d(3, 4, 1), 4, 4, 4, 1).encoder.state_dict()
        state = {f"decoder.{key}": value for key, value in state.items()}
        state |= {f"encoder.{key}": value for key, value in encoder.items()}
    write_state(tmp_path / "net.safetensors", state, {"recipe": said, "stage": stage})
    with pytest.raises(ModelError, match=rf"net\.safetensors: .*{own}:NetConfig.*--import {own}"):
        (AutoEncoder.load if stage == "autoencoder" else load_generator)(tmp_path / "net.safetensors")
    assert own not in sys.modules
    assert not (tmp_path / "imported").exists()


def test_a_file_cannot_name_what_is_no_generator(tmp_path: Path):
    section = "aesop.networks.section:GeneratorSection"
    for kind in ("os:system", "builtins:eval", "aesop.training.recipe:Recipe", section, "sys:", ":", "a:b:c"):
        with pytest.raises(ModelError, match=r"net\.safetensors"):
            load_generator(forged(tmp_path / "net.safetensors", {"type": kind}))


@pytest.mark.parametrize(
    "settings", [{}, {"drop": True}, {"base": 10000.0}], ids=["plain", "reads-values", "large-number"]
)
def test_a_network_of_the_users_own_loads_once_it_is_imported(tmp_path: Path, own: str, settings: dict[str, Any]):
    """Any network that could be trained: constructors may read values (drop rates), numbers may be large (a base)."""
    said = recipe({"type": f"{own}:NetConfig", **settings})
    assert own in sys.modules  # a recipe is the user's, and imports
    network = randomise(said.generator.build(4))
    loaded = load_generator(write(tmp_path / "net.safetensors", network, said))
    assert loaded.architecture == f"{own}:NetConfig"
    assert same(loaded.model, network)


def test_an_auto_encoder_whose_decoder_is_the_users_own_loads(tmp_path: Path, own: str):
    """The section of its decoder counts, not the generator's."""
    said = recipe(SWINIR, f"autoencoder.decoder={{type: '{own}:NetConfig', width: 6}}")
    assert said.autoencoder is not None
    assert said.autoencoder.decoder is not None
    network = randomise(AutoEncoder(said.autoencoder.decoder.build(4), 4, growth=4, blocks=1))
    assert same(AutoEncoder.load(write(tmp_path / "ae.safetensors", network, said, "autoencoder")), network, 16, 24)
    loaded = load_generator(write(tmp_path / "net.safetensors", said.generator.build(4), said))
    assert loaded.architecture == "SwinIR"


@pytest.mark.parametrize("scale", [4, 10**9, -4, 0, 2, 3, 1e999, "four"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        *({"width": width} for width in (8, 10**9, 20_000, 10**30, None, "wide")),
        *({"depth": depth} for depth in (-1, 0, 2)),
        {"colour": "red"},
    ],
    ids=str,
)
def test_a_record_of_the_users_own_that_does_not_fit_is_refused(
    tmp_path: Path, own: str, settings: dict[str, Any], scale: Any
):
    kind = f"{own}:NetConfig"
    state = recipe({"type": kind}).generator.build(4).state_dict()
    path = forged(tmp_path / "net.safetensors", {"type": kind, **settings}, scale, state)
    if not settings and scale == 4:
        assert load_generator(path).scale == 4
        for damaged in ({**state, "another.bias": torch.zeros(7)}, {**state, "last.bias": torch.zeros(7)}):
            with pytest.raises(ModelError, match="its parameters are not those"):
                load_generator(forged(path, {"type": kind}, state=damaged))
        return
    said = rf"net\.safetensors: its parameters are not those of the {own}"
    with memory_grows_by_at_most(300), pytest.raises(ModelError, match=said):
        load_generator(path)
