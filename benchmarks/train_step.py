"""Seconds of one iteration of each stage, the ratios of docs/training.md, and where an iteration's time goes.

    python benchmarks/train_step.py [RECIPE] [key=value ...]

The default is `aesop-rrdb-128` with batches of 2, and of 1 for the auto-encoder. Weights and crops are random. The
cases take turns, so that a busy machine slows all of them alike, and ratios are computed within a turn. Prints the
median, minimum and maximum of seconds and ratios. With OMP_NUM_THREADS=1, seconds are CPU time, which other programs
hardly affect.

`naive` is the alternative described in docs/method.md: the reference code's five passes of the discriminator and one
graph for all losses, contiguous memory format, optimizers and moving average updated parameter by parameter, and the C
library's default memory handling.
"""

from __future__ import annotations

import argparse
import copy
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from statistics import median

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from aesop.autoencoder import AutoEncoder
from aesop.device import computes_bfloat16
from aesop.heap import kept_heap
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
from aesop.training.speed import checkpoint_stage, compile_networks

REPETITIONS = 3
DEFAULT = "aesop-rrdb-128", ["fidelity.batch=2", "autoencoder.batch=1", "perceptual.batch=2"]

Step = Callable[[], object]


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)  # pyright: ignore[reportAttributeAccessIssue]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", metavar="RECIPE", nargs="?")
    parser.add_argument("overrides", metavar="key=value", nargs="*")
    asked = parser.parse_args()
    recipe = load_recipe(asked.recipe, asked.overrides) if asked.recipe else load_recipe(*DEFAULT)
    torch.manual_seed(0)
    fabrics = {"": fabric_of("32-true")}
    device = fabrics[""].device
    print(f"{recipe.name}: {torch.get_num_threads()} threads, {device}, {torch.backends.cpu.get_cpu_capability()}")
    if computes_bfloat16(device):
        fabrics[", bf16-mixed"] = fabric_of("bf16-mixed")
    else:
        print("bf16-mixed: skipped, this device only emulates bf16, many times slower (no AVX-512 BF16, no AMX)")
    # Memory comes first: a child process inherits its parent's peak.
    for title, checkpointing in (("", False), (", checkpointing", True)):
        print(f"memory of a perceptual iteration{title}: {memory(recipe, checkpointing):.2f} GiB")
    measured = timings(cases(recipe, fabrics))
    for name, seconds in measured.items():
        rival = rival_of(name)
        ratios = [a / b for a, b in zip(measured[rival], seconds, strict=True)] if rival in measured else []
        told = f"{spread(ratios)} x as fast as {rival}" if ratios and rival != name else ""
        print(f"{name:42} {spread(seconds)} s/it  {told}".rstrip())
    generator, autoencoder = networks(recipe)
    if autoencoder is not None:
        print_parts("autoencoder", timings(autoencoder_components(fabrics[""], recipe, autoencoder), 2))
    stage = perceptual_stage(fabrics[""], recipe, generator, autoencoder)
    print_parts("perceptual", timings(components(fabrics[""], recipe, stage), 2))


def cases(recipe: Recipe, fabrics: dict[str, Fabric]) -> dict[str, Step]:
    """Return what is measured: an iteration of each case, by its name."""
    generator, autoencoder = networks(recipe)
    exact, steps = fabrics[""], {}
    if (naive := naive_iteration(exact, recipe, generator, autoencoder)) is not None:
        steps["perceptual, naive"] = naive
    for suffix, fabric in fabrics.items():
        stage = perceptual_stage(fabric, recipe, generator, autoencoder)
        steps[f"perceptual{suffix}"] = with_batch(fabric, recipe, "perceptual", stage.step)
        if autoencoder is not None:
            decoder = network_of(load_recipe("aesop-compact-ae"), "autoencoder")
            stage = perceptual_stage(fabric, recipe, generator, AutoEncoder(decoder, recipe.scale))
            steps[f"perceptual, compact auto-encoder{suffix}"] = with_batch(fabric, recipe, "perceptual", stage.step)
            stage = AutoEncoderStage(copy.deepcopy(autoencoder), recipe.autoencoder, fabric=fabric)
            steps[f"autoencoder{suffix}"] = with_batch(fabric, recipe, "autoencoder", stage.step)
        stage = FidelityStage(copy.deepcopy(generator), recipe.fidelity, fabric=fabric)
        steps[f"fidelity{suffix}"] = with_batch(fabric, recipe, "fidelity", stage.step)
        light = load_recipe("aesop-dat-light-x4", ["fidelity.batch=2"])  # what bf16 gains for an attention network
        stage = FidelityStage(network_of(light, "fidelity"), light.fidelity, fabric=fabric)
        steps[f"fidelity of DAT-light{suffix}"] = with_batch(fabric, light, "fidelity", stage.step)
    checkpointed = perceptual_stage(exact, recipe, generator, autoencoder)
    checkpoint_stage(checkpointed)
    steps["perceptual, checkpointing"] = with_batch(exact, recipe, "perceptual", checkpointed.step)
    small = load_recipe(recipe.name, ["fidelity.batch=2", "generator={type: rrdb, blocks: 2}"])
    for suffix in ("", ", compiled"):  # compiling the whole network would take most of the time
        stage = FidelityStage(network_of(small, "fidelity"), small.fidelity, fabric=exact)
        if suffix:
            compile_networks(stage, "default")
        steps[f"fidelity of 2 RRDBs{suffix}"] = with_batch(exact, small, "fidelity", stage.step)
    return steps


