"""The loss in other trainers, with stand-ins for their registries."""

from __future__ import annotations

import re
import runpy
import sys
import types
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from aesop.errors import AesopError, ModelError
from aesop.losses.aesop import AESOPLoss
from aesop.plugins import loss_named
from plugin_parts import BASICSR, NEOSR, SHELL, TRAINNER, equation_8


def pair(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, 3, 16, 16, generator=generator), torch.rand(2, 3, 16, 16, generator=generator)


def test_options_of_the_pixel_loss_fit():
    sr, hr = pair()
    loss = loss_named("any")(loss_weight=0.5, reduction="mean")
    assert loss(sr, hr).item() == pytest.approx(0.5 * equation_8(sr, hr).item(), rel=1e-5)


def test_mistakes_are_one_sentence():
    for autoencoder, said in {"clean-x4": "an auto-encoder is expected", "x3": "in the box are for x4"}.items():
        with pytest.raises(ModelError, match=said) as raised:
            loss_named("any")(autoencoder)
        assert "\n" not in str(raised.value)
    with pytest.raises(TypeError, match=r"^AESOPLoss\(\) got an unexpected keyword argument 'scale'"):
        loss_named("AESOPLoss")(scale=4)


# Registries of BasicSR's kind.


class Registry:
    """What the registries of BasicSR, traiNNer-redux and neosr have in common; traiNNer-redux's ignores case."""

    def __init__(self, key: Callable[[str], str] = str) -> None:
        self.key, self.entries = key, dict[str, Any]()

    def register(self, entry: Any) -> None:
        name = self.key(entry.__name__)
        assert name not in self.entries, f"{name} was already registered"
        self.entries[name] = entry

    def get(self, name: str) -> Any:
        return self.entries[self.key(name)]

    def __contains__(self, name: str) -> bool:
        return self.key(name) in self.entries

    def build(self, options: dict[str, Any]) -> Any:
        options = dict(options)
        loss = self.get(options.pop("type"))(**options)
        return loss.to(torch.device("cpu"), memory_format=torch.channels_last, non_blocking=True)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Registry]:
    """Put a stand-in for a host into `sys.modules`."""

    def put(package: str, plugin: str, key: Callable[[str], str] = str) -> Registry:
        registry = Registry(key)
        for name in (package, f"{package}.utils", f"{package}.utils.registry"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        sys.modules[f"{package}.utils.registry"].LOSS_REGISTRY = registry  # pyright: ignore[reportAttributeAccessIssue]
        monkeypatch.delitem(sys.modules, f"aesop.plugins.{plugin}", raising=False)
        return registry

    return put


def toml(block: str) -> dict[str, Any]:
    return pytest.importorskip("tomllib").loads(block)  # Python 3.11


@pytest.mark.parametrize(
    ("package", "plugin", "key", "options"),
    [
        ("basicsr", "basicsr", str, lambda: yaml.safe_load(BASICSR)["train"]["pixel_opt"]),
        ("traiNNer", "trainner", str.lower, lambda: yaml.safe_load(TRAINNER)["train"]["losses"][0]),
        ("neosr", "neosr", str, lambda: toml(NEOSR)["train"]["pixel_opt"]),
    ],
)
def test_the_documents_options_build_the_loss(
    package: str, plugin: str, key: Callable[[str], str], options: Callable[[], dict[str, Any]],
    install: Callable[..., Registry],
):  # fmt: skip
    registry = install(package, plugin, key)
    if package == "traiNNer":
        registry.register(type("AESOPLoss", (nn.Module,), {}))
    for _ in range(2):  # as a drop-in file and a launcher together do
        sys.modules.pop(f"aesop.plugins.{plugin}", None)
        import_module(f"aesop.plugins.{plugin}")
    loss = registry.build(options())
    sr, hr = pair()
    assert type(loss) is AESOPLoss
    assert loss(sr, hr).item() == pytest.approx(equation_8(sr, hr).item(), rel=1e-5)
    assert not list(loss.parameters())


@pytest.mark.filterwarnings("ignore")  # nothing is copied to meta
def test_a_default_device_is_the_auto_encoders_too():
    """neosr sets it to CUDA."""
    with torch.device("meta"):
        assert {parameter.device.type for parameter in loss_named("any")().autoencoder.parameters()} == {"meta"}


def test_a_loss_of_the_hosts_own_is_not_passed_over_in_silence(install: Callable[..., Registry]):
    install("basicsr", "basicsr").register(type("AESOPLoss", (nn.Module,), {}))
    with pytest.raises(AesopError, match=r"^BasicSR has a loss of its own named AESOPLoss, and refuses a second one"):
        import_module("aesop.plugins.basicsr")


@pytest.mark.parametrize("plugin", ["basicsr", "trainner", "neosr", "mmengine"])
def test_without_its_host_a_plugin_says_what_to_do(plugin: str, monkeypatch: pytest.MonkeyPatch):
    for host in ("basicsr", "traiNNer", "neosr", "mmengine"):
        monkeypatch.setitem(sys.modules, host, None)  # as if it were not installed
        monkeypatch.delitem(sys.modules, f"{host}.utils.registry", raising=False)
        monkeypatch.delitem(sys.modules, f"{host}.registry", raising=False)
    monkeypatch.delitem(sys.modules, f"aesop.plugins.{plugin}", raising=False)
    with pytest.raises(AesopError, match=r"^\w[\w-]+ cannot be imported \(.*\); (run: pip install|call from).*\.$"):
        import_module(f"aesop.plugins.{plugin}")


def test_the_launcher_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setitem(sys.modules, "basicsr", None)
    monkeypatch.delitem(sys.modules, "aesop.plugins.basicsr", raising=False)
    with pytest.raises(SystemExit) as left:
        runpy.run_module("aesop.plugins.basicsr", run_name="__main__")
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert said.startswith("aesop: BasicSR cannot be imported (")
    assert said.count("\n") == 1
    command = re.findall(r"run: (.*?) \(", said)[0]
    assert command in SHELL
