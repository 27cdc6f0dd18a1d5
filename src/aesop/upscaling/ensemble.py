"""Self-ensemble (Timofte et al. 2016): the mean over the eight flips and rotations of a picture."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Ensemble:
    """An engine that runs another on all eight orientations of its input, one after the other."""

    def __init__(self, engine: Callable[[Tensor], Tensor]) -> None:
        self.engine = engine

    def __call__(self, images: Tensor) -> Tensor:
        """Map (N, 3, h, w) to the mean of eight outputs, each turned back."""
        outputs = []
        for turns in range(4):
            for flipped in (False, True):
                turned = images.rot90(turns, (2, 3))
                output = self.engine((turned.flip(3) if flipped else turned).contiguous())
                outputs.append((output.flip(3) if flipped else output).rot90(-turns, (2, 3)))
        return torch.stack(outputs).mean(dim=0)