def rival_of(name: str) -> str:
    """Return the name of the case that a case is compared with: the naive one, or the same in float32."""
    if name.startswith("perceptual"):
        return "perceptual" if "checkpointing" in name else "perceptual, naive"
    return name.partition(",")[0]


def spread(values: list[float]) -> str:
    return f"{median(values):6.2f} ({min(values):.2f} to {max(values):.2f})"


def fabric_of(precision: str) -> Fabric:
    return Fabric(accelerator="auto", devices=1, precision=precision)  # pyright: ignore[reportArgumentType]


def network_of(recipe: Recipe, stage: str) -> nn.Module:
    return recipe.network(stage).build(recipe.scale)


def networks(recipe: Recipe) -> tuple[nn.Module, AutoEncoder | None]:
    """Build the generator and the auto-encoder."""
    section, generator = recipe.autoencoder, network_of(recipe, "fidelity")
    if section is None:
        return generator, None
    decoder = network_of(recipe, "autoencoder")
    return generator, AutoEncoder(decoder, recipe.scale, growth=section.growth, blocks=section.blocks)


def memory(recipe: Recipe, checkpointing: bool) -> float:
    """GiB that a perceptual iteration takes in addition to the networks, measured in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_memory, recipe, checkpointing).result()


def _memory(recipe: Recipe, checkpointing: bool) -> float:
    fabric = fabric_of("32-true")
    stage = perceptual_stage(fabric, recipe, *networks(recipe))
    if checkpointing:
        checkpoint_stage(stage)
    step, before = with_batch(fabric, recipe, "perceptual", stage.step), peak_memory(fabric.device)
    step()
    return peak_memory(fabric.device) - before


def peak_memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1024**3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**3 if sys.platform == "darwin" else 1024**2)


def print_parts(stage: str, parts: dict[str, list[float]]) -> None:
    print(f"of the {stage} iteration, each part measured alone:")
    taken = {part: median(seconds) for part, seconds in parts.items()}
    for part, seconds in taken.items():
        print(f"  {part:40} {seconds:8.3f} s  {100 * seconds / sum(taken.values()):5.1f} %")


def clock() -> float:
    alone = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    return time.process_time() if alone else time.perf_counter()


def timings(steps: dict[str, Step], repetitions: int = REPETITIONS) -> dict[str, list[float]]:
    """Return the seconds of each repetition."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for repetition in range(repetitions + 1):
        for name, step in steps.items():
            with nullcontext() if name.endswith("naive") else kept_heap():
                if not name.endswith("naive"):
                    step()  # grows the heap, as earlier iterations of a training do
                start = clock()
                step()
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                if repetition:  # the first one allocates memory, chooses kernels and compiles
                    taken[name].append(clock() - start)
    return taken


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


def autoencoder_components(fabric: Fabric, recipe: Recipe, autoencoder: AutoEncoder) -> dict[str, Step]:
    lr, hr = crops(fabric, recipe, "autoencoder")
    network = copy.deepcopy(autoencoder)
    return {
        "encoder": lambda: network.encode(hr).sum().backward(),
        "decoder": lambda: network.decoder(lr).sum().backward(),
    }


def components(fabric: Fabric, recipe: Recipe, stage: PerceptualStage) -> dict[str, Step]:
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

    return {
        "generator": generator,
        f"{fidelity} loss (AE twice, once back)": lambda: stage.losses[fidelity](sr, hr).backward(),
        "features (twice, once back)": lambda: stage.losses["perceptual"](sr, hr).backward(),
        "discriminator (twice, back to both)": discriminator,
        "artifact loss": lambda: artifact_loss(sr, hr, ema_sr).backward(),
        "EMA generator": ema,
        "optimizers and EMA update": optimizers,
    }


if __name__ == "__main__":
    main()
