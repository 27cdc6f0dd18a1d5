"""Small pictures of one size that wait for the network at the same time, in one batch: for accelerators.

On a CPU a batch costs as much as its pictures one by one, and more where it no longer fits into the processor's cache.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future

import torch
from torch import Tensor

#: LR pixels of a batch at the most: those of one picture that is run whole.
MOST_PIXELS = 512 * 512


def pays(device: torch.device) -> bool:
    """Whether batches are worth while on `device`."""
    return device.type != "cpu"


class Batches:
    """An engine for many threads: `run` takes what they ask for in batches, in the one thread of `network`."""

    def __init__(self, run: Callable[[Tensor], Tensor], network: Executor) -> None:
        self.run, self.network = run, network
        self._waiting: list[tuple[Tensor, Future[Tensor]]] = []
        self._lock = threading.Lock()

    def __call__(self, images: Tensor) -> Tensor:
        """Upscale (N, 3, h, w); raises what `run` raises of these images alone."""
        result: Future[Tensor] = Future()
        with self._lock:
            self._waiting.append((images, result))
        self.network.submit(self._serve)
        return result.result()

    def _serve(self) -> None:
        batch, pixels = [], 0
        with self._lock:
            for images, _ in list(self._waiting):
                pixels += images[:, 0].numel()
                if batch and (images.shape[1:] != batch[0][0].shape[1:] or pixels > MOST_PIXELS):
                    break
                batch.append(self._waiting.pop(0))
        if batch:  # else another's batch took it along
            self._finish(batch)

    def _finish(self, batch: list[tuple[Tensor, Future[Tensor]]]) -> None:
        images, results = zip(*batch, strict=True)
        try:
            outputs = self.run(images[0] if len(images) == 1 else torch.cat(images)).split([len(one) for one in images])
        except Exception as error:
            if len(batch) == 1:
                results[0].set_exception(error)
                return
            for one in batch:  # memory may suffice for each
                self._finish([one])
            return
        for output, result in zip(outputs, results, strict=True):
            result.set_result(output)
