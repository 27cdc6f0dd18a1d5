"""Training crops as a pure function of a seed and a number, so that a stream resumes from its position alone."""

from __future__ import annotations

import atexit
import hashlib
import re
import signal
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from aesop.data.prepared import PreparedData
from aesop.errors import DataError


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Endless HR crops of `crop` pixels a side, with their LR; number `k` is always the same, on every machine.

    The picture is drawn uniformly, the position uniformly on its LR grid and, with `augment`, one of the eight
    symmetries of the square (flips and 90-degree rotations), applied to LR and HR alike. `seed` has 64 bits.
    Raises DataError where `crop` is not a multiple of the scale, or larger than a picture.
    """

    def __init__(self, data: PreparedData, crop: int, seed: int, augment: bool = True) -> None:
        if crop < 1 or crop % data.scale:
            raise DataError(f"a crop of {crop} pixels is not a multiple of the scale; take one of {data.scale}.")
        for entry in data.entries:
            if min(entry.height, entry.width) < crop:
                raise DataError(
                    f"{entry.name}: {entry.width} x {entry.height} pixels, too small for crops of {crop}; "
                    "remove it or take smaller crops."
                )
        self.data, self.crop, self.seed, self.augment = data, crop, seed, augment

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        """The LR and HR crop number `k`: uint8, (3, crop / scale, crop / scale) and (3, crop, crop)."""
        lr, hr = self.__getitems__([k])
        return lr[0], hr[0]

    def picture(self, k: int) -> str:
        """The name of the picture that crop number `k` is of."""
        return self.data.entries[_draw(self.seed, k)[0] % len(self.data)].name

    def __getitems__(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """A batch at once: uint8, (N, 3, h, w) and (N, 3, H, W)."""
        scale, small = self.data.scale, self.crop // self.data.scale
        lr = np.empty((len(numbers), 3, small, small), np.uint8)
        hr = np.empty((len(numbers), 3, self.crop, self.crop), np.uint8)
        draws = [_draw(self.seed, number) for number in numbers]
        chosen = [picture % len(self.data) for picture, *_ in draws]
        pictures = self.data.read_all(chosen)
        for index, (_, row, column, symmetry) in enumerate(draws):
            entry = self.data.entries[chosen[index]]
            top = row % (entry.height // scale - small + 1)
            left = column % (entry.width // scale - small + 1)
            turn = symmetry % 8 if self.augment else 0
            whole_hr, whole_lr = pictures[index]
            lr[index] = _cut(whole_lr, top, left, small, turn)
            hr[index] = _cut(whole_hr, top * scale, left * scale, self.crop, turn)
        return torch.from_numpy(lr), torch.from_numpy(hr)


def batches(
    crops: Crops, batch: int, first: int, last: int, *, workers: int, rank: int = 0, world: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """The (LR, HR) batches of iterations `first` to `last` - 1, uint8, (batch, 3, h, w) and (batch, 3, H, W).

    Iteration i of process `rank` of `world` takes the `batch` crops from number (i * world + rank) * batch on: a
    resumed stream continues the interrupted one, and neither the number of `workers` (processes; 0 reads in this one)
    nor any random generator matters. Raises DataError where the store has lost a picture.
    """
    starts = ((i * world + rank) * batch for i in range(first, last))
    loader = DataLoader(
        crops,
        batch_sampler=(list(range(start, start + batch)) for start in starts),
        num_workers=workers,
        collate_fn=_unchanged,
        worker_init_fn=_ignore_interrupts,
        pin_memory=torch.cuda.is_available(),
        # The loader draws a seed, which must not come from training's generator.
        generator=torch.Generator(),
    )
    stream = iter(loader)
    # Workers ignore the signal by which Python ends them at exit, where an exception may keep the stream alive.
    end = getattr(stream, "_shutdown_workers", lambda: None)
    atexit.register(end)
    try:
        yield from stream
    except DataError as error:
        # A worker's error arrives with its traceback in front.
        raise DataError(re.split(r"\n[\w.]+Error: ", str(error).strip())[-1]) from error
    finally:
        atexit.unregister(end)
        end()


def _draw(seed: int, number: int) -> tuple[int, int, int, int]:
    """Four independent whole numbers of 64 bits, by a hash: fast, and the same in every version of every library."""
    digest = hashlib.blake2b(struct.pack("<qq", seed, number), digest_size=32).digest()
    return struct.unpack("<4Q", digest)


def _cut(picture: np.ndarray, top: int, left: int, side: int, symmetry: int) -> np.ndarray:
    """A square of an H x W x C picture under one of the eight symmetries, C x side x side, as a view."""
    square = picture[top : top + side, left : left + side].transpose(2, 0, 1)
    if symmetry & 1:
        square = square[:, ::-1]
    if symmetry & 2:
        square = square[:, :, ::-1]
    return square.transpose(0, 2, 1) if symmetry & 4 else square


def _unchanged(batch: Any) -> Any:
    return batch


def _ignore_interrupts(_worker: int) -> None:
    """Leave signals to the main process, which needs its workers until it has written its checkpoint."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
