"""Time per picture of `aesop.upscale` on a folder of small pictures, compared with one picture at a time.

    python benchmarks/folder.py [--pictures 10000] [--side 24] [--format png]

The network has 4 features and one convolution, so that reading and writing take most of the time. The folder is
compared with a loop that reads, upscales (`upscale_picture`) and writes, and with one call of `aesop.upscale` per
picture. Both are measured on some of the pictures, in the same process, before and after the folder.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from aesop.data.pictures import to_picture, write_picture
from aesop.networks.loading import load_generator
from aesop.upscaling.in_memory import upscale_picture
from aesop.upscaling.pictures.sink import open_sink
from aesop.upscaling.pictures.source import open_source
from aesop.upscaling.tiles import made_up_picture
from aesop.upscaling.upscale import upscale
from large import written_model


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=24)
    parser.add_argument("--format", choices=["png", "jpg", "webp"], default="png")
    asked = parser.parse_args()
    with TemporaryDirectory() as name, Path(os.devnull).open("w") as null, contextlib.redirect_stderr(null):
        folder = Path(name)
        os.environ["AESOP_CACHE"] = str(folder / "cache")
        generator = load_generator(written_model(folder / "model.safetensors", "tiny"))
        pixels = to_picture(
            made_up_picture(-(-asked.side // 16) * 16, -(-asked.side // 16) * 16 + 16)[0].mul(255).byte()
        )
        paths = [folder / "in" / f"{number:06}.{asked.format}" for number in range(asked.pictures)]
        for number, path in enumerate(paths):
            write_picture(path, pixels[: asked.side, number % 16 : number % 16 + asked.side])

        def bare(path: Path) -> None:
            source = open_source(path)
            result = upscale_picture(source.read(), generator)
            target = folder / "bare" / path.name
            with open_sink(target, source.info.resized(*result.shape[:2]), source.info.format) as write:
                write(result)

        def called(path: Path) -> None:
            upscale(path, generator, folder / "called", overwrite=True)

        (folder / "bare").mkdir()
        some = paths[:: max(len(paths) // 500, 1)]
        timed(bare, some[:50])
        before = timed(bare, some), timed(called, some[:100])
        start = time.perf_counter()
        report = upscale(folder / "in", generator, folder / "out")
        whole = (time.perf_counter() - start) / len(paths)
        after = timed(bare, some), timed(called, some[:100])
        if len(report.written) != len(paths):
            sys.exit(f"{len(report.failed)} pictures failed")
    print(f"{asked.pictures} pictures of {asked.side} x {asked.side}, {torch.get_num_threads()} threads")
    print(f"  in the folder: {whole * 1e6:.0f} microseconds each")
    for label, costs in zip(
        ("read, upscaled, written", "aesop.upscale, one by one"), zip(before, after, strict=True), strict=True
    ):
        cost = min(costs)
        print(f"  {label}: {cost * 1e6:.0f} microseconds each; the folder costs {whole / cost:.2f} times the sum")


def timed(work: Callable[[Path], None], paths: list[Path]) -> float:
    """Mean seconds per picture."""
    start = time.perf_counter()
    for path in paths:
        work(path)
    return (time.perf_counter() - start) / len(paths)


if __name__ == "__main__":
    main()
