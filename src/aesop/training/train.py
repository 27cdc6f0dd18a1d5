"""`aesop train`: a recipe and pictures in, a run with its networks out, stage by stage."""

from __future__ import annotations

import copy
import inspect
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric, seed_everything
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.utilities.rank_zero import rank_zero_only
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from aesop.autoencoder import AutoEncoder, initialise_as_downscaler
from aesop.data.crops import Crops, batches
from aesop.data.pictures import to_tensor
from aesop.data.prepare import default_store, prepare
from aesop.data.prepared import PreparedData
from aesop.errors import ModelError, RunError
from aesop.losses.perceptual import PerceptualLoss
from aesop.networks.loading import load_generator
from aesop.training.autoencoder import AutoEncoderStage, verdict
from aesop.training.fidelity import FidelityStage
from aesop.training.interruption import Interruption, caught_signals
from aesop.training.loop import train_stage
from aesop.training.perceptual import PerceptualStage
from aesop.training.recipe import STAGES, Recipe
from aesop.training.run import Run
from aesop.training.stage import Pairs, Stage
from aesop.versions import versions

#: What a training says to its user, a line at a time.
Say = Callable[[str], None]


@rank_zero_only
def _print_on_rank_zero(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class TrainingData:
    """Pictures to train on, held-out pairs to validate on, and what identifies them."""

    training: PreparedData
    held_out: Pairs
    fingerprint: str


def train(
    recipe: Recipe,
    data: Path,
    run: Path,
    *,
    validation: Path | None = None,
    store: Path | None = None,
    until: str | None = None,
    devices: int = 1,
    nodes: int = 1,
    accelerator: str = "auto",
    say: Say = _print_on_rank_zero,
) -> Run:
    """Train the stages of `recipe` that `run` has not finished yet on the pictures in `data`.

    Args:
        recipe: what to train.
        data: folder of pictures, HR or HR and LR (see `aesop.data.prepare`).
        run: folder for all results; one that holds an interrupted run of this recipe is continued.
        validation: folder of held-out pictures; None holds some of `data` out.
        store: where the prepared pictures go; None takes a cache folder.
        until: name of the last stage to train now; None trains all.
        devices: number of processes on each machine, one a device.
        nodes: number of machines, each started by torchrun or SLURM.
        accelerator: Lightning Fabric's name of the kind of device, `auto` for the best there is.
        say: receives what is worth telling.

    Raises:
        AesopError: before training wherever possible, naming the file or key and the mend.
        Interrupted: after SIGINT or SIGTERM, with a checkpoint written.

    """
    folder = Run(run)
    check_weights(recipe)
    folder.check(recipe)
    fabric = _fabric(accelerator, devices, nodes, recipe)
    pictures = training_data(recipe, data, validation, store, say)
    # Every process checks before any is launched, so that none waits for one that has given up.
    folder.check_data(pictures.fingerprint, devices * nodes)
    fabric.launch()
    if fabric.is_global_zero:
        folder.open(recipe, pictures.fingerprint, fabric.world_size)
    fabric.barrier()
    with caught_signals() as interruption:
        for name in recipe.stages():
            if (weights := recipe.weights(name)) is not None:
                say(f"{name}: taken from {weights}")
            elif folder.iterations(name) >= recipe.iterations(name):
                say(f"{name}: done before")
            else:
                _train_one(fabric, folder, recipe, name, pictures, interruption, say)
            if name == until:
                break
    return folder


def check_weights(recipe: Recipe) -> None:
    """Load every network that `recipe` names by file, so that a wrong one is refused before any work is done.

    Raises:
        ModelError: naming the key and the file.

    """
    if recipe.fidelity.weights is not None:
        _load_fidelity(recipe, recipe.fidelity.weights)
    autoencoder = recipe.weights("autoencoder") if recipe.autoencoder else None
    if autoencoder is not None and (scale := AutoEncoder.load(autoencoder).scale) != recipe.scale:
        raise ModelError(f"autoencoder.weights: {autoencoder} is of scale {scale}; the recipe wants {recipe.scale}.")
    _perceptual_loss(recipe)


def training_data(recipe: Recipe, data: Path, validation: Path | None, store: Path | None, say: Say) -> TrainingData:
    """Prepare the pictures and hold some out."""
    minimum = max(recipe.stage(name).crop for name in recipe.trained_stages())
    shrink = recipe.data.shrink

    def prepared(source: Path, least: int, target: Path | None) -> PreparedData:
        found = prepare(
            source, target or default_store(source, recipe.scale, shrink), recipe.scale, minimum=least, shrink=shrink
        )
        for name, reason in found.left_out:
            say(f"left out: {name}: {reason}")
        return found

    everything = prepared(data, minimum, store)
    if validation is not None:
        training, held_out = everything, prepared(validation, 8 * recipe.scale, store and store / "validation")
    else:
        training, held_out = everything.split(recipe.data.held_out)
    say(f"pictures: {len(training)} to train on, {len(held_out)} to validate on")
    pairs = [_centre(held_out, index, recipe) for index in range(len(held_out))]
    return TrainingData(training, pairs, f"{everything.fingerprint}:{held_out.fingerprint}")


def _centre(held_out: PreparedData, index: int, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Cut the centre of a held-out picture: (LR, HR), (1, 3, h, w) and (1, 3, H, W) in [0, 1]."""
    large, small = (to_tensor(picture) for picture in held_out.read(index))
    side = recipe.data.validation_crop // recipe.scale
    top, left = (max(0, (length - side) // 2) for length in small.shape[-2:])
    small = small[:, top : top + side, left : left + side]
    top, left, side = (recipe.scale * length for length in (top, left, side))
    return small.unsqueeze(0), large[:, top : top + side, left : left + side].unsqueeze(0)


def _train_one(
    fabric: Fabric,
    run: Run,
    recipe: Recipe,
    name: str,
    pictures: TrainingData,
    interruption: Interruption,
    say: Say,
) -> None:
    # A stage starts from a state that depends on the recipe alone, whatever was trained or skipped before it; twins
    # get the same first weights and the same crops.
    number = STAGES.index(name)
    seed_everything(recipe.seed + number, verbose=False)
    stage = build_stage(fabric, run, recipe, name)
    config = recipe.stage(name)
    crops = Crops(pictures.training, config.crop, seed=recipe.seed * len(STAGES) + number)

    def stream(first: int, last: int):
        return batches(
            crops,
            config.batch,
            first,
            last,
            workers=recipe.data.workers,
            rank=fabric.global_rank,
            world=fabric.world_size,
        )

    metadata: dict[str, object] = {
        "stage": name,
        "recipe": recipe.model_dump(mode="json"),
        "data": pictures.fingerprint,
        "versions": versions(),
    }
    pairs = [(fabric.to_device(lr), fabric.to_device(hr)) for lr, hr in pictures.held_out]
    measured = train_stage(
        fabric,
        stage,
        config,
        recipe.iterations(name),
        stream,
        pairs,
        run.paths(name),
        metadata,
        interruption,
    )
    if fabric.is_global_zero:
        numbers = ", ".join(f"{key} {value:.2f} dB" for key, value in measured.items())
        told = verdict(measured) if name == "autoencoder" else numbers
        say(f"{name}: {told}; {run.paths(name).output}{_peak_memory(fabric.device)}")


def build_stage(fabric: Fabric, run: Run, recipe: Recipe, name: str) -> Stage:
    """Build a stage with its networks, those of earlier stages taken from the recipe's files or from the run."""
    if name == "fidelity":
        return FidelityStage(fabric, recipe, recipe.generator.build(recipe.scale))
    fidelity = _load_fidelity(recipe, recipe.fidelity.weights or run.paths("fidelity").output)
    if name == "autoencoder":
        config = recipe.autoencoder
        if config is None:
            raise ValueError("the recipe has no section `autoencoder`")
        autoencoder = AutoEncoder(copy.deepcopy(fidelity), recipe.scale, growth=config.growth, blocks=config.blocks)
        if config.start == "downscaler":
            initialise_as_downscaler(autoencoder.encoder, recipe.scale)
        return AutoEncoderStage(fabric, recipe, config, autoencoder, fidelity)
    # Before the losses: the networks that they load draw random numbers too, and twins must get one discriminator.
    discriminator = recipe.perceptual.discriminator.build(recipe.perceptual.crop)
    loss = recipe.perceptual.fidelity_loss
    fidelity_loss = loss.build(_autoencoder(run, recipe)) if loss.type == "aesop" else loss.build()
    return PerceptualStage(fabric, recipe, fidelity, discriminator, fidelity_loss, _perceptual_loss(recipe))


def _load_fidelity(recipe: Recipe, path: Path) -> nn.Module:
    loaded = load_generator(path)
    if loaded.scale != recipe.scale:
        raise ModelError(f"fidelity.weights: {path} is of scale {loaded.scale}; the recipe wants {recipe.scale}.")
    with torch.device("meta"):
        wanted = recipe.generator.build(recipe.scale)
    shapes, expected = ([tuple(p.shape) for p in model.parameters()] for model in (loaded.model, wanted))
    if shapes != expected:
        raise ModelError(
            f"fidelity.weights: {path} holds {loaded.architecture} of {sum(map(math.prod, shapes)):,} parameters, "
            f"not the recipe's generator ({recipe.generator.type}, {sum(map(math.prod, expected)):,}); "
            "set `generator` to what the file holds."
        )
    return loaded.model.train()


def _autoencoder(run: Run, recipe: Recipe) -> AutoEncoder:
    weights = recipe.autoencoder.weights if recipe.autoencoder else None
    return AutoEncoder.load(weights or run.paths("autoencoder").output)


def _perceptual_loss(recipe: Recipe) -> PerceptualLoss:
    return PerceptualLoss(*recipe.perceptual.perceptual_loss.features.build())


def _fabric(accelerator: str, devices: int, nodes: int, recipe: Recipe) -> Fabric:
    if nodes > 1 and not {"MASTER_ADDR", "SLURM_NTASKS"} & os.environ.keys():
        raise RunError(f"--nodes {nodes}: start the command on each machine by torchrun or SLURM.")
    try:
        return Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            precision=recipe.precision,
            strategy=ddp() if devices * nodes > 1 else "auto",
        )
    except (ValueError, RuntimeError) as error:
        raise RunError(
            f"--accelerator {accelerator} --devices {devices}: not on this machine ({error}); take others."
        ) from error


def ddp() -> DDPStrategy:
    """One process a device; batch norm's statistics stay each process's own.

    Broadcasting them between D's two passes would overwrite what the first pass keeps for its gradient.
    """
    backend = None if torch.cuda.is_available() else "gloo"
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel.__init__).parameters:
        return DDPStrategy(process_group_backend=backend, forward_sync_buffers=False)
    return DDPStrategy(process_group_backend=backend, broadcast_buffers=False)


def _peak_memory(device: torch.device) -> str:
    """Say how much memory this process has taken so far, where the system tells."""
    if device.type == "cuda":
        return f" (peak memory {torch.cuda.max_memory_allocated(device) / 1024**3:.2f} GiB)"
    try:
        import resource
    except ImportError:  # Windows
        return ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f" (peak memory {peak / (1024**3 if sys.platform == 'darwin' else 1024**2):.2f} GiB)"
