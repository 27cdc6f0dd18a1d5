"""The perceptual stage against equations 3 and 9 written out slowly, in float64, batch norm included."""

from __future__ import annotations

import copy
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.autoencoder import AutoEncoder
from aesop.losses.aesop import AESOPLoss
from aesop.losses.perceptual import PerceptualLoss
from aesop.losses.pixel import PixelLoss
from aesop.networks.discriminators import VGGDiscriminator
from aesop.networks.features import FrozenFeatures
from aesop.networks.srvgg import SRVGGConfig
from aesop.training.perceptual import PerceptualStage
from aesop.training.recipe import Recipe
from aesop.training.recipe_files import load_recipe
from aesop.training.train import ddp
from sections import perceptual_of
from test_losses import slow_artifact_map

SCALE, CROP, STEPS = 2, 16, 3


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    """Fabric hands outputs on in the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Features(FrozenFeatures):
    """A small stand-in for VGG19, with weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, stride=2)
        self._freeze()

    def forward(self, images: Tensor) -> list[Tensor]:
        first = self.first(images)
        return [first, self.second(F.relu(first))]


WEIGHTS = [0.1, 1.0]


def recipe(loss: str, artifact: float = 1.0) -> Recipe:
    system = "aesop-rrdb-128" if loss == "aesop" else "ldl-rrdb-128"
    sizes = [f"perceptual.crop={CROP}", f"scale={SCALE}", "perceptual.ema=0.9", "perceptual.learning_rate=0.01"]
    features = "perceptual.perceptual_loss.features.type=efficientnet-lite0"  # takes such crops; a stand-in is used
    return load_recipe(system, [*sizes, features, f"perceptual.artifact_loss.weight={artifact}"])


def networks() -> dict[str, Any]:
    torch.manual_seed(1)
    generator = SRVGGConfig(type="srvgg", features=6, convs=1).build(SCALE).double()
    decoder = SRVGGConfig(type="srvgg", features=6, convs=1).build(SCALE).double()
    return {
        "generator": generator,
        "discriminator": VGGDiscriminator(CROP, features=4).double(),
        "autoencoder": AutoEncoder(decoder, SCALE, features=6, growth=4, blocks=1).double(),
        "features": Features().double(),
    }


