"""Generators in the formats of other runtimes: ONNX, OpenVINO and ncnn, for pictures of every size.

All three trace the network. What a trace takes for a constant (a padding, the number of windows) is wrong at other
sizes: whoever converts compares with torch at another size than EXAMPLE.
"""

from __future__ import annotations

import copy
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aesop.errors import MissingExtraError, ModelError
from aesop.words import first_line

#: The size of what networks are traced with: odd, so that those which pad are seen padding.
EXAMPLE = (41, 51)
#: Seconds that pnnx may take: minutes for networks of hundreds of layers.
PATIENCE = 600


def require_packages(feature: str, extra: str, *packages: str) -> None:
    """Raise MissingExtraError, which names `extra`, where a package of `packages` is not installed."""
    if not all(find_spec(package) for package in packages):
        raise MissingExtraError(feature, extra)


def write_onnx(model: nn.Module, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write `model` to one ONNX file with input `lr` (n, 3, h, w) and output `sr`, all sizes but 3 being free.

    Raises ModelError where the network cannot be converted, MissingExtraError without the extra `onnx`.
    """
    require_packages("ONNX", "onnx", "onnx", "onnxruntime")
    onnx = import_module("onnx")

    axes = {"lr": {0: "n", 2: "h", 3: "w"}, "sr": {0: "n", 2: "sh", 3: "sw"}}
    with _conversion("ONNX"):
        # The exporter by tracing writes one file and takes a twentieth of the other's time.
        torch.onnx.export(
            _traceable(model), (_example(),), str(path), input_names=["lr"], output_names=["sr"],
            dynamic_axes=axes, opset_version=17, dynamo=False,
        )  # fmt: skip
        written = onnx.load(path)
        onnx.helper.set_model_props(written, metadata or {})
        onnx.save(written, path)


def openvino_model(model: nn.Module) -> Any:
    """Convert `model` to an `openvino.Model` of (n, 3, h, w) in float32; raises as `write_onnx` does."""
    require_packages("OpenVINO", "openvino", "openvino")
    openvino = import_module("openvino")

    with _conversion("OpenVINO"):
        return openvino.convert_model(
            _traceable(model), example_input=_example(), input=[openvino.PartialShape([-1, 3, -1, -1])]
        )


def write_ncnn(model: nn.Module, folder: Path, patience: float = PATIENCE) -> tuple[Path, Path]:
    """Write `model` in float32 to `folder` for ncnn, by pnnx: its .param and .bin file, blobs `in0` and `out0`.

    Raises as `write_onnx` does.
    """
    require_packages("ncnn", "ncnn", "ncnn", "pnnx")
    pnnx = import_module("pnnx")

    traced = folder / "model.pt"
    height, width = EXAMPLE
    with _conversion("ncnn"):
        torch.jit.save(torch.jit.trace(_traceable(model), _example(), check_trace=False), traced)
        shapes = (f"inputshape{k}=[1,3,{height + 16 * i},{width + 24 * i}]f32" for i, k in enumerate(("", "2")))
        command = [pnnx.EXEC_PATH, traced.name, *shapes, "fp16=0"]
        subprocess.run(
            command, cwd=folder, timeout=patience, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        files = folder / "model.ncnn.param", folder / "model.ncnn.bin"
        if not all(file.is_file() for file in files):
            raise ValueError("pnnx wrote no files")
    return files


def _example() -> Tensor:
    return torch.rand(1, 3, *EXAMPLE, generator=torch.Generator().manual_seed(0))


def _traceable(model: nn.Module) -> nn.Module:
    """Copy `model` to the CPU: converters leave their marks on it."""
    return copy.deepcopy(model).cpu().eval()


@contextmanager
def _conversion(format: str) -> Iterator[None]:
    """Without gradients and warnings; whatever a converter raises becomes a ModelError."""
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # converters raise all sorts of things on operations that they do not know
        raise ModelError(f"this network cannot be converted to {format} ({first_line(error)[:200]}).") from error
