"""Adversaries: who sees what, whose loss holds which term, and GANs other than the relativistic one."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.losses.perceptual import PerceptualLoss
from aesop.losses.pixel import PixelLoss
from aesop.networks.discriminators import Logits, VGGDiscriminator
from aesop.networks.features import FrozenFeatures
from aesop.networks.spsr import SPSRNet
from aesop.networks.srvgg import SRVGGConfig
from aesop.run import StageFolder
from aesop.training.adversary import Adversary
from aesop.training.interruption import Interruption
from aesop.training.loop import train_stage
from aesop.training.perceptual import PerceptualStage
from aesop.training.recipe import PerceptualConfig
from aesop.training.recipe_files import load_recipe
from aesop.training.spsr import SPSRStage
from sections import perceptual_of

SCALE, CROP, RATE, DECAY = 2, 16, 0.01, 0.9
GANS = {"plain": 0.1, "least-squares": 0.1}


@pytest.fixture(autouse=True)
def _float64(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fabric hands outputs on in the default type; the loop makes float32 of pictures."""
    torch.set_default_dtype(torch.float32 if "in_the_loop" in request.node.name else torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def fabric() -> Fabric:
    return Fabric(
        accelerator="cpu", devices=1, precision="64-true" if torch.get_default_dtype() == torch.float64 else "32-true"
    )


class Features(FrozenFeatures):
    """A small stand-in for VGG19 that keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.seen: list[Tensor] = []
        self._freeze()

    def forward(self, images: Tensor) -> list[Tensor]:
        self.seen.append(images.detach().clone())
        return [self.conv(images)]


class Seeing(nn.Module):
    """A discriminator that keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 3, stride=2)
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images.detach().clone())
        return self.conv(images)


class SeeingPixelLoss(PixelLoss):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[Tensor] = []

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        self.targets.append(hr.clone())
        return super().forward(sr, hr)


def recipe(system: str, *overrides: str) -> PerceptualConfig:
    said = [f"scale={SCALE}", f"perceptual.crop={CROP}", f"perceptual.learning_rate={RATE}", f"perceptual.ema={DECAY}"]
    said += ["perceptual.betas=[0.9, 0.99]", "perceptual.perceptual_loss.features.type=efficientnet-lite0"]
    if system == "spsr-128":
        sizes = ["generator.features=4", "generator.blocks=4", "generator.growth=4"]
        said += [*sizes, *(f"perceptual.{size}" for size in sizes)]
    return perceptual_of(load_recipe(system, [*said, *overrides]))


