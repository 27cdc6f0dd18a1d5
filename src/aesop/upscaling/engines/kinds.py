"""The engines that there are, and what each needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from aesop.device import computes_bfloat16
from aesop.errors import AesopError, MissingExtraError
from aesop.upscaling.engines import ncnn, onnx, openvino, torch_engines

#: A generator that is ready to run: (N, 3, h, w) to (N, 3, scale*h, scale*w), float32 on the CPU, not clamped.
Engine = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class EngineKind:
    """A way to run generators on some devices.

    `build` makes an engine of a model, which it leaves as it is, and a device; it raises ModelError where it cannot.
    `setup` tells the seconds that this may take; `extra` brings `packages`.
    """

    name: str
    build: Callable[[nn.Module, torch.device], Engine]
    fits: Callable[[torch.device], bool]
    setup: Callable[[nn.Module], float] = lambda _: 0.0
    extra: str = ""
    packages: tuple[str, ...] = ()

    @property
    def installed(self) -> bool:
        """Whether the packages are there."""
        return all(find_spec(package) for package in self.packages)


def _everywhere(_: torch.device) -> bool:
    return True


def _on_cpu(device: torch.device) -> bool:
    return device.type == "cpu"


def _on_cpu_bfloat16(device: torch.device) -> bool:
    return _on_cpu(device) and computes_bfloat16(device)


def _seconds(seconds: float) -> Callable[[nn.Module], float]:
    return lambda _: seconds


#: All engines: first the network as it is, which the others are measured against, then those that are soon set up.
KINDS = (
    EngineKind("torch", torch_engines.eager, _everywhere),
    EngineKind("torch-channels-last", torch_engines.channels_last, _everywhere),
    EngineKind("torch-bf16", torch_engines.bfloat16, computes_bfloat16),
    EngineKind("torch-fp16", torch_engines.float16, lambda device: device.type != "cpu"),
    EngineKind("onnx", onnx.build, _on_cpu, _seconds(2), "onnx", ("onnx", "onnxruntime")),
    EngineKind(
        "openvino-bf16", partial(openvino.build, "bf16"), _on_cpu_bfloat16, _seconds(4), "openvino", ("openvino",)
    ),
    EngineKind("openvino", partial(openvino.build, "f32"), _on_cpu, _seconds(4), "openvino", ("openvino",)),
    EngineKind("ncnn", partial(ncnn.build, False), _on_cpu, ncnn.setup, "ncnn", ("ncnn", "pnnx")),
    EngineKind("ncnn-bf16", partial(ncnn.build, True), _on_cpu_bfloat16, ncnn.setup, "ncnn", ("ncnn", "pnnx")),
)


def find_kind(name: str, device: torch.device, kinds: tuple[EngineKind, ...] = KINDS) -> EngineKind:
    """Return the engine `name`; AesopError where there is none, it is not installed or does not run on `device`."""
    kind = next((kind for kind in kinds if kind.name == name), None)
    if kind is None:
        names = ", ".join(["auto", "exact", *(kind.name for kind in kinds)])
        raise AesopError(f"--engine {name}: no such engine; there are {names}.")
    if not kind.fits(device):
        raise AesopError(f"--engine {name}: does not run on this machine's {device.type}; take auto or exact.")
    if not kind.installed:
        raise MissingExtraError(f"--engine {name}", kind.extra)
    return kind
