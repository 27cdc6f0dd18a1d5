"""Seconds of one iteration of each stage, the ratios of docs/training.md, and where an iteration's time goes.

    python benchmarks/train_step.py [RECIPE ...] [key=value ...]

The default is `aesop-rrdb-128` with batches of 2, and of 1 for the auto-encoder. Weights and crops are random. The
cases take turns, so that a busy machine slows all of them alike, and ratios are computed within a turn. Prints the
median, minimum and maximum of seconds and ratios, crops per second, and the operations per second as a share of what
one large convolution reaches here. With OMP_NUM_THREADS=1, seconds are CPU time, which other programs hardly affect.
On CUDA there are cases in tf32 and with CUDA graphs as well. Of several recipes, only the stages' iterations are
measured, in each precision: `aesop-rrdb-128 aesop-swinir-256 aesop-real-x4` are worth a run there.

`naive` is the alternative described in docs/method.md: the reference code's five passes of the discriminator and one
graph for all losses, contiguous memory format, optimizers and moving average updated parameter by parameter, and the C
library's default memory handling.
"""

from __future__ import annotations

import argparse
import copy
import resource
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from multiprocessing import get_context
from statistics import median

import torch
from lightning_fabric import Fabric
from torch.utils.flop_counter import FlopCounterMode

from aesop.autoencoder import AutoEncoder
from aesop.device import computes_bfloat16
from aesop.heap import kept_heap
from aesop.losses.adversarial import RelativisticGANConfig
from aesop.losses.artifact import artifact_loss
from aesop.training.autoencoder import AutoEncoderStage
from aesop.training.fidelity import FidelityStage
from aesop.training.perceptual import PerceptualStage
from aesop.training.recipe import Recipe
from aesop.training.recipe_files import load_recipe
from aesop.training.speed import checkpoint_stage, compile_networks
from aesop.training.stage import Stage
from iterations import Step, crops, naive_iteration, network_of, networks, perceptual_stage, with_batch
from measuring import clock, spread
from peak import convolution_peak

REPETITIONS = 3
DEFAULT = "aesop-rrdb-128", ["fidelity.batch=2", "autoencoder.batch=1", "perceptual.batch=2"]

#: What the names of cases end with.
TF32, BF16 = ", tf32", ", bf16-mixed"
GIVEN_BACK = ", freed memory given back"


@dataclass
class Case:
    """An iteration, its crops, and whether it is compiled; measured are its seconds and its operations."""

    step: Step
    crops: int
    compiled: bool = False
    seconds: list[float] = field(default_factory=list)
    operations: int = 0


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)  # pyright: ignore[reportAttributeAccessIssue]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", metavar="RECIPE|key=value", nargs="*")
    words = parser.parse_args().words
    names, overrides = ([word for word in words if ("=" in word) == setting] for setting in (False, True))
    recipes = [load_recipe(name, overrides) for name in names]
    recipes = recipes or [load_recipe(DEFAULT[0], [*DEFAULT[1], *overrides])]
    torch.manual_seed(0)
    fabrics = {"": fabric_of("32-true")}
    device = fabrics[""].device
    print(f"{torch.get_num_threads()} threads, {device}, {torch.backends.cpu.get_cpu_capability()}")
    if device.type == "cuda":
        fabrics[TF32] = fabrics[""]
    if computes_bfloat16(device):
        fabrics[BF16] = fabric_of("bf16-mixed")
    else:
        print("bf16-mixed: skipped, this device only emulates bf16, many times slower (no AVX-512 BF16, no AMX)")
    # Memory comes first: a child process inherits its parent's peak.
    for recipe in recipes:
        for title, checkpointing in (("", False), (", checkpointing", True)):
            took = f"{memory(recipe, checkpointing):.2f} GiB"
            print(f"{recipe.name}: memory of a perceptual iteration{title}: {took}")
    peaks = {suffix: peak_of(suffix, device) for suffix in fabrics}
    for suffix, peak in peaks.items():
        print(f"peak, a 3x3 convolution of 256 features{suffix}: {peak / 1e9:,.0f} x 10^9 operations per second")
    for recipe in recipes:
        measure(recipe, fabrics, peaks, whole=len(recipes) == 1)