def batches(count: int = 3) -> list[tuple[Tensor, Tensor]]:
    made = torch.Generator().manual_seed(2)
    return [
        (
            torch.rand(2, 3, CROP // SCALE, CROP // SCALE, generator=made),
            torch.rand(2, 3, CROP, CROP, generator=made),
        )
        for _ in range(count)
    ]


def slow_gradient_map(images: Tensor) -> Tensor:
    """SPSR's equation, channel by channel, as two convolutions with zeros around."""
    across = torch.tensor([[0.0, 0, 0], [-1, 0, 1], [0, 0, 0]])
    planes = images.flatten(0, 1).unsqueeze(1)
    found = [F.conv2d(planes, kernel.view(1, 1, 3, 3), padding=1) for kernel in (across, across.T)]
    return (found[0].square() + found[1].square() + 1e-6).sqrt().view_as(images)


def spsr_stage(
    *overrides: str, sharpen: Any = None, features: Features | None = None, fidelity: nn.Module | None = None
) -> tuple[SPSRStage, list[Seeing]]:
    torch.manual_seed(1)
    config = recipe("spsr-128", *overrides)
    discriminators = [Seeing(), Seeing()]
    generator = SPSRNet(SCALE, features=4, blocks=4, growth=4)
    with torch.no_grad():  # its start is too small to tell its two outputs from zero
        for parameter in generator.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    stage = SPSRStage(
        generator,
        discriminators[0],
        fidelity or PixelLoss(),
        PerceptualLoss(features or Features(), [1.0]),
        config,
        gradient_discriminator=discriminators[1],
        sharpen=sharpen,
        fabric=fabric(),
    )
    return stage, discriminators


def spsr_network(stage: SPSRStage) -> SPSRNet:
    """Return a copy of the generator as it stands."""
    assert isinstance(stage.network, SPSRNet)
    return copy.deepcopy(stage.network)


def test_the_second_adversary_sees_gradient_maps():
    stage, (first, second) = spsr_stage()
    generator = spsr_network(stage)
    assert list(stage.adversaries) == ["", "gradient_"]
    lr, hr = batches()[0]
    with torch.no_grad():
        sr = generator(lr)
    losses = stage.step(lr, hr)
    for seen, expected in ((first.seen, [hr, sr]), (second.seen, [slow_gradient_map(hr), slow_gradient_map(sr)])):
        assert len(seen) == 2  # one look at each, HR first, never in one batch
        for image, wanted in zip(seen, expected, strict=True):
            torch.testing.assert_close(image, wanted, rtol=1e-10, atol=1e-12)
    for name in ("adversarial", "discriminator", "logit_real", "logit_fake"):
        assert {name, f"gradient_{name}"} <= losses.keys()
        assert losses[name].item() != losses[f"gradient_{name}"].item()


def test_spsrs_objective_is_the_sum_of_its_terms():
    """One step of the generator against the objective of SPSR's paper written out, with a graph for all of it."""
    weights = {"pixel": 0.01, "perceptual": 1.0, "adversarial": 0.005, "gradient": 0.01, "branch": 0.5}
    weights["gradient_adversarial"] = 0.005
    features = Features()
    stage, discriminators = spsr_stage("perceptual.gradient_loss.fusion_iterations=0", features=features)
    g, ds = spsr_network(stage), copy.deepcopy(discriminators)
    phi = copy.deepcopy(features)
    lr, hr = batches()[0]
    found = stage.step(lr, hr)

    sr, branch = g.sr_and_gradient(lr)
    maps = {"hr": slow_gradient_map(hr), "sr": slow_gradient_map(sr)}
    terms = {
        "pixel": (sr - hr).abs().mean(),
        "perceptual": (phi(sr)[0] - phi(hr)[0]).abs().mean(),
        "gradient": (maps["sr"] - maps["hr"]).abs().mean(),
        "branch": (branch - maps["hr"]).abs().mean(),
    }
    for prefix, d, real, fake in (("", ds[0], hr, sr), ("gradient_", ds[1], maps["hr"], maps["sr"])):
        reals, fakes = d(real).detach(), d(fake)
        terms[f"{prefix}adversarial"] = (
            -torch.log(1 - torch.sigmoid(reals - fakes.mean())).mean()
            - torch.log(torch.sigmoid(fakes - reals.mean())).mean()
        ) / 2
    assert set(terms) == set(weights)
    for name, value in terms.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-9), name
    adam = torch.optim.Adam(g.parameters(), lr=RATE, betas=(0.9, 0.99))
    torch.stack([weights[name] * value for name, value in terms.items()]).sum().backward()
    adam.step()
    for (name, mine), other in zip(stage.network.named_parameters(), g.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-7, atol=1e-9, msg=name)


# Discriminators with a regulariser.


class Regularised(nn.Module):
    """Logits, and a regulariser that depends on the pictures as well, so that a leak to the generator would show."""

    def __init__(self, always: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 3, stride=2)
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.always = always
        self.routings: list[Tensor | None] = []

    def regulariser(self, images: Tensor) -> Tensor:
        return 3 * (self.scale * images).square().mean() + self.conv.weight.square().sum()

    def forward(self, images: Tensor, routing: Tensor | None = None) -> Logits:
        self.routings.append(routing)
        has = self.always or routing is None
        made = None if self.always else images.detach().mean((1, 2, 3))
        return Logits(self.scale * self.conv(images), self.regulariser(images) if has else None, made)


