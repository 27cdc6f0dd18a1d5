"""`aesop train`: a recipe and pictures in, a run with its networks out, stage by stage."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from aesop.data.crops import Crops, batches
from aesop.data.objects import address_of
from aesop.data.pictures import to_float, to_planes
from aesop.data.prepare import default_store, prepare
from aesop.data.prepared import PreparedData
from aesop.data.tiles import LIMIT, open_tiles
from aesop.device import computes_bfloat16
from aesop.errors import DataError, RunError
from aesop.files import os_errors_explained, printable, without_folders
from aesop.heap import kept_heap
from aesop.run import STAGES, Run
from aesop.training.autoencoder import verdict
from aesop.training.build import build_stage, check_weights
from aesop.training.checkpoint import OfEachProcess
from aesop.training.fabric import (
    Fabric,
    fabric_of,
    rank_zero_only,
    runtime_errors_explained,
    seed_everything,
    shape_of,
)
from aesop.training.fidelity import require_sound, shortfall
from aesop.training.interruption import caught_signals
from aesop.training.loop import train_stage
from aesop.training.plan import plan_of, summary_of
from aesop.training.recipe import AutoEncoderConfig, Recipe
from aesop.training.recipe_files import load_recipe
from aesop.training.record import check_batches, check_pictures_of, check_recipe_of, finished_iterations, open_run
from aesop.training.stage import Pairs, Say
from aesop.training.trackers import require
from aesop.training.validation import best_of, told
from aesop.versions import versions


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class TrainingData:
    """Pictures to train on, held-out pairs to validate on, and what identifies them."""

    training: PreparedData
    held_out: Pairs
    fingerprint: str
    #: A sentence on each folder whose pictures are missing here because it could not be listed.
    unreadable: tuple[str, ...] = ()


@os_errors_explained()
def train(
    recipe: Recipe | str,
    data: Path | str,
    run: Path | str,
    *,
    lr: Path | str | None = None,
    validation: Path | str | None = None,
    store: Path | str | None = None,
    store_size: float | None = None,
    devices: int | None = None,
    nodes: int | None = None,
    device: str = "auto",
    until: str | None = None,
    plan: bool = False,
    dry_run: bool = False,
    say: Say = _print,
) -> Run:
    """Train the stages of `recipe` that `run` has not finished yet on the pictures in `data`.

    Args:
        recipe: what to train: a recipe, the name of one or its .yaml file.
        data: folder of pictures, HR or HR and LR (see `aesop.data.prepare`), or address of tiles (`aesop.data.tiles`).
        lr: folder of LR pictures, where `data` is the folder of HR pictures itself.
        run: folder for all results; one that holds an interrupted run of this recipe is continued, one that another
            process trains in is refused.
        validation: folder of held-out pictures; None holds some of `data` out.
        store: where the prepared pictures, or the tiles that were read last, go; None takes a cache folder.
        store_size: gigabytes of tiles to keep there; None keeps 50.
        devices: number of processes on each machine, one a device; None takes what torchrun or SLURM started, else 1.
        nodes: number of machines, each started by torchrun or SLURM; None likewise.
        device: `cpu`, `cuda`, `cuda:1`, `mps`, ... or `auto` for the best there is.
        until: name of the last stage to train; None trains them all.
        plan: begin by telling what will be trained, on what, and what that takes; end with a summary.
        dry_run: stop after the plan, with nothing written but the prepared pictures.
        say: receives what is worth telling, in the first process alone.

    Raises AesopError, before training wherever possible; RunError where another process is lost; DataError, after it,
    where folders of pictures could not be read; Interrupted after SIGINT or SIGTERM, with a checkpoint written.
    """
    recipe = load_recipe(recipe) if isinstance(recipe, str) else recipe
    folder, say = Run(run), rank_zero_only(say)
    if until is not None and until not in recipe.stages():
        raise RunError(
            f"--until {until}: the stages of {recipe.name} are {', '.join(recipe.stages())}; name one of them."
        )
    require(recipe.trackers)
    if store_size is not None and address_of(data) is None:
        raise RunError(f"--store-size: limits the tiles of an address, and {data} is a folder; leave it out.")
    check_weights(recipe)
    check_recipe_of(folder, recipe)
    devices, nodes = shape_of(devices, nodes)
    check_batches(recipe, devices * nodes)
    fabric = fabric_of(device, devices, nodes, recipe)
    with folder.locked() if fabric.is_global_zero and not dry_run else nullcontext():
        held_out, store, lr = (None if folder is None else Path(folder) for folder in (validation, store, lr))
        limit = LIMIT if store_size is None else int(store_size * 1e9)
        pictures = training_data(recipe, Path(data), held_out, store, say, lr, limit)
        # Every process checks before any is launched, so that none waits for one that has given up.
        check_pictures_of(folder, recipe, pictures.fingerprint, devices * nodes)
        if (plan or dry_run) and fabric.is_global_zero:
            for line in plan_of(recipe, pictures.training, devices * nodes, until):
                say(line)
        if dry_run:
            return folder
        with runtime_errors_explained(fabric):
            fabric.launch()
            if fabric.is_global_zero:
                open_run(folder, recipe, pictures.fingerprint, fabric.world_size)
            fabric.barrier()
            if fabric.device.type != "cpu":
                say(f"device: {fabric.device}")
            if recipe.precision == "32-true" and fabric.device.type == "cuda":
                say("precision: float32 throughout; precision=tf32 is faster on GPUs with tensor cores")
            if recipe.precision == "bf16-mixed" and not computes_bfloat16(fabric.device):
                say("precision: this device only emulates bf16, many times slower; precision=32-true is faster here")
            with kept_heap():
                _train_stages(fabric, folder, recipe, pictures, until, say)
        if plan and fabric.is_global_zero:
            for line in summary_of(folder, recipe):
                say(line)
        if pictures.unreadable and fabric.is_global_zero:
            raise DataError(f"trained without some pictures: {' '.join(pictures.unreadable)}")
    return folder


def training_data(
    recipe: Recipe,
    data: Path,
    validation: Path | None,
    store: Path | None,
    say: Say,
    lr: Path | None = None,
    limit: int = LIMIT,
) -> TrainingData:
    """Prepare the pictures and hold some out."""
    minimum = max((recipe.source_crop(name) for name in recipe.trained_stages()), default=8 * recipe.scale)
    shrink = recipe.data.shrink

    def prepared(source: Path, least: int, target: Path | None, lr: Path | None = None) -> PreparedData:
        try:
            if (address := address_of(source)) is not None:
                if lr is not None:
                    raise DataError(f"{address}: its tiles have their LR; leave out --lr, and name them by --data.")
                found = open_tiles(address, target, recipe.scale, minimum=least, shrink=shrink, limit=limit)
            else:
                target = target or default_store(source, recipe.scale, shrink)
                found = prepare(source, target, recipe.scale, minimum=least, lr=lr, shrink=shrink)
        except RunError as error:
            raise RunError(f"{error} The folder for the prepared pictures is that of --store.") from error
        for line in (found.not_rgb, *found.unreadable):
            if line is not None:
                say(line)
        for name, reason in found.left_out:
            say(f"left out: {name}: {reason}")
        return found

    everything = prepared(data, minimum, store, lr)
    if validation is not None:
        training, held_out = everything, prepared(validation, 8 * recipe.scale, store and store / "validation")
    else:
        training, held_out = everything.split(recipe.data.held_out)
    say(f"pictures: {len(training)} to train on, {len(held_out)} to validate on")
    pairs = [_centre(held_out, index, recipe) for index in range(len(held_out))]
    fingerprint = f"{everything.fingerprint}:{held_out.fingerprint}"
    unreadable = dict.fromkeys((*everything.unreadable, *held_out.unreadable))
    return TrainingData(training, pairs, fingerprint, tuple(unreadable))


def _centre(held_out: PreparedData, index: int, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Cut the centre of a held-out picture: (LR, HR), (1, 3, h, w) and (1, 3, H, W) in [0, 1]."""
    large, small = (to_float(to_planes(picture)) for picture in held_out.read(index))
    side = recipe.data.validation_crop // recipe.scale
    top, left = (max(0, (length - side) // 2) for length in small.shape[-2:])
    small = small[:, top : top + side, left : left + side]
    top, left, side = (recipe.scale * length for length in (top, left, side))
    return small.unsqueeze(0), large[:, top : top + side, left : left + side].unsqueeze(0)


def _train_stages(
    fabric: Fabric, run: Run, recipe: Recipe, pictures: TrainingData, until: str | None, say: Say
) -> None:
    with caught_signals() as caught:
        for name in recipe.stages():
            if (weights := recipe.weights(name)) is not None:
                say(f"{name}: taken from {printable(weights)}")
            elif name not in recipe.trained_stages():
                say(f"{name}: a bicubic downscaler and the fidelity network, nothing to train")
            elif fabric.broadcast(finished_iterations(run, name)) >= recipe.iterations(name):  # as process 0 sees it
                say(f"{name}: done before")
            else:
                if name != "fidelity" and "fidelity" in recipe.trained_stages():
                    require_sound(run.stage("fidelity"), name)
                _train_one(fabric, run, recipe, name, pictures, caught, say)
            if name == until:
                return


def _train_one(
    fabric: Fabric, run: Run, recipe: Recipe, name: str, pictures: TrainingData, caught: Sequence[int], say: Say
) -> None:
    # A stage starts from a state that depends on the recipe alone, whatever was trained or skipped before it; twins
    # get the same first weights and the same crops.
    number = STAGES.index(name)
    seed_everything(recipe.seed + number, verbose=False)
    config, degradation, held_out = recipe.stage(name), None, pictures.held_out
    if recipe.degradation is not None and name != "autoencoder":
        degradation = recipe.degradation.build(recipe.scale, config.crop)
        # Seeds of their own, the same ones at every validation.
        held_out = [(degradation.degrade_whole(hr, seed=index), hr) for index, (_, hr) in enumerate(held_out)]
    stage = build_stage(fabric, run, recipe, name, degradation.sharpen if degradation else None)
    if degradation is not None:
        stage.parts["degradation"] = OfEachProcess(degradation, fabric)
    seed = recipe.seed * len(STAGES) + number
    batch = config.batch_of(fabric.world_size)
    crops = Crops(pictures.training, recipe.source_crop(name), seed)

    def stream(first: int, last: int) -> Iterator[tuple[Tensor, Tensor]]:
        rank, world = fabric.global_rank, fabric.world_size
        cut = batches(crops, batch, first, last, workers=recipe.data.workers, rank=rank, world=world)
        for iteration, images in enumerate(cut, start=first + 1):
            lr, hr = (to_float(fabric.to_device(image)) for image in images)
            if recipe.compile == "reduce-overhead":  # graphs run several times an iteration, on HR and on SR
                torch.compiler.cudagraph_mark_step_begin()
            # The same degradation of an iteration however often training was resumed.
            yield (lr, hr) if degradation is None else degradation(hr, seed=_hashed(seed, iteration, rank))

    def names(iteration: int) -> list[str]:
        total = batch * fabric.world_size
        return [crops.picture(k) for k in range((iteration - 1) * total, iteration * total)]

    metadata: dict[str, object] = {
        "stage": name,
        "recipe": json.loads(without_folders(recipe.model_dump_json())),  # files and trackers' pages are passed on
        "data": pictures.fingerprint,
        "versions": versions(),
    }
    pairs = [(fabric.to_device(lr), fabric.to_device(hr)) for lr, hr in held_out]
    files = run.stage(name)
    last = recipe.iterations(name)
    measured = train_stage(stage, last, stream, pairs, files, metadata, caught, say, names, recipe.trackers)
    if fabric.is_global_zero:
        summary, best = told(measured), best_of(files.read_log(), config.best)
        if best is not None and best["iteration"] < last:
            summary += f" (best: {told({config.best: best[config.best]})}, {files.snapshot(best['iteration'])})"
        if isinstance(config, AutoEncoderConfig):
            summary = f"{summary}: {verdict(measured)}"
        elif name == "fidelity" and (problem := shortfall(measured["psnr"], pairs)):
            summary = f"{summary}: {problem}"
        say(f"{name}: {summary}; {files.network}{_peak_memory(fabric.device)}")


def _hashed(*numbers: int) -> int:
    """Return 32 bits that depend on all of `numbers`."""
    text = " ".join(map(str, numbers)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "little")


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
