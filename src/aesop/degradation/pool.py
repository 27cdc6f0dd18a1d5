"""Real-ESRGAN's pool of training pairs, from which a batch gets pairs of different degradations."""

from __future__ import annotations

import torch
from torch import Tensor

from aesop.data.pictures import to_float, to_levels
from aesop.degradation.draws import Draws


class PairPool:
    """Exchange the pairs of a batch, which share a resizing factor and more, for pairs of earlier batches.

    Until it holds `size` pairs, it copies each batch and passes it through; then it swaps each batch for as many random
    pairs (Real-ESRGAN, realesrgan/models/realesrgan_model.py, _dequeue_and_enqueue). Pairs are kept as 8-bit levels,
    which LR images and HR crops of pictures are. `size` 0 passes all batches through.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._lr = self._hr = torch.empty(0, dtype=torch.uint8)

    def exchange(self, lr: Tensor, hr: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Take pairs (N, 3, h, w) and (N, 3, H, W) in [0, 1]; return as many, these or earlier ones."""
        if not self.size:
            return lr, hr
        free = self.size - len(self._lr)
        if free > 0:
            self._lr, self._hr = (
                torch.cat([kept.to(new.device), to_levels(new[:free])]) if len(kept) else to_levels(new[:free])
                for kept, new in ((self._lr, lr), (self._hr, hr))
            )
            return lr, hr
        chosen = torch.tensor(draws.order(self.size)[: len(lr)], dtype=torch.long, device=lr.device)
        self._lr, lr = _swap(self._lr, lr, chosen)
        self._hr, hr = _swap(self._hr, hr, chosen)
        return lr, hr

    def state_dict(self) -> dict[str, Tensor]:
        """Return copies of the pairs."""
        return {"lr": self._lr.clone(), "hr": self._hr.clone()}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Continue with the pairs of `state_dict`."""
        self._lr, self._hr = state_dict["lr"].clone(), state_dict["hr"].clone()


def _swap(kept: Tensor, new: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Swap the `chosen` images of `kept` with as many of the `new` ones; return both."""
    kept = kept.to(new.device)
    out = torch.cat([to_float(kept[chosen]), new[len(chosen) :]])
    kept[chosen] = to_levels(new[: len(chosen)])
    return kept, out