@pytest.mark.parametrize("always", [False, True], ids=["of HR alone", "of both"])
@pytest.mark.parametrize("gan", ["relativistic", *GANS])
def test_a_regulariser_joins_the_discriminators_loss_and_never_the_generators(gan: str, always: bool):
    torch.manual_seed(3)
    network = Regularised(always)
    reference = copy.deepcopy(network)
    config = recipe("esrgan-rrdb-128", f"perceptual.adversarial_loss={{type: {gan}, weight: 0.25}}")
    _, hr = batches()[0]
    sr = (1 - hr).requires_grad_()
    adversary = Adversary(fabric(), network, config.adversarial_loss, config)
    opposed = adversary.loss(sr, hr)
    (0.25 * opposed).backward(inputs=[sr], retain_graph=True)
    learned = adversary.learn()["discriminator"]

    fake_image = sr.detach().clone().requires_grad_()
    real, fake = (reference.scale * reference.conv(image) for image in (hr, fake_image))
    plain = slow_generator(gan, real.detach(), fake)
    (expected,) = torch.autograd.grad(0.25 * plain, fake_image, retain_graph=True)
    assert opposed.item() == pytest.approx(plain.item(), rel=1e-12)
    torch.testing.assert_close(sr.grad, expected, rtol=1e-10, atol=1e-14)

    terms = [slow_discriminator(gan, *(reference.scale * reference.conv(image) for image in (hr, sr.detach())))]
    terms += [reference.regulariser(image) for image in ((hr, sr.detach()) if always else (hr,))]
    total = torch.stack(terms).sum()
    assert learned.item() == pytest.approx(total.item(), rel=1e-12)
    assert learned.item() > 1.5 * terms[0].item()
    adam = torch.optim.Adam(reference.parameters(), lr=RATE, betas=(0.9, 0.99))
    total.backward()
    adam.step()
    for mine, other in zip(network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-7, atol=1e-9)
    # SR is judged by those who judged HR.
    assert network.routings[0] is None
    if always:
        assert network.routings[1] is None
    else:
        torch.testing.assert_close(network.routings[1], hr.mean((1, 2, 3)))


# GANs.


def slow_generator(gan: str, real: Tensor, fake: Tensor) -> Tensor:
    if gan == "plain":
        return -torch.log(torch.sigmoid(fake)).mean()
    if gan == "least-squares":
        return torch.stack([(logit - 1) ** 2 for logit in fake.flatten()]).mean()
    return (
        -torch.log(1 - torch.sigmoid(real - fake.mean())).mean() - torch.log(torch.sigmoid(fake - real.mean())).mean()
    ) / 2


def slow_discriminator(gan: str, real: Tensor, fake: Tensor) -> Tensor:
    if gan == "plain":
        return -torch.log(torch.sigmoid(real)).mean() - torch.log(1 - torch.sigmoid(fake)).mean()
    if gan == "least-squares":
        squares = [(logit - 1) ** 2 for logit in real.flatten()], [logit**2 for logit in fake.flatten()]
        return (torch.stack(squares[0]).mean() + torch.stack(squares[1]).mean()) / 2
    more_real, less_real = real - fake.mean().detach(), fake - real.mean().detach()
    return (-torch.log(torch.sigmoid(more_real)).mean() - torch.log(1 - torch.sigmoid(less_real)).mean()) / 2


