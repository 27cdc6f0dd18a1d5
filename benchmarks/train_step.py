"""Seconds of one iteration of each stage, and where the perceptual stage's go.

    python benchmarks/train_step.py [RECIPE] [key=value ...]

For the perceptual stage it also measures the alternative named in docs/method.md, the reference's five passes of the
discriminator and its one graph for all losses, in the same run, and prints the ratio. Random weights and random crops;
the medians of several repetitions, taken in turns so that a busy machine slows all alike.
"""

from __future__ import annotations

import copy
import resource
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from aesop.autoencoder import AutoEncoder
from aesop.losses.adversarial import RelativisticGANConfig
from aesop.losses.artifact import artifact_loss
from aesop.losses.perceptual import PerceptualLoss
from aesop.losses.term import LossContext
from aesop.networks.features import VGG19_LAYERS, TappedFeatures
from aesop.training.autoencoder import AutoEncoderStage
from aesop.training.fidelity import FidelityStage
from aesop.training.perceptual import PerceptualStage
from aesop.training.recipe import Recipe
from aesop.training.recipe_files import load_recipe

REPETITIONS = 5


def main() -> None:
    name, *overrides = sys.argv[1:] or ["laptop"]
    recipe = load_recipe(name, overrides)
    fabric = Fabric(accelerator="auto", devices=1, precision=recipe.precision)
    torch.manual_seed(0)
    print(f"{recipe.name}: {torch.get_num_threads()} threads, {fabric.device}, {recipe.precision}")
    generator = recipe.generator.build(recipe.scale)
    fidelity = FidelityStage(copy.deepcopy(generator), recipe.fidelity, fabric=fabric)
    autoencoder = None
    steps: dict[str, Callable[[], object]] = {"fidelity": with_batch(fabric, recipe, "fidelity", fidelity.step)}
    if recipe.autoencoder is not None:
        autoencoder = AutoEncoder(
            copy.deepcopy(generator),
            recipe.scale,
            growth=recipe.autoencoder.growth,
            blocks=recipe.autoencoder.blocks,
        )
        stage = AutoEncoderStage(copy.deepcopy(autoencoder), recipe.autoencoder, fabric=fabric)
        steps["autoencoder"] = with_batch(fabric, recipe, "autoencoder", stage.step)
    perceptual = perceptual_stage(fabric, recipe, generator, autoencoder)
    steps["perceptual"] = with_batch(fabric, recipe, "perceptual", perceptual.step)
    rival = perceptual_stage(fabric, recipe, generator, autoencoder)
    alternative = "perceptual, five passes and one graph"
    steps[alternative] = with_batch(fabric, recipe, "perceptual", lambda lr, hr: naive_step(rival, lr, hr))
    measured = timings(steps)
    for step, seconds in measured.items():
        print(f"{step:42} {seconds:8.3f} s/it")
    print(f"{'ratio to that alternative':42} {measured[alternative] / measured['perceptual']:8.2f} x as fast")
    if autoencoder is not None:
        print_parts("autoencoder", timings(autoencoder_components(fabric, recipe, autoencoder)))
    print_parts("perceptual", timings(components(fabric, recipe, perceptual)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory {peak / (1024**3 if sys.platform == 'darwin' else 1024**2):.2f} GiB")


def print_parts(stage: str, parts: dict[str, float]) -> None:
    print(f"of the {stage} iteration, each part measured alone:")
    for part, seconds in parts.items():
        print(f"  {part:40} {seconds:8.3f} s  {100 * seconds / sum(parts.values()):5.1f} %")


def timings(steps: dict[str, Callable[[], object]]) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for repetition in range(REPETITIONS + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if repetition:  # the first one allocates and chooses kernels
                taken[name].append(time.perf_counter() - start)
    return {name: median(seconds) for name, seconds in taken.items()}


def crops(fabric: Fabric, recipe: Recipe, name: str) -> tuple[Tensor, Tensor]:
    config = recipe.stage(name)
    small = config.crop // recipe.scale
    lr, hr = torch.rand(config.batch, 3, small, small), torch.rand(config.batch, 3, config.crop, config.crop)
    return fabric.to_device(lr), fabric.to_device(hr)


def with_batch(
    fabric: Fabric, recipe: Recipe, name: str, step: Callable[[Tensor, Tensor], object]
) -> Callable[[], object]:
    lr, hr = crops(fabric, recipe, name)
    return lambda: step(lr, hr)


class RandomVGG19(TappedFeatures):
    """VGG19's layers with random weights: as slow as the real ones, and always at hand."""

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


def naive_step(stage: PerceptualStage, lr: Tensor, hr: Tensor) -> None:
    """Do the same iteration as the reference code does it."""
    adversary, weights = stage.adversaries[""], {term.name: term.weight for term in stage.terms}
    fidelity = stage.terms[0]
    discriminator = adversary.network
    discriminator.requires_grad_(False)
    sr = stage.network(lr)
    with torch.no_grad():
        ema_sr = stage.result(lr)
    real = discriminator(hr).detach()
    total = (
        fidelity.weight * stage.losses[fidelity.name](sr, hr)
        + weights["perceptual"] * stage.losses["perceptual"](sr, hr)
        + weights.get("artifact", 0) * artifact_loss(sr, hr, ema_sr)
        + weights["adversarial"] * RelativisticGANConfig().generator(real, discriminator(sr))
    )
    total.backward()
    stage.optimizer.step()
    stage.optimizer.zero_grad()
    discriminator.requires_grad_(True)
    fake = discriminator(sr.detach()).detach()
    real = discriminator(hr)
    nn.functional.softplus(fake.mean() - real).mean().mul(0.5).backward()
    fake = discriminator(sr.detach())
    nn.functional.softplus(fake - real.mean().detach()).mean().mul(0.5).backward()
    adversary.optimizer.step()
    adversary.optimizer.zero_grad()
    stage.update_result()


def autoencoder_components(fabric: Fabric, recipe: Recipe, autoencoder: AutoEncoder) -> dict[str, Callable[[], object]]:
    lr, hr = crops(fabric, recipe, "autoencoder")
    network = copy.deepcopy(autoencoder)
    return {
        "encoder": lambda: network.encode(hr).sum().backward(),
        "decoder": lambda: network.decoder(lr).sum().backward(),
    }


def components(fabric: Fabric, recipe: Recipe, stage: PerceptualStage) -> dict[str, Callable[[], object]]:
    lr, hr = crops(fabric, recipe, "perceptual")
    sr = torch.rand_like(hr).requires_grad_()
    ema_sr, fidelity = torch.rand_like(hr), stage.terms[0].name

    def generator() -> None:
        stage.network(lr).sum().backward()

    def ema() -> None:
        with torch.no_grad():
            stage.result(lr)

    def discriminator() -> None:
        real, fake = stage.adversaries[""].network(hr), stage.adversaries[""].network(sr)
        gan = RelativisticGANConfig()
        gan.generator(real, fake).backward(inputs=[sr], retain_graph=True)
        gan.discriminator(real, fake).backward(inputs=list(stage.adversaries[""].network.parameters()))

    def optimizers() -> None:
        for optimizer in stage.optimizers:
            optimizer.step()
        stage.update_result()

    parts: dict[str, Callable[[], object]] = {
        "generator": generator,
        f"{fidelity} loss (AE twice, once back)": lambda: stage.losses[fidelity](sr, hr).backward(),
        "features (twice, once back)": lambda: stage.losses["perceptual"](sr, hr).backward(),
        "discriminator (twice, back to both)": discriminator,
        "artifact loss": lambda: artifact_loss(sr, hr, ema_sr).backward(),
        "EMA generator": ema,
        "optimizers and EMA update": optimizers,
    }
    return parts


if __name__ == "__main__":
    main()
