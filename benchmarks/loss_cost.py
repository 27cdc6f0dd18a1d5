"""CPU time and memory of AESOPLoss and its gradient: crops of 128 pixels, batch 4, one thread.

    python benchmarks/loss_cost.py float32 | autocast | bfloat16

With `autocast` SR is in bfloat16; `bfloat16` casts the auto-encoder as well. docs/loss.md quotes the output;
benchmarks/gradients.py tells what each does to the gradient.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

import torch

from aesop import AESOPLoss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("float32", "autocast", "bfloat16"))
    mode = parser.parse_args().mode
    torch.set_num_threads(1)
    torch.manual_seed(0)
    loss = AESOPLoss.pretrained("x4")
    if mode == "bfloat16":
        loss.bfloat16()
    hr = torch.rand(4, 3, 128, 128)
    sr = (hr + 0.05 * torch.randn_like(hr)).to(torch.float32 if mode == "float32" else torch.bfloat16).requires_grad_()
    before, seconds = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for _ in range(15):
        start = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"):
            value = loss(sr, hr)
        value.backward()
        seconds.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{mode}: {statistics.median(seconds):.2f} s of one core, {peak / 1024:.0f} MiB more")


if __name__ == "__main__":
    main()
