"""The perceptual stage against equations 3 and 9, and SPSR's, written out slowly, in float64, batch norm included."""

from __future__ import annotations

import copy
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional as F

from aesop.autoencoder import AutoEncoder
from aesop.losses.term import LossContext
from aesop.networks.rrdb import RRDBNet
from aesop.run import StageFolder
from aesop.training.autoencoder import AutoEncoderStage
from aesop.training.loop import train_stage
from aesop.training.perceptual import PerceptualStage
from aesop.training.recipe import PerceptualConfig
from equations import slow_artifact_map, slow_discriminator_loss, slow_generator_loss, slow_gradient_map
from stage_cases import (
    CROP,
    DECAY,
    LAYERS,
    RATE,
    SCALE,
    SeeingPixelLoss,
    batches,
    config_of,
    losses_of,
    networks_of,
    parameters_of,
    parts_of,
    stage_of,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    """Fabric converts outputs to the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def built(system: str, *overrides: str, **others: Any) -> tuple[PerceptualStage, SimpleNamespace]:
    config = config_of(system, *overrides)
    networks = networks_of(config)
    return stage_of(config, networks, **others), networks


def reference(config: PerceptualConfig, nets: SimpleNamespace) -> Iterator[dict[str, Tensor]]:
    """Train as reference codes do: one graph for all terms, and new passes of D for its own loss; yield the losses."""
    g, phi, ae = nets.generator, nets.features, nets.autoencoder
    gan, gradient = config.adversarial_loss.type, config.gradient_loss
    nets.ema = copy.deepcopy(g)
    adam_g, *adam_ds = (
        torch.optim.Adam(network.parameters(), lr=RATE, betas=(0.9, 0.99)) for network in (g, *nets.discriminators)
    )
    for x, y in batches():
        sr, branch = g.sr_and_gradient(x) if gradient else (g(x), None)
        with torch.no_grad():
            ema_sr = nets.ema(x)
        seen = [("", y, sr)]
        terms: dict[str, tuple[float, Tensor]] = {}
        if config.fidelity_loss.type == "aesop":
            outside = (sr - sr.detach().clamp(0, 1)).abs().mean()
            terms["aesop"] = 1.0, (ae(sr.clamp(0, 1)) - ae(y)).abs().mean() + outside
        else:
            terms["pixel"] = 0.01, (sr - y).abs().mean()
        distances = [w * (a - b).abs().mean() for w, a, b in zip(LAYERS, phi(sr), phi(y), strict=True)]
        terms["perceptual"] = 1.0, distances[0] + distances[1]
        if config.artifact_loss.weight:
            artifact = slow_artifact_map(sr, y, ema_sr)
            terms["artifact"] = 1.0, (artifact * sr - artifact * y).abs().mean()
        if branch is not None:
            edges = slow_gradient_map(sr), slow_gradient_map(y)
            terms["gradient"] = 0.01, (edges[0] - edges[1]).abs().mean()
            terms["branch"] = 0.5, (branch - edges[1]).abs().mean()
            seen.append(("gradient_", edges[1], edges[0]))
        for (prefix, real, fake), d in zip(seen, nets.discriminators, strict=True):
            weight = 0.005 if gan == "relativistic" else 0.1
            terms[f"{prefix}adversarial"] = weight, slow_generator_loss(gan, d(real), d(fake))
        adam_g.zero_grad()
        torch.stack([weight * value for weight, value in terms.values()]).sum().backward()
        adam_g.step()
        losses = {name: value for name, (_, value) in terms.items()}
        for (prefix, real, fake), d, adam_d in zip(seen, nets.discriminators, adam_ds, strict=True):
            losses[f"{prefix}discriminator"] = slow_discriminator_loss(gan, d(real), d(fake.detach()))
            adam_d.zero_grad()
            losses[f"{prefix}discriminator"].backward()
            adam_d.step()
        with torch.no_grad():
            for own, new in zip(nets.ema.parameters(), g.parameters(), strict=True):
                own.copy_(DECAY * own + (1 - DECAY) * new)
        yield losses


@pytest.mark.parametrize(
    ("system", "overrides"),
    [
        ("aesop-rrdb-128", []),
        ("ldl-rrdb-128", []),
        ("esrgan-rrdb-128", ["perceptual.adversarial_loss.type=plain"]),
        ("esrgan-rrdb-128", ["perceptual.adversarial_loss.type=least-squares"]),
        ("spsr-128", ["perceptual.gradient_loss.fusion_iterations=0"]),
    ],
)
def test_first_steps_are_those_of_the_equations(system: str, overrides: list[str]):
    stage, networks = built(system, *overrides)
    theirs = copy.deepcopy(networks)
    for (lr, hr), expected in zip(batches(), reference(config_of(system, *overrides), theirs), strict=True):
        found = stage.step(lr, hr)
        for name, value in expected.items():
            assert found[name].item() == pytest.approx(value.item(), rel=1e-9), name
    assert all(parameter.grad is None for network in parts_of(stage).values() for parameter in network.parameters())
    others = {"generator": theirs.generator, "ema": theirs.ema, "discriminator": theirs.discriminators[0]}
    others["gradient_discriminator"] = theirs.discriminators[-1]
    for name, network in parts_of(stage).items():
        for (key, value), other in zip(network.named_parameters(), others[name].parameters(), strict=True):
            torch.testing.assert_close(value, other, rtol=1e-7, atol=1e-9, msg=f"{name}.{key}")


#: How often each network runs in an iteration, with and without a graph.
PASSES = {"generator": (1, 0), "ema": (0, 1), "discriminator": (2, 0), "autoencoder": (1, 1), "features": (1, 1)}


@pytest.mark.parametrize(
    ("silent", "network"),
    [("", ""), ("artifact_loss", "ema"), ("perceptual_loss", "features"), ("fidelity_loss", "autoencoder"),
     ("adversarial_loss", "discriminator")],
)  # fmt: skip
def test_passes_of_an_iteration(silent: str, network: str):
    """Networks of losses with weight 0 are not run."""
    stage, networks = built("aesop-rrdb-128", *([f"perceptual.{silent}.weight=0"] if silent else []))
    passes: Counter[tuple[str, bool]] = Counter()
    watched = {**networks.__dict__, "ema": stage.result, "discriminator": networks.discriminators[0]}
    for name in PASSES:
        watched[name].register_forward_hook(lambda *_, name=name: passes.update([(name, torch.is_grad_enabled())]))
    losses = stage.step(*batches()[0])
    expected = {
        (name, graph): count
        for name, counts in PASSES.items()
        for graph, count in zip((True, False), counts, strict=True)
        if count and name != network
    }
    assert dict(passes) == expected
    name = {"fidelity_loss": "aesop"}.get(silent, silent.removesuffix("_loss"))
    assert name not in losses
    assert "pixel" in losses


def test_what_has_a_weight_must_be_given():
    config = config_of("aesop-rrdb-128")
    nets = networks_of(config)
    losses = losses_of(config, nets)
    some = {name: loss for name, loss in losses.items() if name != "perceptual"}
    with pytest.raises(ValueError, match="must be given: perceptual"):
        PerceptualStage(nets.generator, nets.discriminators[0], some, config)
    with pytest.raises(ValueError, match="discriminator must be given"):
        PerceptualStage(nets.generator, None, losses, config)
    silent = config_of("ldl-rrdb-128", *(f"perceptual.{kind}_loss.weight=0" for kind in ("perceptual", "adversarial")))
    stage = PerceptualStage(nets.generator, None, silent.build_losses(LossContext(SCALE)), silent)
    assert stage.step(*batches()[0]).keys() == {"pixel", "artifact"}


def test_no_value_is_read_back_from_the_device(monkeypatch: pytest.MonkeyPatch):
    stage, _ = built("aesop-rrdb-128")
    lr, hr = batches()[0]
    stage.step(lr, hr)  # the optimizers make their state in the first step
    read: list[str] = []
    for name in ("item", "tolist", "__bool__", "__float__", "__int__", "cpu", "numpy", "nonzero"):
        original = getattr(Tensor, name)

        def spy(self: Tensor, *args: Any, _name: str = name, _original: Any = original, **kwargs: Any) -> Any:
            read.append(_name)
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(Tensor, name, spy)
    stage.step(lr, hr)
    monkeypatch.undo()
    assert read == []


@pytest.mark.long
@pytest.mark.parametrize("batch", ["alike", "mirrored"])
def test_two_processes_average_their_gradients(tmp_path: Path, batch: str):
    """With the same batches, two processes train like one; with different ones, they still have equal weights."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    common |= {"TORCHELASTIC_RUN_ID": "test", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "OMP_NUM_THREADS": "1"}
    call = [sys.executable, str(Path(__file__).with_name("stage_cases.py")), str(tmp_path), batch]
    processes = [
        subprocess.Popen(call, env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    alone, _ = built("aesop-rrdb-128")
    for lr, hr in batches():
        alone.step(lr, hr)
    expected = parameters_of(alone)
    for key, value in first.items():
        torch.testing.assert_close(second[key], value, rtol=0, atol=0)
        if batch == "alike":
            torch.testing.assert_close(value, expected[key], rtol=1e-9, atol=1e-12)
    assert batch == "alike" or not all(torch.equal(first[key], value) for key, value in expected.items())


def test_bfloat16_autocast_trains():
    """The losses' gradients survive mixed precision: finite, near those of float32, and the weights stay float32."""
    torch.set_default_dtype(torch.float32)
    steps = {}
    for precision in ("32-true", "bf16-mixed"):
        fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
        stage, nets = built("aesop-rrdb-128", fabric=fabric)
        before = [parameter.detach().clone() for parameter in nets.generator.parameters()]
        losses = stage.step(*batches()[0])
        assert all(torch.isfinite(value) for value in losses.values())
        assert all(parameter.dtype == torch.float32 for parameter in stage.network.parameters())
        moved = [p.detach() - b for p, b in zip(stage.network.parameters(), before, strict=True)]
        steps[precision] = losses, torch.cat([change.flatten() for change in moved])
    for name, value in steps["32-true"][0].items():
        # In the first step G and its EMA are one network: rounding alone decides where the artifact map is zero.
        if not name.startswith(("logit", "artifact")):
            assert steps["bf16-mixed"][0][name].item() == pytest.approx(value.item(), rel=0.05), name
    assert F.cosine_similarity(*(moved for _, moved in steps.values()), dim=0) > 0.8


@pytest.mark.parametrize("system", ["aesop-rrdb-128", "spsr-128", "autoencoder"])
def test_bfloat16_reaches_the_network_that_is_trained(system: str):
    """Also if it is called by another method than `forward`."""
    torch.set_default_dtype(torch.float32)
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    if system == "autoencoder":
        stage = AutoEncoderStage(AutoEncoder(RRDBNet(SCALE, 8, 1, 4), SCALE), fabric=fabric)
    else:
        stage, _ = built(system, fabric=fabric)
    found = set()
    for layer in stage.network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _, __, output: found.add(output.dtype))
    losses = stage.step(*batches()[0])
    assert found == {torch.bfloat16}
    assert {value.dtype for value in losses.values()} == {torch.float32}


# SPSR.


def test_sharpened_targets_reach_every_loss_but_the_discriminators():
    stage, nets = built("spsr-128", "perceptual.artifact_loss.weight=1", sharpen=lambda hr: 1 - hr / 2)
    lr, hr = batches()[0]
    target = 1 - hr / 2
    with torch.no_grad():
        sr, branch = nets.generator.sr_and_gradient(lr)
    losses = stage.step(lr, hr)
    assert isinstance(nets.fidelity, SeeingPixelLoss)
    assert torch.equal(nets.fidelity.targets[0], target)
    assert torch.equal(nets.features.seen[0], target)
    torch.testing.assert_close(nets.features.seen[1], sr)
    first, second = nets.discriminators
    assert torch.equal(first.seen[0], hr)
    torch.testing.assert_close(second.seen[0], slow_gradient_map(hr))
    edges = slow_gradient_map(target)
    expected = {"pixel": sr - target, "gradient": slow_gradient_map(sr) - edges, "branch": branch - edges}
    for name, difference in expected.items():
        assert losses[name].item() == pytest.approx(difference.abs().mean().item(), rel=1e-9), name
    unsharpened = built("spsr-128", "perceptual.artifact_loss.weight=1")[0].step(lr, hr)
    for name in ("pixel", "perceptual", "artifact", "gradient", "branch"):
        assert losses[name].item() != pytest.approx(unsharpened[name].item(), rel=1e-3), name
    for name in ("adversarial", "discriminator", "gradient_adversarial", "gradient_discriminator"):
        assert losses[name].item() == pytest.approx(unsharpened[name].item(), rel=1e-12), name


def train(folder: Path, iterations: int, waits: int = 2) -> PerceptualStage:
    """Train SPSR through the loop, or resume it, and return its stage."""
    settings = {"checkpoint_every": 1, "validate_every": 2, "log_every": 2, "gradient_loss.fusion_iterations": waits}
    stage, _ = built("spsr-128", *(f"perceptual.{key}={value}" for key, value in settings.items()))

    def stream(first: int, last: int) -> Iterator[tuple[Tensor, Tensor]]:
        for number in range(first, last):
            made = torch.Generator().manual_seed(number)
            lr, hr = (torch.rand(2, 3, side, side, generator=made) for side in (CROP // SCALE, CROP))
            yield lr, hr

    pairs = [(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 16, 16))]
    train_stage(stage, iterations, stream, pairs, StageFolder(folder / "perceptual"), {}, [], print)
    return stage


def moved(stage: PerceptualStage, name: str, since: dict[str, Tensor]) -> set[str]:
    return {key for key, value in parts_of(stage)[name].state_dict().items() if not torch.equal(value, since[key])}


def test_fusion_alone_is_trained_first(tmp_path: Path):
    start = {name: copy.deepcopy(part.state_dict()) for name, part in parts_of(built("spsr-128")[0]).items()}
    everything = set(start["generator"])
    fusion = {key for key in everything if key.startswith("fusion.")}
    waiting = train(tmp_path / "run", 2)
    assert moved(waiting, "generator", start["generator"]) == moved(waiting, "ema", start["ema"]) == fusion
    for name in ("discriminator", "gradient_discriminator"):
        assert moved(waiting, name, start[name]) == set(start[name])
    held = copy.deepcopy(waiting.network.state_dict())
    # Resuming continues the count of iterations, so from the next iteration on all networks change.
    freed = train(tmp_path / "run", 3)
    assert moved(freed, "generator", held) == everything
    straight = train(tmp_path / "straight", 3)
    assert moved(straight, "generator", freed.network.state_dict()) == set()
    assert moved(train(tmp_path / "at once", 1, waits=0), "generator", start["generator"]) == everything
