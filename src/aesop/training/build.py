"""Stages with their networks: fresh ones, those of earlier stages, and those of the files that a recipe names."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from aesop.autoencoder import AutoEncoder, initialise_as_downscaler
from aesop.errors import ModelError
from aesop.losses.term import LossContext
from aesop.networks.generators import GeneratorConfig
from aesop.networks.loading import load_discriminator, load_generator
from aesop.networks.rrdb import RRDBNet
from aesop.networks.upconv import Reheaded
from aesop.run import Run
from aesop.training.autoencoder import AutoEncoderStage
from aesop.training.fabric import Fabric
from aesop.training.fidelity import FidelityStage
from aesop.training.perceptual import PerceptualStage
from aesop.training.recipe import AutoEncoderConfig, PerceptualConfig, Recipe
from aesop.training.speed import checkpoint_stage, compile_networks
from aesop.training.spsr import SPSRStage
from aesop.training.stage import Sharpen, Stage, place

Loaded = TypeVar("Loaded")


def build_stage(fabric: Fabric, run: Run, recipe: Recipe, name: str, sharpen: Sharpen | None = None) -> Stage:
    """Build a stage with its networks, those of earlier stages taken from the recipe's files or from the run.

    Where there is an auto-encoder, validations measure AE-PSNR.
    """
    stage = _build(fabric, run, recipe, name, sharpen)
    file = recipe.autoencoder and recipe.autoencoder.weights
    if file is not None and name != "autoencoder" and stage.autoencoder is None:
        with torch.random.fork_rng([]):  # what is trained must not depend on what is measured
            stage.autoencoder = place(AutoEncoder.load(file), fabric).requires_grad_(False)
    if recipe.checkpointing:
        checkpoint_stage(stage)
    if recipe.compile is not None:
        compile_networks(stage, recipe.compile)
    return stage


def _build(fabric: Fabric, run: Run, recipe: Recipe, name: str, sharpen: Sharpen | None) -> Stage:
    config = recipe.stage(name)
    if name == "fidelity":
        start = recipe.fidelity.start_weights
        if start is None:
            generator = recipe.generator.build(recipe.scale)
        else:
            generator = starting_network(recipe.generator, recipe.scale, start, "fidelity.start_weights")
        _keep_body(generator, recipe)
        return FidelityStage(generator, recipe.fidelity, sharpen=sharpen, fabric=fabric)
    weights = recipe.fidelity.weights or run.stage("fidelity").network
    fidelity = starting_network(recipe.generator, recipe.scale, weights)
    if isinstance(config, AutoEncoderConfig):
        decoder = _decoder(recipe, config, fidelity)
        autoencoder = AutoEncoder(decoder, recipe.scale, config.features, config.growth, config.blocks)
        if config.start == "downscaler":
            initialise_as_downscaler(autoencoder.encoder, recipe.scale)
        return AutoEncoderStage(autoencoder, config, fidelity=fidelity, fabric=fabric)
    if isinstance(config, PerceptualConfig):
        return _perceptual_stage(fabric, run, recipe, config, fidelity, sharpen)
    raise ValueError(f"recipe {recipe.name} has no stage {name}")


def check_weights(recipe: Recipe) -> None:
    """Raise ModelError, naming key and file, if a network that `recipe` names by file is missing or another."""
    if recipe.fidelity.weights is not None:
        starting_network(recipe.generator, recipe.scale, recipe.fidelity.weights)
    elif recipe.fidelity.start_weights is not None:
        starting_network(recipe.generator, recipe.scale, recipe.fidelity.start_weights, "fidelity.start_weights")
    elif recipe.fidelity.body_weights is not None:
        _keep_body(recipe.generator.build(recipe.scale), recipe)
    autoencoder, perceptual = recipe.autoencoder, recipe.perceptual
    if autoencoder is not None:
        if (path := autoencoder.weights) is not None:
            scale = _loaded("autoencoder.weights", AutoEncoder.load, path).scale
            if scale != recipe.scale:
                raise ModelError(f"autoencoder.weights: {path} has scale {scale}; the recipe has {recipe.scale}.")
        if autoencoder.decoder_weights is not None and "autoencoder" in recipe.stages():
            section = recipe.network("autoencoder")
            starting_network(section, recipe.scale, autoencoder.decoder_weights, "autoencoder.decoder_weights")
    if perceptual is not None:
        if perceptual.discriminator_weights is not None:
            load_discriminator(perceptual.discriminator.build(perceptual.crop), perceptual.discriminator_weights)
        for section in perceptual.losses().values():
            if section.weight and not section.uses_autoencoder:
                section.build(LossContext(recipe.scale))


def starting_network(section: GeneratorConfig, scale: int, path: Path, weights: str = "fidelity.weights") -> nn.Module:
    """Build the network of `section` with the parameters of the file at the key `weights`, ours or a released one.

    Of a run folder, the fidelity network is taken. Raises ModelError if the file holds another network than `section`.
    """
    key = "autoencoder.decoder" if weights.startswith("autoencoder.") else "generator"
    if path.is_dir():
        path = Run(path).stage("fidelity").network
    loaded = _loaded(weights, load_generator, path)
    if loaded.scale != scale:
        raise ModelError(f"{weights}: {path} has scale {loaded.scale}; the recipe has {scale}.")
    network = section.build(scale)
    shapes, expected = ([tuple(value.shape) for value in found.parameters()] for found in (loaded.model, network))
    if shapes != expected:
        held, asked = (sum(map(math.prod, found)) for found in (shapes, expected))
        raise ModelError(
            f"{weights}: {path} holds {loaded.architecture} of {held:,} parameters, not the recipe's {key} "
            f"({section.type}, {asked:,}); set `{key}` to what the file holds."
        )
    with torch.no_grad():
        # By order: released files may name them otherwise.
        for own, theirs in zip(network.parameters(), loaded.model.parameters(), strict=True):
            own.copy_(theirs)
        # Statistics of batch norm; attention masks may be of another size, and are computed again.
        held = dict(loaded.model.named_buffers())
        for name, own in network.named_buffers():
            if name in held and held[name].shape == own.shape:
                own.copy_(held[name])
        lr = torch.rand(1, 3, 9, 8, generator=torch.Generator().manual_seed(0))
        ours, theirs = network.eval()(lr), loaded.model(lr)
    if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max())):
        raise ModelError(
            f"{weights}: {path} holds {loaded.architecture} with other settings than the recipe's {key} "
            f"({section.type}); set `{key}` to what the file holds."
        )
    return network.train()


def _loaded(key: str, load: Callable[[Path], Loaded], path: Path) -> Loaded:
    """Load the file at a key of the recipe, which its errors name."""
    try:
        return load(path)
    except ModelError as error:
        raise ModelError(f"{key}: {error}") from error


def _keep_body(generator: nn.Module, recipe: Recipe) -> None:
    path = recipe.fidelity.body_weights
    if path is not None and isinstance(generator, Reheaded):
        try:
            generator.keep(_loaded("fidelity.body_weights", load_generator, path).model)
        except ValueError as error:
            raise ModelError(f"fidelity.body_weights: {path} {error}.") from error


def _perceptual_stage(
    fabric: Fabric, run: Run, recipe: Recipe, config: PerceptualConfig, fidelity: nn.Module, sharpen: Sharpen | None
) -> PerceptualStage:
    # Before the losses: the networks that they load draw random numbers too, and twins must get one discriminator.
    gradient = config.gradient_loss
    weights = config.adversarial_loss.weight, gradient.adversarial_weight if gradient else 0
    first, second = (config.discriminator.build(config.crop) if weight else None for weight in weights)
    if first is not None and config.discriminator_weights is not None:
        load_discriminator(first, config.discriminator_weights)
    autoencoder = None
    if recipe.autoencoder is not None and config.uses_autoencoder:
        autoencoder = _autoencoder(run, recipe, recipe.autoencoder, fidelity)
    generator = fidelity
    if config.generator is not None:
        if not isinstance(fidelity, RRDBNet):
            raise ModelError("fidelity.weights: SPSR starts from an RRDB in its present layout; name such a file.")
        generator = config.generator.build(recipe.scale)
        generator.start_from(fidelity)
    losses = config.build_losses(LossContext(recipe.scale, autoencoder))
    if gradient is None:
        stage = PerceptualStage(generator, first, losses, config, sharpen=sharpen, fabric=fabric)
    else:
        options = {"gradient_discriminator": second, "sharpen": sharpen, "fabric": fabric}
        stage = SPSRStage(generator, first, losses, config, **options)
    stage.autoencoder = autoencoder
    return stage


def _decoder(recipe: Recipe, config: AutoEncoderConfig, fidelity: nn.Module) -> nn.Module:
    section = recipe.network("autoencoder")
    if config.decoder_weights is not None:
        return starting_network(section, recipe.scale, config.decoder_weights, "autoencoder.decoder_weights")
    return copy.deepcopy(fidelity) if config.decoder is None else section.build(recipe.scale)


def _autoencoder(run: Run, recipe: Recipe, config: AutoEncoderConfig, fidelity: nn.Module) -> AutoEncoder:
    if config.encoder == "bicubic":
        return AutoEncoder.collapsed(_decoder(recipe, config, fidelity), recipe.scale)
    if config.weights is not None:
        return AutoEncoder.load(config.weights)
    return AutoEncoder.load(run.stage("autoencoder").network, recipe.network("autoencoder").build(recipe.scale))
