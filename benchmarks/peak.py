"""What a device reaches at its best: the measure of how well networks use it."""

from __future__ import annotations

import time

import torch
from torch import nn


@torch.inference_mode()
def convolution_peak(dtype: torch.dtype, repetitions: int = 5, device: torch.device | str = "cpu") -> float:
    """Best operations per second of a channels-last 3x3 convolution of 256 features, on a CPU per CPU second.

    CPU seconds count both cores of a convolution on two.
    """
    device = torch.device(device)

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.process_time() if device.type == "cpu" else time.perf_counter()

    batch, side = (1, 64) if device.type == "cpu" else (16, 128)
    conv = nn.Conv2d(256, 256, 3, padding=1, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    images = torch.rand(batch, 256, side, side, device=device, dtype=dtype)
    images = images.contiguous(memory_format=torch.channels_last)
    conv(images)
    seconds = []
    for _ in range(max(repetitions, 5)):
        start = now()
        conv(images)
        seconds.append(now() - start)
    return 2 * 256 * 256 * 9 * batch * side * side / min(seconds)