def measure(recipe: Recipe, fabrics: dict[str, Fabric], peaks: dict[str, float], whole: bool) -> None:
    """Print how long a recipe's iterations take; `whole`: also what they are compared with, and their parts."""
    print(f"\n{recipe.name}")
    measured = cases(recipe, fabrics, whole)
    time_in_turns(measured)
    for name, case in measured.items():
        rival = measured.get(rival_of(name))
        speed = f"{case.crops / median(case.seconds):8.2f} crops/s"
        if case.operations:
            peak = peaks.get(next((suffix for suffix in (TF32, BF16) if name.endswith(suffix)), ""), peaks[""])
            speed += f", {case.operations / median(case.seconds) / peak:5.1%} of peak"
        if rival is not None and rival is not case:
            ratios = [a / b for a, b in zip(rival.seconds, case.seconds, strict=True)]
            speed += f", {spread(ratios)} x as fast as {rival_of(name)}"
        print(f"{name:42} {spread(case.seconds, 3):>25} s/it {speed}")
    if not whole:
        return
    generator, autoencoder = networks(recipe)
    with rounding(False):
        if autoencoder is not None:
            print_parts("autoencoder", autoencoder_components(fabrics[""], recipe, autoencoder))
        stage = perceptual_stage(fabrics[""], recipe, generator, autoencoder)
        print_parts("perceptual", components(fabrics[""], recipe, stage))


def cases(recipe: Recipe, fabrics: dict[str, Fabric], whole: bool = True) -> dict[str, Case]:
    """Return what is measured: an iteration of each case, by its name; the stages' own alone unless `whole`."""
    generator, autoencoder = networks(recipe)
    exact, found = fabrics[""], {}
    if (naive := naive_iteration(exact, recipe, generator, autoencoder)) is not None:
        found["perceptual, naive"] = Case(rounded(naive, False), recipe.stage("perceptual").batch)
    light = load_recipe("aesop-dat-light-x4", ["fidelity.batch=2"])  # what bf16 gains for an attention network
    for suffix, fabric in fabrics.items():
        rounds = suffix in (TF32, BF16)
        stage = perceptual_stage(fabric, recipe, generator, autoencoder)
        found[f"perceptual{suffix}"] = case(recipe, "perceptual", stage, rounds)
        if autoencoder is not None:
            stage = AutoEncoderStage(copy.deepcopy(autoencoder), recipe.autoencoder, fabric=fabric)
            found[f"autoencoder{suffix}"] = case(recipe, "autoencoder", stage, rounds)
        stage = FidelityStage(copy.deepcopy(generator), recipe.fidelity, fabric=fabric)
        found[f"fidelity{suffix}"] = case(recipe, "fidelity", stage, rounds)
        if not whole:
            continue
        if autoencoder is not None:
            decoder = network_of(load_recipe("aesop-compact-ae"), "autoencoder")
            stage = perceptual_stage(fabric, recipe, generator, AutoEncoder(decoder, recipe.scale))
            found[f"perceptual, compact auto-encoder{suffix}"] = case(recipe, "perceptual", stage, rounds)
        stage = FidelityStage(network_of(light, "fidelity"), light.fidelity, fabric=fabric)
        found[f"fidelity of DAT-light{suffix}"] = case(light, "fidelity", stage, rounds)
        if fabric.device.type == "cuda":
            stage = perceptual_stage(fabric, recipe, generator, autoencoder)
            compile_networks(stage, "reduce-overhead")
            found[f"perceptual, CUDA graphs{suffix}"] = case(recipe, "perceptual", stage, rounds, compiled=True)
    if not whole:
        return found
    stage = perceptual_stage(exact, recipe, generator, autoencoder)
    found[f"perceptual{GIVEN_BACK}"] = case(recipe, "perceptual", stage)
    checkpointed = perceptual_stage(exact, recipe, generator, autoencoder)
    checkpoint_stage(checkpointed)
    found["perceptual, checkpointing"] = case(recipe, "perceptual", checkpointed)
    small = load_recipe(recipe.name, ["fidelity.batch=2", "generator={type: rrdb, blocks: 2}"])
    for suffix in ("", ", compiled"):  # compiling the whole network would take most of the time
        stage = FidelityStage(network_of(small, "fidelity"), small.fidelity, fabric=exact)
        if suffix:
            compile_networks(stage, "default")
        found[f"fidelity of 2 RRDBs{suffix}"] = case(small, "fidelity", stage, compiled=bool(suffix))
    return found


