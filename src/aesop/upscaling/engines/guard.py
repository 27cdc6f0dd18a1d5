"""A net under engines: what fails on a tile, or comes out black or not as numbers, is redone in eager float32."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from aesop.device import is_out_of_memory
from aesop.upscaling.tiles import STEP

#: Output darker than half an 8-bit level, of input that is brighter than BRIGHT on average, is black.
DARK, BRIGHT = 0.5 / 255, 4 / 255


class Guarded:
    """An engine whose results are looked at. `redone` counts the images that float32 had to make again.

    Float16 ends at 65,504, so that networks with large activations overflow; and what another runtime took for a
    constant may not fit a tile of another size.
    """

    def __init__(self, engine: Callable[[Tensor], Tensor], eager: Callable[[Tensor], Tensor]) -> None:
        self.engine, self.eager = engine, eager
        self.redone = 0

    def __call__(self, images: Tensor) -> Tensor:
        """Upscale `images`; raises what `eager` raises, and what says that memory does not suffice."""
        if min(images.shape[-2:]) < STEP:  # networks pad such images in ways that conversions miss
            return self.eager(images)
        try:
            output = self.engine(images)
        except Exception as error:  # runtimes raise their own
            if is_out_of_memory(error):
                raise
            self.redone += len(images)
            return self.eager(images)
        redone = {}
        for index, (image, result) in enumerate(zip(images, output, strict=True)):
            black = result.max() < DARK and image.mean() > BRIGHT
            if black or not result.isfinite().all():
                redone[index] = self.eager(image[None])[0]
        self.redone += len(redone)
        if not redone:
            return output
        return torch.stack([redone.get(index, result) for index, result in enumerate(output)])
