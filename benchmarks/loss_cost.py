"""CPU time and memory of AESOPLoss and its gradient: crops of 128 pixels, batch 4, one thread.

    python benchmarks/loss_cost.py float32 | autocast | bfloat16 [BENCHMARK_DIR]

With `autocast` SR is in bfloat16; `bfloat16` casts the auto-encoder as well. Given a benchmark, also prints the cosine
of the gradient with that of float32, on the top left 128 pixels of each picture, with SR by `clean-x4`. docs/loss.md
quotes the output.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from aesop import AESOPLoss, load_generator
from aesop.data.benchmarks import open_benchmark
from aesop.data.pictures import to_float


def main() -> None:
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in ("float32", "autocast", "bfloat16"):
        sys.exit(__doc__)
    mode = sys.argv[1]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    loss = _loss(mode)
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
    if len(sys.argv) == 3:
        found = cosines(mode, Path(sys.argv[2]))
        print(f"{mode}: cosine with the float32 gradient {min(found):.3f} to {max(found):.3f}, {len(found)} pictures")


def cosines(mode: str, folder: Path) -> list[float]:
    """Cosine of the gradient with that of float32, for each picture."""
    generator, losses, found = load_generator("clean-x4").model.eval(), (_loss("float32"), _loss(mode)), []
    for pair in open_benchmark(folder, 4).pairs:
        hr, lr = (to_float(picture)[None] for picture in pair.read(4))
        hr, lr = hr[..., :128, :128], lr[..., :32, :32]
        with torch.no_grad():
            made = generator(lr).clamp(0, 1)
        gradients = []
        for loss, dtype in zip(
            losses, (torch.float32, torch.float32 if mode == "float32" else torch.bfloat16), strict=True
        ):
            sr = made.to(dtype).requires_grad_()
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32 and mode == "autocast"):
                gradients.append(torch.autograd.grad(loss(sr, hr), sr)[0].float().flatten())
        found.append(float(F.cosine_similarity(*gradients, dim=0)))
    return found


def _loss(mode: str) -> AESOPLoss:
    loss = AESOPLoss.pretrained("x4")
    return loss.bfloat16() if mode == "bfloat16" else loss


if __name__ == "__main__":
    main()
