"""Torch itself: eager float32, channels-last, bfloat16, float16."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn


def eager(model: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Run `model` as it is, in float32."""
    network = copy.deepcopy(model).to(device)
    return torch.inference_mode()(lambda images: network(images.to(device)).cpu())


def channels_last(model: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Run it in float32 with channels innermost, as vector units like it."""
    network = _channels_last(model, device)
    return torch.inference_mode()(lambda images: network(_inner(images.to(device))).cpu().contiguous())


def bfloat16(model: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Run it under bfloat16 autocast, channels last.

    Casting the weights instead is up to 10 % faster, but takes softmax, norms and the sum with the upscaled input to
    bfloat16 too: 57 dB from float32 instead of 72 for an UpConv network.
    """
    network = _channels_last(model, device)

    @torch.inference_mode()
    def run(images: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return network(_inner(images.to(device))).cpu().float().contiguous()

    return run


def float16(model: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Run it in float16, channels last: for accelerators."""
    network = _channels_last(model, device).half()
    return torch.inference_mode()(
        lambda images: network(_inner(images.to(device, torch.float16))).cpu().float().contiguous()
    )


def _channels_last(model: nn.Module, device: torch.device) -> nn.Module:
    return copy.deepcopy(model).to(device=device).to(memory_format=torch.channels_last)


def _inner(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)