def batches() -> list[tuple[Tensor, Tensor]]:
    made = torch.Generator().manual_seed(2)
    small, large = (2, 3, CROP // SCALE, CROP // SCALE), (2, 3, CROP, CROP)

    def draw(shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, dtype=torch.float64, generator=made)

    return [(draw(small), draw(large)) for _ in range(STEPS)]


def stage(loss: str, nets: dict[str, Any], artifact: float = 1.0, fabric: Fabric | None = None) -> PerceptualStage:
    fidelity = AESOPLoss(nets["autoencoder"]) if loss == "aesop" else PixelLoss()
    return PerceptualStage(
        nets["generator"],
        nets["discriminator"],
        fidelity,
        PerceptualLoss(nets["features"], WEIGHTS),
        perceptual_of(recipe(loss, artifact)),
        fabric=fabric or Fabric(accelerator="cpu", devices=1, precision="64-true"),
    )


def parts_of(stage: PerceptualStage) -> dict[str, nn.Module]:
    return {
        "generator": stage.network,
        "discriminator": stage.adversaries[""].network,
        "ema": stage.result,
    }


def bce(logits: Tensor, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def reference(loss: str, nets: dict[str, Any]) -> list[dict[str, float]]:
    """Train as the reference code does: a graph an equation, five passes of the discriminator."""
    g, d, ae, phi = (nets[name] for name in ("generator", "discriminator", "autoencoder", "features"))
    ema = copy.deepcopy(g)
    adam_g = torch.optim.Adam(g.parameters(), lr=0.01, betas=(0.9, 0.99))
    adam_d = torch.optim.Adam(d.parameters(), lr=0.01, betas=(0.9, 0.99))
    record = []
    for x, y in batches():
        for parameter in d.parameters():
            parameter.requires_grad = False
        adam_g.zero_grad()
        sr = g(x)
        with torch.no_grad():
            ema_sr = ema(x)
        terms = {}
        if loss == "aesop":
            terms["aesop"] = (
                1.0,
                (ae(sr.clamp(0, 1)) - ae(y)).abs().mean() + (sr - sr.detach().clamp(0, 1)).abs().mean(),
            )
        else:
            terms["pixel"] = (0.01, (sr - y).abs().mean())
        distances = [w * (a - b).abs().mean() for w, a, b in zip(WEIGHTS, phi(sr), phi(y), strict=True)]
        terms["perceptual"] = (1.0, distances[0] + distances[1])
        artifact = slow_artifact_map(sr, y, ema_sr)
        terms["artifact"] = (1.0, (artifact * sr - artifact * y).abs().mean())
        real, fake = d(y).detach(), d(sr)
        adversarial = (bce(real - fake.mean(), False) + bce(fake - real.mean(), True)) / 2
        terms["adversarial"] = (0.005, adversarial)
        total = torch.stack([weight * value for weight, value in terms.values()]).sum()
        total.backward()
        adam_g.step()

        for parameter in d.parameters():
            parameter.requires_grad = True
        adam_d.zero_grad()
        fake = d(sr.detach()).detach()
        real = d(y)
        real_loss = bce(real - fake.mean(), True) * 0.5
        real_loss.backward()
        fake = d(sr.detach())
        fake_loss = bce(fake - real.mean().detach(), False) * 0.5
        fake_loss.backward()
        adam_d.step()
        with torch.no_grad():
            for own, new in zip(ema.parameters(), g.parameters(), strict=True):
                own.mul_(0.9).add_(new, alpha=0.1)
        record.append(
            {name: value.item() for name, (_, value) in terms.items()}
            | {"discriminator": (real_loss + fake_loss).item()}
        )
    nets["ema"] = ema
    return record


@pytest.mark.parametrize("loss", ["aesop", "pixel"])
def test_first_steps_are_those_of_the_equations(loss: str):
    ours, theirs = networks(), networks()
    trained = stage(loss, ours)
    expected = reference(loss, theirs)
    for (lr, hr), values in zip(batches(), expected, strict=True):
        found = trained.step(lr, hr)
        for name, value in values.items():
            assert found[name].item() == pytest.approx(value, rel=1e-9), name
    pairs = [
        ("generator", trained.network),
        ("discriminator", trained.adversaries[""].network),
        ("ema", trained.ema.model),
    ]
    for name, network in pairs:
        for (key, parameter), (_, other) in zip(
            network.named_parameters(), theirs[name].named_parameters(), strict=True
        ):
            torch.testing.assert_close(parameter, other, rtol=1e-8, atol=1e-10, msg=f"{name}.{key}")


def test_both_fidelity_losses_start_from_one_objective_but_for_that_term():
    """Swapping `aesop` for `pixel` in the recipe is the paper's comparison: all else is measured alike."""
    lr, hr = batches()[0]
    aesop, pixel = stage("aesop", networks()).step(lr, hr), stage("pixel", networks()).step(lr, hr)
    assert aesop.keys() ^ pixel.keys() == {"aesop"}
    for name in aesop.keys() & pixel.keys():
        assert aesop[name].item() == pytest.approx(pixel[name].item(), rel=1e-12)


@pytest.mark.parametrize("artifact", [1.0, 0.0])
def test_passes_of_an_iteration(artifact: float):
    nets = networks()
    trained = stage("aesop", nets, artifact)
    passes: Counter[tuple[str, bool]] = Counter()

    def count(name: str, module: nn.Module) -> None:
        module.register_forward_hook(lambda *_: passes.update([(name, torch.is_grad_enabled())]))

    count("generator", trained.network)
    count("ema", trained.ema.model)
    count("discriminator", trained.adversaries[""].network)
    count("autoencoder", nets["autoencoder"])
    count("features", nets["features"])
    trained.step(*batches()[0])
    expected = {
        ("generator", True): 1,
        ("discriminator", True): 2,
        ("autoencoder", True): 1,
        ("autoencoder", False): 1,
        ("features", True): 1,
        ("features", False): 1,
    }
    if artifact:
        expected["ema", False] = 1
    assert dict(passes) == expected


def test_no_value_is_read_back_from_the_device(monkeypatch: pytest.MonkeyPatch):
    trained = stage("aesop", networks())
    lr, hr = batches()[0]
    trained.step(lr, hr)  # the optimizers make their state in the first step
    read: list[str] = []
    for name in ("item", "tolist", "__bool__", "__float__", "__int__", "cpu", "numpy", "nonzero"):
        original = getattr(Tensor, name)

        def spy(self: Tensor, *args: Any, _name: str = name, _original: Any = original, **kwargs: Any) -> Any:
            read.append(_name)
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(Tensor, name, spy)
    trained.step(lr, hr)
    monkeypatch.undo()
    assert read == []


def test_discriminator_gradient_does_not_reach_the_generator():
    """The generator's parameters hold no gradient after a step, and the frozen networks never held one."""
    nets = networks()
    trained = stage("aesop", nets)
    trained.step(*batches()[0])
    for name in ("generator", "discriminator", "autoencoder", "features"):
        assert all(parameter.grad is None for parameter in nets[name].parameters()), name


def test_resuming_from_state_continues_bit_for_bit():
    straight = stage("aesop", networks())
    for lr, hr in batches():
        straight.step(lr, hr)
    first = stage("aesop", networks())
    first.step(*batches()[0])
    state = {name: copy.deepcopy(part.state_dict()) for name, part in first.parts.items()}
    nets = networks()
    for module in (nets["generator"], nets["discriminator"]):
        for parameter in module.parameters():
            nn.init.zeros_(parameter)
    resumed = stage("aesop", nets)
    for name, part in resumed.parts.items():
        part.load_state_dict(state[name])
    for lr, hr in batches()[1:]:
        resumed.step(lr, hr)
    for mine, other in zip(straight.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(mine, other)
    for mine, other in zip(
        straight.adversaries[""].network.buffers(), resumed.adversaries[""].network.buffers(), strict=True
    ):
        assert torch.equal(mine, other)


def train_in_one_of_two(folder: Path, alike: bool) -> None:
    """Be one of two processes: train on the same batches as the other, or on mirrored ones; save what came out."""
    torch.set_default_dtype(torch.float64)
    fabric = Fabric(accelerator="cpu", devices=2, strategy=ddp(), precision="64-true")
    fabric.launch()
    trained = stage("aesop", networks(), fabric=fabric)
    for lr, hr in batches():
        if alike or fabric.global_rank == 0:
            trained.step(lr, hr)
        else:
            trained.step(lr.flip(-1), hr.flip(-1))
    pairs = parts_of(trained)
    parameters = {
        f"{name}.{key}": value.detach() for name, network in pairs.items() for key, value in network.named_parameters()
    }
    torch.save(parameters, folder / f"{fabric.global_rank}.pt")


@pytest.mark.long
@pytest.mark.parametrize("alike", [True, False])
def test_two_processes_average_their_gradients(tmp_path: Path, alike: bool):
    """On the same batches two processes do what one does; on others they still end with one set of weights."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here = Path(__file__).parent
    module = f"from pathlib import Path; from {Path(__file__).stem} import train_in_one_of_two as train"
    call = f"{module}; train(Path({str(tmp_path)!r}), {alike})"
    common = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
    }
    common |= {"TORCHELASTIC_RUN_ID": "test", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", call], cwd=here, env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    alone = stage("aesop", networks())
    for lr, hr in batches():
        alone.step(lr, hr)
    expected = {f"generator.{key}": value for key, value in alone.network.named_parameters()}
    expected |= {f"discriminator.{key}": value for key, value in alone.adversaries[""].network.named_parameters()}
    for key, value in first.items():
        torch.testing.assert_close(second[key], value, rtol=0, atol=0)
        if key in expected and alike:
            torch.testing.assert_close(value, expected[key].detach(), rtol=1e-9, atol=1e-12)
    same = [torch.equal(first[key], value) for key, value in expected.items()]
    assert alike or not all(same)


def test_bfloat16_autocast_trains():
    """The losses' gradients survive mixed precision: finite, near those of float32, and the weights stay float32."""
    torch.set_default_dtype(torch.float32)
    steps = {}
    for precision in ("32-true", "bf16-mixed"):
        nets = {name: module.float() for name, module in networks().items()}
        before = [p.detach().clone() for p in nets["generator"].parameters()]
        trained = stage("aesop", nets, fabric=Fabric(accelerator="cpu", devices=1, precision=precision))
        losses = trained.step(*(images.float() for images in batches()[0]))
        assert all(torch.isfinite(value) for value in losses.values())
        assert all(p.dtype == torch.float32 for p in trained.network.parameters())
        steps[precision] = losses, [p.detach() - b for p, b in zip(trained.network.parameters(), before, strict=True)]
    for name, value in steps["32-true"][0].items():
        # In the first step G and its EMA are one network: rounding alone decides where the artifact map is zero.
        if not name.startswith(("logit", "artifact")):
            assert steps["bf16-mixed"][0][name].item() == pytest.approx(value.item(), rel=0.05), name
    flat = [torch.cat([change.flatten() for change in steps[precision][1]]) for precision in steps]
    assert F.cosine_similarity(*flat, dim=0) > 0.8
