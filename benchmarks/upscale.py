"""Compares every engine of `aesop upscale` with a plain tile loop around spandrel's network in eager torch.

    python benchmarks/upscale.py [--networks box rrdb upconv] [--threads 1 2] [--weights FILE] [--repetitions 5]

The plain loop is what chaiNNer and ComfyUI do on a CPU: it sends float32 tiles one by one through spandrel's network
(for UpConv, which spandrel lacks, through ours). The engines compute the same tiles. Prints for each engine how many
times faster it is (minimum, median and maximum over repetitions that take turns), the PSNR between the two pictures,
and its operations per second as a fraction of what a large 3x3 convolution reaches here in the same precision. The
fraction can exceed 1, since Winograd's algorithm needs fewer operations than are counted.

Ratios are of CPU seconds, which other programs disturb less; the median ratio of wall times is printed as well.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from aesop.errors import ModelError
from aesop.heap import kept_heap
from aesop.networks.loading import load_generator
from aesop.networks.rrdb import RRDBNet
from aesop.networks.spandrel_any import read_by_spandrel
from aesop.networks.upconv import UpConvNet
from aesop.upscaling.engines.choose import agreement, choose_engine
from aesop.upscaling.engines.kinds import KINDS
from aesop.upscaling.tiles import made_up_picture, upscale_tiled
from peak import convolution_peak

SCALE, OVERLAP = 4, 16
#: Height and width of the picture, and side of a tile.
PICTURES = {"box": (128, 256, 128), "rrdb": (64, 128, 64), "upconv": (128, 256, 128)}
#: LR pixels for which an engine is chosen: many, so that a slow set-up pays off.
WORK = 12_000_000
CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=PICTURES, default=list(PICTURES))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--weights", type=Path, help="an RRDB x4 model file (default: random weights)")
    parser.add_argument("--repetitions", type=int, default=5)
    asked = parser.parse_args()
    for threads in asked.threads:
        torch.set_num_threads(threads)
        peaks = {dtype: convolution_peak(dtype, asked.repetitions) for dtype in (torch.float32, torch.bfloat16)}
        reached = ", ".join(f"{rate / 1e9:.0f} in {str(dtype).split('.')[1]}" for dtype, rate in peaks.items())
        print(f"\n{threads} threads. 10^9 operations per CPU second of a 3x3 convolution of 256 features: {reached}")
        for name in asked.networks:
            ours, rival = networks(name, asked.weights)
            compare(name, ours, rival, peaks, asked.repetitions)


def networks(name: str, weights: Path | None) -> tuple[nn.Module, nn.Module]:
    """Our network and spandrel's, with the same weights."""
    torch.manual_seed(0)
    if name == "upconv":
        model = UpConvNet(SCALE, features=48, blocks=8, head=16).eval()
        return model, model
    if name == "box":
        model = load_generator("clean-x4").model
    else:
        model = load_generator(weights).model if weights else RRDBNet(SCALE).eval()
    return model, read_by_spandrel(dict(model.state_dict())).model.eval()


def plain_loop(model: nn.Module, image: Tensor, tile: int) -> Tensor:
    """Upscale (3, h, w) in float32 tiles with OVERLAP pixels around each, as spandrel's users do."""
    height, width = image.shape[-2:]
    result = torch.empty(3, height * SCALE, width * SCALE)
    with torch.inference_mode():
        for top in range(0, height, tile):
            for left in range(0, width, tile):
                above, before = min(top, OVERLAP), min(left, OVERLAP)
                part = image[None, :, top - above : top + tile + OVERLAP, left - before : left + tile + OVERLAP]
                sr = model(part)[0, :, above * SCALE :, before * SCALE :]
                rows, columns = min(tile, height - top) * SCALE, min(tile, width - left) * SCALE
                result[:, top * SCALE : top * SCALE + rows, left * SCALE : left * SCALE + columns] = sr[
                    :, :rows, :columns
                ]
    return result


def our_loop(engine: Callable[[Tensor], Tensor], image: Tensor, tile: int) -> Tensor:
    """Upscale the same tiles with one of our engines, as `aesop upscale` does."""
    with kept_heap():
        return upscale_tiled(engine, image, SCALE, tile=tile, overlap=OVERLAP)


def compare(name: str, model: nn.Module, rival: nn.Module, peaks: dict[torch.dtype, float], repetitions: int) -> None:
    height, width, tile = PICTURES[name]
    image = made_up_picture(height, width)[0]
    runs: dict[str, Callable[[], Tensor]] = {"plain loop": lambda: plain_loop(rival, image, tile)}
    for kind in KINDS:
        if not (kind.fits(CPU) and kind.installed):
            print(f"  {kind.name}: not installed or not supported on this machine")
            continue
        try:
            engine = kind.build(model, CPU)
        except ModelError as error:
            print(f"  {kind.name}: {error}")
            continue
        runs[kind.name] = lambda engine=engine: our_loop(engine, image, tile)
    with FlopCounterMode(display=False) as counter:
        runs["plain loop"]()
    pictures = {label: run() for label, run in runs.items()}  # also warms up
    seconds, walls = timings(runs, repetitions)
    operations = counter.get_total_flops()
    print(f"\n{name}, {height} x {width} pixels in tiles of {tile}, {operations / 1e9:.0f} x 10^9 operations")
    print(f"  {'':20} {'x as fast (CPU s)':>24} {'wall':>6} {'CPU s':>8} {'dB':>6} {'of peak':>8}")
    for label in runs:
        ratios = sorted(a / b for a, b in zip(seconds["plain loop"], seconds[label], strict=True))
        wall = median(a / b for a, b in zip(walls["plain loop"], walls[label], strict=True))
        used = median(seconds[label])
        dtype = torch.bfloat16 if label.endswith("bf16") else torch.float32
        part = operations / used / peaks[dtype]
        spread = f"{ratios[0]:.2f} {median(ratios):.2f} {ratios[-1]:.2f}"
        decibels = agreement(pictures[label], pictures["plain loop"])
        print(f"  {label:20} {spread:>24} {wall:6.2f} {used:8.3f} {decibels:6.1f} {part:8.2f}")
    with TemporaryDirectory() as folder, kept_heap():
        for wanted in ("exact", "auto"):
            start = time.perf_counter()
            memory = Path(folder) / "memory.json"
            chosen = choose_engine(model, name, image, wanted=wanted, pixels=WORK, memory=memory)
            print(f"  {wanted}: {chosen} ({time.perf_counter() - start:.1f} s to choose)")


def timings(
    runs: dict[str, Callable[[], Tensor]], repetitions: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """CPU and wall seconds of every run; the runs take turns."""
    seconds: dict[str, list[float]] = {label: [] for label in runs}
    walls: dict[str, list[float]] = {label: [] for label in runs}
    for _ in range(repetitions):
        for label, run in runs.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            seconds[label].append(time.process_time() - cpu)
            walls[label].append(time.perf_counter() - wall)
    return seconds, walls


if __name__ == "__main__":
    main()
