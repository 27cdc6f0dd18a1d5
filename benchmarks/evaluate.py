"""How much faster an evaluation is with two processes than with one, and how long a repeated call takes.

    python benchmarks/evaluate.py BENCHMARK [BLOCKS]

An RRDB of BLOCKS blocks (default 6; the paper's has 23) with random weights upscales the benchmark by 4 and is measured
by every metric that is available here. Each time is the median of three, with one torch thread per process.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 3


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    from aesop.evaluation.evaluate import evaluate
    from aesop.networks.rrdb import RRDBConfig
    from aesop.networks.state_dicts import write_state

    torch.set_num_threads(1)
    torch.manual_seed(0)
    blocks = int(sys.argv[2]) if len(sys.argv) == 3 else 6
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AESOP_CACHE"] = folder
        model = Path(folder) / "rrdb.safetensors"
        write_state(model, RRDBConfig(type="rrdb", features=64, blocks=blocks, growth=32).build(4).state_dict(), {})

        def seconds(processes: int, cache: bool) -> float:
            started = time.perf_counter()
            evaluate([model], [sys.argv[1]], processes=processes, cache=cache)
            return time.perf_counter() - started

        seconds(1, cache=True)  # fills the cache and loads modules and weights
        rounds = [(seconds(1, False), seconds(2, False), seconds(1, True)) for _ in range(ROUNDS)]
    one, two, again = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"one process {one:.1f} s, two {two:.1f} s: {one / two:.2f} times as fast; again {again:.2f} s")


if __name__ == "__main__":
    main()
