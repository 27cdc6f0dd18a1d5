"""Iterations of a recipe's stages on random crops, with random weights: ours, and as the reference computes them."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from aesop.autoencoder import AutoEncoder
from aesop.losses.adversarial import RelativisticGANConfig
from aesop.losses.artifact import artifact_loss
from aesop.losses.perceptual import PerceptualLoss
from aesop.losses.term import LossContext
from aesop.networks.features import VGG19_LAYERS, TappedFeatures
from aesop.training.perceptual import PerceptualStage
from aesop.training.recipe import Recipe

Step = Callable[[], object]


def network_of(recipe: Recipe, stage: str) -> nn.Module:
    return recipe.network(stage).build(recipe.scale)


def networks(recipe: Recipe) -> tuple[nn.Module, AutoEncoder | None]:
    """Build the generator and the auto-encoder."""
    section, generator = recipe.autoencoder, network_of(recipe, "fidelity")
    if section is None:
        return generator, None
    decoder = network_of(recipe, "autoencoder")
    return generator, AutoEncoder(decoder, recipe.scale, growth=section.growth, blocks=section.blocks)


def crops(fabric: Fabric, recipe: Recipe, name: str) -> tuple[Tensor, Tensor]:
    config = recipe.stage(name)
    small = config.crop // recipe.scale
    lr, hr = torch.rand(config.batch, 3, small, small), torch.rand(config.batch, 3, config.crop, config.crop)
    return fabric.to_device(lr), fabric.to_device(hr)


def with_batch(fabric: Fabric, recipe: Recipe, name: str, step: Callable[[Tensor, Tensor], object]) -> Step:
    lr, hr = crops(fabric, recipe, name)
    return lambda: step(lr, hr)


class RandomVGG19(TappedFeatures):
    """VGG19's layers with random weights: the same cost as the real ones, and nothing to download."""

    def __init__(self, layers: list[str]) -> None:
        from torchvision.models.vgg import cfgs, make_layers

        super().__init__(make_layers(cfgs["E"]), [VGG19_LAYERS[layer] for layer in layers])


def perceptual_stage(
    fabric: Fabric, recipe: Recipe, generator: nn.Module, autoencoder: AutoEncoder | None
) -> PerceptualStage:
    config = recipe.perceptual
    if config is None:
        raise SystemExit(f"{recipe.name} has no perceptual stage")
    context, features = LossContext(recipe.scale, copy.deepcopy(autoencoder)), config.perceptual_loss.features
    if features.type == "vgg19":
        loss = PerceptualLoss(RandomVGG19(list(features.layers)), list(features.layers.values()))
    else:
        loss = PerceptualLoss(*features.build())
    others = {name: section.build(context) for name, section in config.losses().items() if name != "perceptual"}
    discriminator = config.discriminator.build(config.crop)
    return PerceptualStage(
        copy.deepcopy(generator), discriminator, {**others, "perceptual": loss}, config, fabric=fabric
    )


def naive_iteration(
    fabric: Fabric, recipe: Recipe, generator: nn.Module, autoencoder: AutoEncoder | None
) -> Step | None:
    """Return the iteration as the reference code computes it; None if the adversarial loss is not relativistic."""
    config = recipe.perceptual
    if config is None or not isinstance(config.adversarial_loss, RelativisticGANConfig):
        return None
    stage = perceptual_stage(fabric, recipe, generator, autoencoder)
    discriminator = stage.adversaries[""].network
    for part in (stage.network, stage.result, discriminator, *stage.losses.values()):
        if isinstance(part, nn.Module):
            part.to(memory_format=torch.contiguous_format)
    optimizers = [
        torch.optim.Adam(network.parameters(), lr=config.learning_rate, betas=config.betas)
        for network in (stage.network, discriminator)
    ]
    return with_batch(fabric, recipe, "perceptual", lambda lr, hr: naive_step(stage, optimizers, lr, hr))


def naive_step(stage: PerceptualStage, optimizers: list[torch.optim.Adam], lr: Tensor, hr: Tensor) -> None:
    discriminator, weights = stage.adversaries[""].network, {term.name: term.weight for term in stage.terms}
    fidelity, gan = stage.terms[0], RelativisticGANConfig()
    discriminator.requires_grad_(False)
    sr = stage.network(lr)
    with torch.no_grad():
        ema_sr = stage.result(lr)
    real = discriminator(hr).detach()
    total = (
        fidelity.weight * stage.losses[fidelity.name](sr, hr)
        + weights["perceptual"] * stage.losses["perceptual"](sr, hr)
        + weights.get("artifact", 0) * artifact_loss(sr, hr, ema_sr)
        + weights["adversarial"] * gan.generator(real, discriminator(sr))
    )
    total.backward()
    optimizers[0].step()
    optimizers[0].zero_grad()
    discriminator.requires_grad_(True)
    fake = discriminator(sr.detach()).detach()
    real = discriminator(hr)
    nn.functional.softplus(fake.mean() - real).mean().mul(0.5).backward()
    fake = discriminator(sr.detach())
    nn.functional.softplus(fake - real.mean().detach()).mean().mul(0.5).backward()
    optimizers[1].step()
    optimizers[1].zero_grad()
    with torch.no_grad():
        for own, new in zip(stage.result.parameters(), stage.network.parameters(), strict=True):
            own.mul_(stage.config.ema).add_(new, alpha=1 - stage.config.ema)
