"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from aesop.upscaling.convert import write_onnx


def build(model: nn.Module, _: torch.device) -> Callable[[Tensor], Tensor]:
    """Run `model` with ONNX Runtime, on as many threads as torch uses."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write_onnx(model, path)
        return session(path)


def session(path: Path) -> Callable[[Tensor], Tensor]:
    """Open an ONNX file that `write_onnx` wrote."""
    onnxruntime = import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    opened = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(opened.run(None, {"lr": images.contiguous().numpy()})[0])
