"""How much faster an evaluation is with two processes than with one, and how long a repeated call takes.

    python benchmarks/evaluate.py BENCHMARK [BLOCKS]

An RRDB of BLOCKS blocks (default 6; the paper's has 23) with random weights upscales the benchmark by 4 and is measured
by every metric that is available here. Each time is the median of three, with one torch thread per process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", metavar="BENCHMARK")
    parser.add_argument("blocks", metavar="BLOCKS", type=int, nargs="?", default=6)
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    from aesop.evaluation.evaluate import evaluate
    from aesop.networks.rrdb import RRDBConfig
    from aesop.networks.state_dicts import write_state

    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AESOP_CACHE"] = folder
        model = Path(folder) / "rrdb.safetensors"
        network = RRDBConfig(type="rrdb", features=64, blocks=asked.blocks, growth=32).build(4)
        write_state(model, network.state_dict(), {})

        def seconds(processes: int, cache: bool) -> float:
            started = time.perf_counter()
            evaluate([model], [asked.benchmark], processes=processes, cache=cache)
            return time.perf_counter() - started

        seconds(1, cache=True)  # fills the cache and loads modules and weights
        rounds = [(seconds(1, False), seconds(2, False), seconds(1, True)) for _ in range(ROUNDS)]
    one, two, again = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"one process {one:.1f} s, two {two:.1f} s: {one / two:.2f} times as fast; again {again:.2f} s")


if __name__ == "__main__":
    main()
