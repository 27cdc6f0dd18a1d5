"""OpenVINO on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aesop.upscaling.convert import openvino_model


def build(precision: str, model: nn.Module, _: torch.device) -> Callable[[Tensor], Tensor]:
    """Run `model` with OpenVINO, on as many threads as torch uses, computing in `precision` (`f32` or `bf16`)."""
    return compiled(openvino_model(model), precision)


def compiled(converted: Any, precision: str = "f32") -> Callable[[Tensor], Tensor]:
    """Compile an `openvino.Model`, or the .xml file of one, for the CPU."""
    openvino = import_module("openvino")
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    network = openvino.Core().compile_model(converted, "CPU", settings)
    return lambda images: torch.from_numpy(network([images.contiguous().numpy()])[0].copy())


def save(converted: Any, path: Path) -> None:
    """Write an `openvino.Model` in float32 to a .xml file and the .bin beside it."""
    import_module("openvino").save_model(converted, path, compress_to_fp16=False)
