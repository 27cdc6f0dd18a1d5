"""Compiled networks and gradient checkpointing: the same training with less time or memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aesop.errors import RunError
from aesop.networks.rrdb import RRDBNet
from aesop.networks.srresnet import SRResNetConfig
from aesop.training.autoencoder import AutoEncoderStage
from aesop.training.fidelity import FidelityStage
from aesop.training.plan import _cost
from aesop.training.recipe import AutoEncoderConfig, FidelityConfig
from aesop.training.speed import checkpoint_blocks, compile_networks
from aesop.training.stage import Stage
from stage_cases import batches, config_of, networks_of, stage_of
from tiny_training import OUTPUTS, run_tiny, same_files


def built(name: str) -> Stage[Any]:
    config = config_of("aesop-rrdb-128")
    networks = networks_of(config)
    if name == "fidelity":
        return FidelityStage(networks.generator, FidelityConfig())
    if name == "autoencoder":
        return AutoEncoderStage(networks.autoencoder.requires_grad_(True), AutoEncoderConfig())
    return stage_of(config, networks)


def trained(stage: Stage[Any]) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
    losses = [stage.step(lr, hr) for lr, hr in batches()]
    parts = {name: part for name, part in stage.parts.items() if isinstance(part, nn.Module)}
    return losses, {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}


@pytest.mark.parametrize("name", ["fidelity", "autoencoder", "perceptual"])
def test_compiled_networks_train_alike(name: str, monkeypatch: pytest.MonkeyPatch):
    """The captured graph runs in eager mode, since compiling its kernels takes minutes; the benchmark compiles them."""
    captured: list[object] = []

    def capture(graph: torch.fx.GraphModule, _: object) -> object:
        captured.append(graph)
        return graph.forward

    original = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda network, mode: original(network, backend=capture))
    eager, compiled = built(name), built(name)
    compile_networks(compiled, "default")
    (expected, weights), (found, same) = trained(eager), trained(compiled)
    for theirs, ours in zip(expected, found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    assert captured
    assert weights.keys() == same.keys()
    torch.testing.assert_close(same, weights, rtol=1e-2, atol=1e-3)


def test_a_machine_without_a_compiler_is_told(monkeypatch: pytest.MonkeyPatch):
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no C++ compiler\nand much more")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(RunError, match=r"^compile: torch cannot compile .*\(no C\+\+ compiler\); leave it out\.$"):
        compile_networks(built("fidelity"), "default")


#: Generators whose blocks can be checkpointed: without and with batch norm, whose statistics must not count twice.
BLOCKS = {
    "rrdb": lambda: RRDBNet(2, features=8, blocks=3, growth=4),
    "srresnet": lambda: SRResNetConfig(type="srresnet", features=8, blocks=3, norm=True).build(2),
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_checkpointed_blocks_run_twice_and_train_to_the_same_bits(kind: str):
    trainings = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        stage = FidelityStage(BLOCKS[kind](), FidelityConfig())
        runs: list[int] = []
        first = next(stage.network.get_submodule("body.1").children())
        first.register_forward_hook(lambda *_, runs=runs: runs.append(1))
        if checkpointing:
            checkpoint_blocks(stage.network)
        trainings.append((trained(stage), len(runs)))
    (plain, once), (checkpointed, twice) = trainings
    assert (once, twice) == (len(batches()), 2 * len(batches()))
    torch.testing.assert_close(checkpointed, plain, rtol=0, atol=0)


def test_a_recipe_switches_checkpointing_on(photos: Path, tmp_path: Path):
    assert _cost(BLOCKS["rrdb"](), 16, checkpointing=True).kept < _cost(BLOCKS["rrdb"](), 16).kept / 2
    rrdb = ["generator={type: rrdb, features: 8, blocks: 4, growth: 4}", "steps=2"]
    run_tiny(photos, tmp_path / "plain", *rrdb)
    run_tiny(photos, tmp_path / "checkpointed", *rrdb, "checkpointing=true")
    for name in OUTPUTS:
        assert same_files(tmp_path / "plain", tmp_path / "checkpointed", name), name
