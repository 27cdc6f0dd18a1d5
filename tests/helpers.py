"""Pictures, models and checks that several test files share."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aesop.data.pictures import write_picture
from aesop.metrics import METRICS
from aesop.networks.generators import SRVGGConfig
from aesop.networks.state_dicts import write_state
from large import held

Network = TypeVar("Network", bound=nn.Module)

#: Working directory of the processes that import `large`.
BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


class Repeat(nn.Module):
    """An x2 generator that repeats pixels."""

    def forward(self, images: Tensor) -> Tensor:
        return images.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)


@contextmanager
def memory_grows_by_at_most(megabytes: float) -> Iterator[None]:
    """Fail if this process's memory grew by more in between; measures nothing on systems other than Linux."""
    peak_reset = Path("/proc/self/clear_refs")
    if not peak_reset.exists():
        yield
        return
    peak_reset.write_text("5")
    before = held(os.getpid())
    yield
    assert held(os.getpid()) - before < megabytes


memory_is_told = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")


def synthetic_picture(height: int, width: int, seed: int) -> np.ndarray:
    """A uint8 H x W x 3 picture with shading, edges and texture, like a photograph."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    picture = np.empty((height, width, 3))
    for channel in range(3):
        slope = rng.uniform(-1, 1, 2)
        picture[..., channel] = 128 + 60 * (slope[0] * y / height + slope[1] * x / width)
    for _ in range(6):
        centre, radius = rng.uniform(0, 1, 2) * (height, width), rng.uniform(0.1, 0.3) * min(height, width)
        disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
        picture[disc] += rng.uniform(-90, 90, 3)
    angle, period = rng.uniform(0, np.pi), rng.uniform(3, 8)
    waves = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    picture += (25 * waves * (x > width / 2))[..., None]
    picture += rng.normal(0, 3, picture.shape)
    return picture.round().clip(0, 255).astype(np.uint8)


def no_network(*_: object, **__: object) -> None:
    """Replaces `urllib.request.urlopen`."""
    raise OSError("no network")


def prepared_by(name: str, prepare: Callable[..., Any]) -> Any:
    """A copy of a metric with another `prepare`."""
    changed: Any = copy.copy(METRICS[name])
    changed.prepare = prepare
    return changed


def synthetic_pictures(folder: Path, count: int, size: int | tuple[int, int], seed: int = 0) -> list[Path]:
    """Write `count` pictures `000.png`, ... of `size` (a side, or height and width) and return their paths."""
    height, width = (size, size) if isinstance(size, int) else size
    paths = [folder / f"{number:03d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        write_picture(path, synthetic_picture(height, width, seed * 1000 + number))
    return paths


@contextmanager
def without_access(folder: Path) -> Iterator[None]:
    """Deny this process access to `folder`, even if it runs as root."""
    user, rights = os.geteuid(), folder.stat().st_mode
    changed = {}
    if user == 0:  # root can open every folder: become another user, who must be able to reach this one
        for parent in folder.parents:
            if parent.stat().st_mode & 0o055 != 0o055:
                changed[parent] = parent.stat().st_mode
                parent.chmod(changed[parent] | 0o055)
    folder.chmod(0)
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)
        folder.chmod(rights)
        for parent, mode in changed.items():
            parent.chmod(mode)


@torch.no_grad()
def randomise(module: Network) -> Network:
    """Give every parameter and statistic a random value, so that no term is hidden by a small initial value."""
    for parameter in module.parameters():
        fan = parameter[0].numel() if parameter.dim() > 1 else 1
        parameter.copy_(torch.randn_like(parameter) / max(fan, 4) ** 0.5)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean = torch.randn(layer.num_features)
            layer.running_var = torch.rand(layer.num_features) + 0.5
    return module.eval()


def write_model(path: Path, scale: int = 4, plus: float = 0.0) -> Path:
    """Write a model that repeats every pixel (its weights are 0) and adds `plus`."""
    network = SRVGGConfig(type="srvgg", features=4, convs=0).build(scale)
    state = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    last = max((name for name in state if name.endswith(".bias")), key=lambda name: int(name.split(".")[1]))
    state[last] += plus
    write_state(path, state, {})
    return path