def case(recipe: Recipe, name: str, stage: Stage, rounds: bool = False, *, compiled: bool = False) -> Case:
    """Return an iteration of a stage on random crops; `rounds` lets NVIDIA's tensor cores round, as recipes do."""
    step = with_batch(stage.fabric, recipe, name, stage.step)

    def graphed() -> None:
        torch.compiler.cudagraph_mark_step_begin()  # as in a training: graphs run several times an iteration
        step()

    return Case(rounded(graphed if compiled else step, rounds), recipe.stage(name).batch, compiled)


def rounded(step: Step, allowed: bool) -> Step:
    def run() -> None:
        with rounding(allowed):
            step()

    return run


@contextmanager
def rounding(allowed: bool) -> Iterator[None]:
    """Let NVIDIA's tensor cores round what they multiply, or not."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def peak_of(suffix: str, device: torch.device) -> float:
    """Operations per second of a large convolution, on all threads, in a precision."""
    with rounding(bool(suffix)):
        peak = convolution_peak(torch.bfloat16 if suffix == BF16 else torch.float32, device=device)
    return peak * (torch.get_num_threads() if device.type == "cpu" else 1)


def rival_of(name: str) -> str:
    """Return the name of the case that a case is compared with: the naive one, or the same in float32."""
    if name.startswith("perceptual"):
        return "perceptual" if "checkpointing" in name else "perceptual, naive"
    return name.partition(",")[0]


def fabric_of(precision: str) -> Fabric:
    return Fabric(accelerator="auto", devices=1, precision=precision)  # pyright: ignore[reportArgumentType]


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
    rounded(step, False)()
    return peak_memory(fabric.device) - before


def peak_memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1024**3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**3 if sys.platform == "darwin" else 1024**2)


def print_parts(stage: str, parts: dict[str, Step]) -> None:
    print(f"of the {stage} iteration, each part measured alone:")
    measured = {part: Case(step, 1) for part, step in parts.items()}
    time_in_turns(measured)
    wholes = [sum(turn) for turn in zip(*(case.seconds for case in measured.values()), strict=True)]
    for part, case in measured.items():
        shares = [100 * own / whole for own, whole in zip(case.seconds, wholes, strict=True)]
        print(f"  {part:40} {spread(case.seconds, 3):>25} s  {spread(shares, 1)} %")


def time_in_turns(measured: dict[str, Case], repetitions: int = REPETITIONS) -> None:
    """Measure the seconds of each case, `repetitions` times, and count its operations."""
    for repetition in range(repetitions + 1):
        for name, case in measured.items():
            kept = not name.endswith(("naive", GIVEN_BACK))
            with kept_heap() if kept else nullcontext():
                if kept:
                    case.step()  # grows the heap, as earlier iterations of a training do
                counter = FlopCounterMode(display=False) if not repetition and not case.compiled else nullcontext()
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                start = clock()
                with counter:
                    case.step()
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                if repetition:  # the first one allocates memory, chooses kernels and compiles
                    case.seconds.append(clock() - start)
                elif isinstance(counter, FlopCounterMode):
                    case.operations = counter.get_total_flops()


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
