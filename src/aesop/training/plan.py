"""The plan of a training, printed before it begins, and the summary at its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from aesop.autoencoder import AutoEncoder
from aesop.data.prepared import PreparedData
from aesop.losses.perceptual import PerceptualLoss
from aesop.losses.term import LossContext
from aesop.progress import duration
from aesop.run import STAGES, Run, seconds_of
from aesop.training.recipe import AutoEncoderConfig, PerceptualConfig, Recipe
from aesop.training.speed import checkpoint_blocks
from aesop.training.validation import told

#: Bytes a parameter: of a frozen network; with its gradient and Adam's two averages; and with its own average as well.
FROZEN, TRAINED, AVERAGED = 4, 16, 20


class Cost(NamedTuple):
    """The cost of a network: parameters, and for one crop multiply-adds and the bytes kept for its gradient.

    None and 0 for a network that cannot be run without values.
    """

    parameters: int
    multiply_adds: int | None
    kept: int


def plan_of(recipe: Recipe, pictures: PreparedData, devices: int, until: str | None = None) -> list[str]:
    """Describe the stages that a recipe trains, up to `until`, on `pictures` with `devices` processes.

    A line each, and a line for each of its networks.

    Memory is an estimate for one process: parameters, and what the gradients of one batch need at the same time; a
    device's libraries take theirs besides.
    """
    lines = []
    area = sum(entry.height * entry.width for entry in pictures.entries)
    last = STAGES.index(until or STAGES[-1])
    for name in (stage for stage in recipe.trained_stages() if STAGES.index(stage) <= last):
        config, iterations = recipe.stage(name), recipe.iterations(name)
        batch = config.batch_of(devices)
        costs = dict(_costs(recipe, name))
        passes = iterations * batch * devices * config.crop**2 / area
        memory = sum(cost.parameters * held + batch * cost.kept for cost, held in costs.values())
        each = f", {batch} on each of {devices} devices" if devices > 1 else ""
        lines.append(
            f"{name}: {iterations:,} iterations of {batch * devices} crops of {config.crop} pixels{each}, "
            f"{passes:.3g} passes over {area / 1e6:,.1f} megapixels; about {memory / 2**30:.2g} GiB on a device"
        )
        for title, (cost, _) in costs.items():
            counted = cost.multiply_adds
            work = "its work cannot be counted" if counted is None else f"{counted / 1e9:.3g} G multiply-adds a crop"
            lines.append(f"  {title}: {cost.parameters:,} parameters, {work}")
    return lines


def summary_of(run: Run, recipe: Recipe) -> list[str]:
    """Say of each finished stage how long it took and what it reached."""
    lines = []
    for name in recipe.trained_stages():
        log = run.stage(name).read_log()
        if run.stage(name).network.is_file() and (
            validations := [line for line in log if line["kind"] == "validation"]
        ):
            last = validations[-1]
            measured = {key: value for key, value in last.items() if key not in ("iteration", "kind", "seconds")}
            lines.append(f"{name}: {last['iteration']:,} iterations in {duration(seconds_of(log))}; {told(measured)}")
    return lines


def _costs(recipe: Recipe, name: str) -> Iterator[tuple[str, tuple[Cost, int]]]:
    """Yield a stage's networks: title, cost, and the bytes held for each parameter."""
    config, scale = recipe.stage(name), recipe.scale
    # Under autocast, most of what is kept has half the bytes; the losses' networks stay in float32.
    share = 2 if recipe.precision == "bf16-mixed" else 1
    if isinstance(config, AutoEncoderConfig):
        yield "auto-encoder", (_halved(_autoencoder(recipe, config, config.crop), share), AVERAGED)
        return
    section = recipe.network(name)
    generator = _cost(section.build(scale), config.crop // scale, recipe.checkpointing)
    yield "generator", (_halved(generator, share), AVERAGED)
    if not isinstance(config, PerceptualConfig):
        return
    if config.adversarial_loss.weight:
        discriminator = config.discriminator.build(config.crop)
        yield "discriminator", (_halved(_cost(discriminator, config.crop), share), TRAINED)
    for title, loss in config.losses().items():
        if not loss.weight:
            continue
        if loss.uses_autoencoder and recipe.autoencoder is not None:
            yield "auto-encoder, frozen", (_autoencoder(recipe, recipe.autoencoder, config.crop), FROZEN)
        elif title == "perceptual":
            built = loss.build(LossContext(scale))
            if isinstance(built, PerceptualLoss):
                yield "features, frozen", (_cost(built.features, config.crop), FROZEN)


def _halved(cost: Cost, share: int) -> Cost:
    return cost._replace(kept=cost.kept // share)


def _autoencoder(recipe: Recipe, config: AutoEncoderConfig, crop: int) -> Cost:
    if config.weights is not None:
        return _cost(AutoEncoder.load(config.weights), crop, recipe.checkpointing)
    decoder = recipe.network("autoencoder").build(recipe.scale)
    if config.encoder == "bicubic":
        return _cost(AutoEncoder.collapsed(decoder, recipe.scale), crop, recipe.checkpointing)
    autoencoder = AutoEncoder(decoder, recipe.scale, config.features, config.growth, config.blocks)
    return _cost(autoencoder, crop, recipe.checkpointing)


def _cost(network: nn.Module, side: int, checkpointing: bool = False) -> Cost:
    """Run a network on a crop without values, which takes no time, and count."""
    network = network.to("meta")
    if checkpointing:
        checkpoint_blocks(network)
    weights = {weight.untyped_storage()._cdata for weight in network.parameters()}
    kept: dict[int, Tensor] = {}

    def count(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    crop = torch.empty(1, 3, side, side, device="meta", requires_grad=True)
    parameters = sum(weight.numel() for weight in network.parameters())
    try:
        with FlopCounterMode(display=False) as operations, saved_tensors_hooks(count, lambda tensor: tensor):
            network(crop)
    except Exception:  # a network of the user's own may need values
        return Cost(parameters, None, 0)
    size = sum(tensor.untyped_storage().nbytes() for key, tensor in kept.items() if key not in weights)
    return Cost(parameters, operations.get_total_flops() // 2, size)
