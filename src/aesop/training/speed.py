"""Time and memory of an iteration, without changing its equations: compiled networks, gradient checkpointing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from aesop.autoencoder import AutoEncoder
from aesop.errors import RunError
from aesop.losses.aesop import AESOPLoss
from aesop.training.perceptual import PerceptualStage
from aesop.training.stage import Stage
from aesop.words import first_line


def compile_networks(stage: Stage, mode: str) -> None:
    """Compile, in place, what a stage runs in every iteration: its network, average, and losses that have a network.

    Parameters keep their names. A discriminator stays as it is: two backward passes go through its graph, each for half
    of the gradients, and a compiled one would compute both halves. SPSR's generator stays, too: it is called by another
    method than `forward`. Raises RunError where torch cannot compile.
    """
    try:
        torch.compile(torch.neg)(torch.zeros(1, device=stage.fabric.device))
    except Exception as error:  # compilers fail in many ways
        raise RunError(f"compile: torch cannot compile on this machine ({first_line(error)}); leave it out.") from error
    parts = [stage.network]
    if isinstance(stage, PerceptualStage):  # in the others only validations run the average
        parts += [stage.result, *stage.losses.values()]
    for part in parts:
        if isinstance(part, AutoEncoder):
            part.encoder.compile(mode=mode)
            part.decoder.compile(mode=mode)
        elif isinstance(part, nn.Module):
            part.compile(mode=mode)


def checkpoint_stage(stage: Stage) -> None:
    """Keep less for gradients, of the network that is trained and of the frozen auto-encoder."""
    checkpoint_blocks(stage.network)
    for loss in stage.losses.values() if isinstance(stage, PerceptualStage) else ():
        if isinstance(loss, AESOPLoss):
            checkpoint_blocks(loss.autoencoder)


def checkpoint_blocks(network: nn.Module) -> None:
    """Let a network keep its blocks' inputs alone for their gradients, and run each block again when it is due.

    The blocks are those of the longest chain by parameters; one of single layers, which would keep no less, stays.
    """
    chains = [part for part in network.modules() if isinstance(part, nn.Sequential | nn.ModuleList) and len(part) > 1]
    for block in max(chains, key=lambda chain: sum(map(torch.numel, chain.parameters())), default=()):
        if any(True for _ in block.children()):
            norms = [layer for layer in block.modules() if isinstance(layer, _BatchNorm)]
            block.forward = partial(_run_twice, block.forward, norms)


def _run_twice(forward: Callable[..., Any], norms: list[_BatchNorm], *inputs: Any) -> Any:
    if not norms:  # a compiler does not know the contexts
        return checkpoint(forward, *inputs, use_reentrant=False)
    contexts = lambda: (nullcontext(), _counted_once(norms))  # noqa: E731
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts)


@contextmanager
def _counted_once(norms: list[_BatchNorm]) -> Iterator[None]:
    """Keep batch norm's statistics as they are: they have seen this batch in the first run."""
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, count in before:
            norm.momentum, norm.num_batches_tracked = momentum, count
