"""Ncnn on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from aesop.errors import ModelError
from aesop.upscaling.convert import write_ncnn

#: Seconds that a conversion may take before the engine is given up: so many, and more for every million parameters.
#: RRDB of 23 blocks took 130 s on two cores.
PATIENCE, PER_MILLION = 30, 20


def build(bfloat16: bool, model: nn.Module, _: torch.device) -> Callable[[Tensor], Tensor]:
    """Run `model` with ncnn, one image at a time, on as many threads as torch uses; in float32 or bfloat16 storage."""
    with TemporaryDirectory() as folder:
        return opened(*write_ncnn(model, Path(folder), setup(model)), bfloat16=bfloat16)


def setup(model: nn.Module) -> float:
    """Return the seconds that it may take to convert `model`."""
    return PATIENCE + PER_MILLION * sum(parameter.numel() for parameter in model.parameters()) / 1e6


def opened(param: Path, weights: Path, *, bfloat16: bool = False) -> Callable[[Tensor], Tensor]:
    """Open what `write_ncnn` wrote. Raises ModelError where ncnn cannot read it or, when called, run it."""
    ncnn = import_module("ncnn")
    network = ncnn.Net()
    network.opt.use_vulkan_compute = False
    network.opt.num_threads = torch.get_num_threads()
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
        setattr(network.opt, name, False)
    network.opt.use_bf16_storage = bfloat16
    if network.load_param(str(param)) or network.load_model(str(weights)):
        raise ModelError(f"{param.name}: ncnn cannot read it; this network needs layers that it does not have.")

    def run(images: Tensor) -> Tensor:
        results = []
        for image in images:
            extractor = network.create_extractor()
            array = image.contiguous().numpy()
            extractor.input("in0", ncnn.Mat(array))  # which does not keep the array alive
            status, output = extractor.extract("out0")
            if status:
                raise ModelError("ncnn cannot run this network.")
            results.append(torch.from_numpy(np.array(output)))
        return torch.stack(results)

    return run
