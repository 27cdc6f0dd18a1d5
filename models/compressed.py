"""Compress a benchmark's LR pictures, as the cards of the models for photographs measure it.

    python models/compressed.py BENCHMARK DIR [--scale 4] [--quality 80]
    aesop evaluate photo-x4 clean-x4 bicubic --benchmark DIR

BENCHMARK has the usual layout (HRx4 and LRx4, for example). DIR gets HR as PNG and LR as JPEG with Pillow's defaults.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from aesop.data.benchmarks import open_benchmark
from aesop.data.pictures import to_picture, write_picture
from aesop.files import atomic_path


def write_compressed(benchmark: Path, output: Path, scale: int, quality: int) -> None:
    """Write HR and compressed LR of a benchmark."""
    hr_folder, lr_folder = (output / f"{kind}x{scale}" for kind in ("HR", "LR"))
    for folder in (hr_folder, lr_folder):
        folder.mkdir(parents=True, exist_ok=True)
    for pair in open_benchmark(benchmark, scale).pairs:
        hr, lr = pair.read(scale)
        write_picture(hr_folder / f"{pair.name}.png", to_picture(hr))
        with atomic_path(lr_folder / f"{pair.name}.jpg") as path:
            Image.fromarray(to_picture(lr)).save(path, "JPEG", quality=quality)


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", type=Path, metavar="BENCHMARK")
    parser.add_argument("output", type=Path, metavar="DIR")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--quality", type=int, default=80)
    asked = parser.parse_args()
    write_compressed(asked.benchmark, asked.output, asked.scale, asked.quality)


if __name__ == "__main__":
    main()
