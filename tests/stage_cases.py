"""Perceptual stages of a few thousand parameters, with networks that record their inputs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.autoencoder import AutoEncoder
from aesop.losses.aesop import AESOPLoss
from aesop.losses.perceptual import PerceptualLoss
from aesop.losses.pixel import PixelLoss
from aesop.losses.term import LossContext
from aesop.networks.discriminators.vgg import VGGDiscriminator
from aesop.networks.features import FrozenFeatures
from aesop.networks.generators import SRVGGConfig
from aesop.networks.spsr import SPSRNet
from aesop.training.fabric import ddp
from aesop.training.perceptual import PerceptualStage
from aesop.training.recipe import PerceptualConfig
from aesop.training.recipe_files import load_recipe
from aesop.training.spsr import SPSRStage
from sections import perceptual_of

SCALE, CROP, RATE, DECAY, STEPS = 2, 16, 0.01, 0.9, 3
#: Weights of the layers of `Features`.
LAYERS = [0.1, 1.0]


class Features(FrozenFeatures):
    """A small stand-in for VGG19 that records its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, stride=2)
        self.seen: list[Tensor] = []
        self._freeze()

    def forward(self, images: Tensor) -> list[Tensor]:
        self.seen.append(images.detach().clone())
        first = self.first(images)
        return [first, self.second(F.relu(first))]


class Seeing(nn.Module):
    """A discriminator that records its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 3, stride=2)
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images.detach().clone())
        return self.conv(images)


class SeeingPixelLoss(PixelLoss):
    """A pixel loss that records its targets."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[Tensor] = []

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        self.targets.append(hr.clone())
        return super().forward(sr, hr)


def config_of(system: str, *overrides: str) -> PerceptualConfig:
    said = [f"scale={SCALE}", f"perceptual.crop={CROP}", f"perceptual.learning_rate={RATE}", f"perceptual.ema={DECAY}"]
    said += ["perceptual.betas=[0.9, 0.99]"]
    said += ["perceptual.perceptual_loss.features.type=efficientnet-lite0"]  # allows such crops; replaced by `Features`
    if system == "spsr-128":
        sizes = ["generator.features=4", "generator.blocks=4", "generator.growth=4"]
        said += [*sizes, *(f"perceptual.{size}" for size in sizes)]
    return perceptual_of(load_recipe(system, [*said, *overrides]))


def networks_of(config: PerceptualConfig) -> SimpleNamespace:
    """Build all networks in torch's default type, with the same weights at every call."""
    torch.manual_seed(1)

    def small() -> nn.Module:
        return SRVGGConfig(type="srvgg", features=6, convs=1).build(SCALE)

    generator = small()
    discriminators: list[nn.Module] = [VGGDiscriminator(CROP, features=4)]
    if config.gradient_loss is not None:
        generator = SPSRNet(SCALE, features=4, blocks=4, growth=4)
        with torch.no_grad():  # its initial weights are so small that its two outputs are hardly more than zero
            for parameter in generator.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
        discriminators = [Seeing(), Seeing()]
    autoencoder = AutoEncoder(small(), SCALE, features=6, growth=4, blocks=1)
    fidelity = AESOPLoss(autoencoder) if config.fidelity_loss.type == "aesop" else SeeingPixelLoss()
    networks = SimpleNamespace(generator=generator, discriminators=discriminators, fidelity=fidelity)
    networks.features, networks.autoencoder = Features(), autoencoder
    for network in (generator, *discriminators, fidelity, networks.features):
        network.to(torch.get_default_dtype())
    return networks


def stage_of(
    config: PerceptualConfig, networks: SimpleNamespace, *, sharpen: Any = None, fabric: Fabric | None = None
) -> PerceptualStage:
    precision = "64-true" if torch.get_default_dtype() == torch.float64 else "32-true"
    common: dict[str, Any] = {"sharpen": sharpen}
    common["fabric"] = fabric or Fabric(accelerator="cpu", devices=1, precision=precision)
    built = networks.generator, networks.discriminators[0], losses_of(config, networks), config
    if config.gradient_loss is None:
        return PerceptualStage(*built, **common)
    return SPSRStage(*built, gradient_discriminator=networks.discriminators[1], **common)


def losses_of(config: PerceptualConfig, networks: SimpleNamespace) -> dict[str, Any]:
    silent = config.model_copy(update={"perceptual_loss": config.perceptual_loss.model_copy(update={"weight": 0})})
    losses = silent.build_losses(LossContext(SCALE, networks.autoencoder))
    losses[config.fidelity_loss.type] = networks.fidelity
    return losses | {"perceptual": PerceptualLoss(networks.features, LAYERS)}


def batches(count: int = STEPS) -> list[tuple[Tensor, Tensor]]:
    made = torch.Generator().manual_seed(2)
    sides = CROP // SCALE, CROP
    return [
        (torch.rand(2, 3, sides[0], sides[0], generator=made), torch.rand(2, 3, sides[1], sides[1], generator=made))
        for _ in range(count)
    ]


def parts_of(stage: PerceptualStage) -> dict[str, nn.Module]:
    discriminators = {f"{prefix}discriminator": found.network for prefix, found in stage.adversaries.items()}
    return {"generator": stage.network, "ema": stage.result, **discriminators}


def parameters_of(stage: PerceptualStage) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value.detach()
        for name, network in parts_of(stage).items()
        for key, value in network.named_parameters()
    }


def train_in_one_of_two(folder: Path, alike: bool) -> None:
    """Run one of two processes, whose batches are equal or, if not `alike`, mirrored; save the resulting weights."""
    torch.set_default_dtype(torch.float64)
    fabric = Fabric(accelerator="cpu", devices=2, strategy=ddp(), precision="64-true")
    fabric.launch()
    config = config_of("aesop-rrdb-128")
    stage = stage_of(config, networks_of(config), fabric=fabric)
    for lr, hr in batches():
        mirrored = not alike and fabric.global_rank == 1
        stage.step(*((lr.flip(-1), hr.flip(-1)) if mirrored else (lr, hr)))
    torch.save(parameters_of(stage), folder / f"{fabric.global_rank}.pt")


if __name__ == "__main__":
    train_in_one_of_two(Path(sys.argv[1]), sys.argv[2] == "alike")