@pytest.mark.parametrize("gan", GANS)
def test_first_steps_of_other_gans_are_those_of_the_equations(gan: str):
    """Eq. 3 with another L_adv, batch norm included: a graph an equation, as reference codes do it."""
    torch.manual_seed(1)
    config = recipe("esrgan-rrdb-128", f"perceptual.adversarial_loss.type={gan}")
    assert config.adversarial_loss.weight == GANS[gan]
    g = SRVGGConfig(type="srvgg", features=6, convs=1).build(SCALE)
    d, phi = VGGDiscriminator(CROP, features=4), Features()
    ours = copy.deepcopy((g, d, phi))
    stage = PerceptualStage(ours[0], ours[1], PixelLoss(), PerceptualLoss(ours[2], [1.0]), config, fabric=fabric())
    adam_g = torch.optim.Adam(g.parameters(), lr=RATE, betas=(0.9, 0.99))
    adam_d = torch.optim.Adam(d.parameters(), lr=RATE, betas=(0.9, 0.99))
    ema = copy.deepcopy(g)
    for lr, hr in batches():
        found = stage.step(lr, hr)
        sr = g(lr)
        adversarial = slow_generator(gan, d(hr).detach(), d(sr))
        pixel, features = (sr - hr).abs().mean(), (phi(sr)[0] - phi(hr)[0]).abs().mean()
        adam_g.zero_grad()
        (0.01 * pixel + features + GANS[gan] * adversarial).backward()
        adam_g.step()
        loss = slow_discriminator(gan, d(hr), d(sr.detach()))
        adam_d.zero_grad()
        loss.backward()
        adam_d.step()
        with torch.no_grad():
            for own, new in zip(ema.parameters(), g.parameters(), strict=True):
                own.copy_(DECAY * own + (1 - DECAY) * new)
        expected = {"pixel": pixel, "perceptual": features, "adversarial": adversarial, "discriminator": loss}
        for name, value in expected.items():
            assert found[name].item() == pytest.approx(value.item(), rel=1e-9), name
    for mine, theirs in ((stage.network, g), (stage.adversaries[""].network, d), (stage.ema.model, ema)):
        for (name, parameter), other in zip(mine.named_parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(parameter, other, rtol=1e-8, atol=1e-10, msg=name)


# Sharpened targets.


def test_sharpened_targets_reach_every_loss_but_the_discriminators():
    features, fidelity = Features(), SeeingPixelLoss()
    stage, (first, second) = spsr_stage(
        "perceptual.artifact_loss.weight=1",
        sharpen=lambda hr: 1 - hr / 2,
        features=features,
        fidelity=fidelity,
    )
    lr, hr = batches()[0]
    target = 1 - hr / 2
    with torch.no_grad():
        sr, branch = spsr_network(stage).sr_and_gradient(lr)
    losses = stage.step(lr, hr)
    assert [torch.equal(seen, target) for seen in fidelity.targets] == [True]
    assert torch.equal(features.seen[0], target)
    torch.testing.assert_close(features.seen[1], sr)
    assert torch.equal(first.seen[0], hr)
    torch.testing.assert_close(second.seen[0], slow_gradient_map(hr))
    edges = slow_gradient_map(target)
    assert losses["pixel"].item() == pytest.approx((sr - target).abs().mean().item(), rel=1e-9)
    assert losses["gradient"].item() == pytest.approx((slow_gradient_map(sr) - edges).abs().mean().item(), rel=1e-9)
    assert losses["branch"].item() == pytest.approx((branch - edges).abs().mean().item(), rel=1e-9)
    plain, _ = spsr_stage("perceptual.artifact_loss.weight=1")
    unsharpened = plain.step(lr, hr)
    for name in ("pixel", "perceptual", "artifact", "gradient", "branch"):
        assert losses[name].item() != pytest.approx(unsharpened[name].item(), rel=1e-3), name
    for name in ("adversarial", "discriminator", "gradient_adversarial", "gradient_discriminator"):
        assert losses[name].item() == pytest.approx(unsharpened[name].item(), rel=1e-12), name


# SPSR's fusion, which is trained first.


def train(folder: Path, iterations: int, waits: int = 2) -> SPSRStage:
    """Train SPSR through the loop, or train it on, and return its stage."""
    settings = {"iterations": iterations, "checkpoint_every": 1, "validate_every": 2, "log_every": 2}
    settings |= {"gradient_loss.fusion_iterations": waits}
    stage, _ = spsr_stage(*(f"perceptual.{key}={value}" for key, value in settings.items()))

    def stream(first: int, last: int) -> Iterator[tuple[Tensor, Tensor]]:
        for number in range(first, last):
            made = torch.Generator().manual_seed(number)
            sides = (CROP // SCALE, CROP)
            lr, hr = (torch.rand(2, 3, side, side, generator=made) for side in sides)
            yield lr, hr

    pairs = [(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 16, 16))]
    files = StageFolder(folder / "perceptual")
    train_stage(stage, iterations, stream, pairs, files, {}, Interruption())
    return stage


def test_fusion_alone_is_trained_first_in_the_loop(tmp_path: Path):
    start = copy.deepcopy(spsr_stage()[0].network.state_dict())
    waiting = train(tmp_path / "run", 2)
    for name, network in (("trained", waiting.network), ("EMA", waiting.ema.model)):
        for key, value in network.state_dict().items():
            assert torch.equal(value, start[key]) is not key.startswith("fusion."), (name, key)
    held = {key: value.clone() for key, value in waiting.network.state_dict().items()}
    # Resumed, so that the count of iterations goes on: all move now, the next iteration already.
    freed = train(tmp_path / "run", 3)
    for key, value in freed.network.state_dict().items():
        assert not torch.equal(value, held[key]), key
    straight = train(tmp_path / "straight", 3)
    for key, value in straight.network.state_dict().items():
        assert torch.equal(value, freed.network.state_dict()[key]), key


def test_without_waiting_all_are_trained_at_once_in_the_loop(tmp_path: Path):
    start = copy.deepcopy(spsr_stage()[0].network.state_dict())
    for key, value in train(tmp_path, 1, waits=0).network.state_dict().items():
        assert not torch.equal(value, start[key]), key


def test_discriminators_do_not_wait_in_the_loop(tmp_path: Path):
    start = [copy.deepcopy(network.state_dict()) for network in spsr_stage()[1]]
    stage = train(tmp_path, 1)
    for before, adversary in zip(start, stage.adversaries.values(), strict=True):
        for key, value in adversary.network.state_dict().items():
            assert not torch.equal(value, before[key]), key
