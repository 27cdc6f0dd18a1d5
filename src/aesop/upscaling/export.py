"""Generators as files of other programs: ONNX, safetensors, ncnn, OpenVINO, checked against torch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from aesop.box import resolved
from aesop.errors import AesopError, ModelError
from aesop.files import atomic_path, require_writable
from aesop.networks.loading import LoadedGenerator, load_generator
from aesop.networks.spandrel_any import read_by_spandrel
from aesop.networks.state_dicts import WeightsFile, write_tensors
from aesop.run import Run
from aesop.upscaling.convert import openvino_model, write_ncnn, write_onnx
from aesop.upscaling.engines import ncnn, onnx, openvino
from aesop.upscaling.engines.choose import agreement
from aesop.upscaling.tiles import made_up_picture

#: The sizes, (h, w), at which a file is compared with torch: multiples of a window's side, and odd.
SIZES = ((48, 64), (37, 29))
#: The least PSNR in dB between a file's output and torch's.
LEAST = 80.0
#: The suffix of each format's file; ncnn's and OpenVINO's have a .bin of the same name beside it.
SUFFIXES = {"onnx": ".onnx", "safetensors": ".safetensors", "ncnn": ".param", "openvino": ".xml"}


@dataclass(frozen=True)
class Exported:
    """The files that were written, and their PSNR in dB from torch; of safetensors, whether spandrel reads them."""

    files: tuple[Path, ...]
    agreement: float
    spandrel: bool | None = None


def export(model: Path | str, to: str, output: Path | str | None = None) -> Exported:
    """Write the generator of a model file or run folder as `onnx`, `safetensors`, `ncnn` or `openvino`.

    The files take pictures (n, 3, h, w) in [0, 1] of every size from 16 pixels on (ncnn's one at a time, without n) and
    return them upscaled, not clamped, as `lr` and `sr` (ncnn: `in0` and `out0`). They are compared with torch at two
    sizes before they are put in place. `output` unset is a file of the model's name in the current folder.

    Raises ModelError for a model that cannot be read or converted, or whose file does not agree with torch;
    MissingExtraError without the extra of that name; RunError where `output` cannot be written.
    """
    if to not in SUFFIXES:
        raise AesopError(f"--to {to}: no such format; there are {', '.join(SUFFIXES)}.")
    model = Path(model)
    file = WeightsFile.read(model, Run.generator)
    target = Path(output) if output is not None else Path(f"{_name(model)}{SUFFIXES[to]}")
    if target.suffix != SUFFIXES[to]:
        raise ModelError(f"{target}: is no name for {to}; end it in {SUFFIXES[to]}.")
    targets = [target] if to in ("onnx", "safetensors") else [target.with_suffix(".bin"), target]
    for path in targets:
        if path.resolve() == file.path.resolve():
            raise ModelError(f"{path}: is the model itself; name another --output.")
        require_writable(path)
    loaded = load_generator(file)
    spandrel = None
    with TemporaryDirectory() as folder:
        if to == "safetensors":
            path = Path(folder) / "model.safetensors"
            spandrel = _write_safetensors(file, loaded, path)
            written, run = [path], _in_torch(load_generator(path).model)
        else:
            written, run = _WRITERS[to](loaded, Path(folder))
        decibels = compare(run, loaded.model)
        if decibels < LEAST:
            raise ModelError(
                f"{model}: as {to}, this network gives other pictures than in torch ({decibels:.0f} dB at the worst of "
                "two sizes); nothing was written."
            )
        for source, path in zip(written, targets, strict=True):
            with atomic_path(path) as temporary:
                shutil.copyfile(source, temporary)
    return Exported(tuple(targets[::-1]), decibels, spandrel)


def compare(run: Callable[[Tensor], Tensor], model: nn.Module) -> float:
    """Return the lower PSNR in dB between `run` and `model` at the two SIZES; 0 where `run` fails."""
    found = []
    with torch.no_grad():
        for height, width in SIZES:
            images = made_up_picture(height + -height % 16, width + -width % 16)[..., :height, :width].contiguous()
            try:
                found.append(agreement(run(images), model(images)))
            except Exception:  # runtimes raise their own
                found.append(0.0)
    return min(found)


def _name(model: Path) -> str:
    return model.resolve().name if model.is_dir() else resolved(model).stem


def _in_torch(model: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda images: model(images)


def _described(loaded: LoadedGenerator) -> dict[str, str]:
    return {"scale": str(loaded.scale), "architecture": loaded.architecture, "sha256": loaded.sha256}


def _onnx(loaded: LoadedGenerator, folder: Path) -> tuple[list[Path], Callable[[Tensor], Tensor]]:
    path = folder / "model.onnx"
    write_onnx(loaded.model, path, _described(loaded))
    return [path], onnx.session(path)


def _openvino(loaded: LoadedGenerator, folder: Path) -> tuple[list[Path], Callable[[Tensor], Tensor]]:
    converted = openvino_model(loaded.model)
    for key, value in _described(loaded).items():
        converted.set_rt_info(value, ["aesop", key])
    path = folder / "model.xml"
    openvino.save(converted, path)
    return [path.with_suffix(".bin"), path], openvino.compiled(path)


def _ncnn(loaded: LoadedGenerator, folder: Path) -> tuple[list[Path], Callable[[Tensor], Tensor]]:
    param, weights = write_ncnn(loaded.model, folder)
    return [weights, param], ncnn.opened(param, weights)


_WRITERS = {"onnx": _onnx, "openvino": _openvino, "ncnn": _ncnn}


def _write_safetensors(file: WeightsFile, loaded: LoadedGenerator, path: Path) -> bool:
    """Write the parameters as the file names them, or as spandrel does where it reads those alone.

    Returns whether spandrel, and with it other programs, reads what was written as the same network.
    """
    states = [file.state, loaded.model.state_dict()]
    read = next((state for state in states if spandrel_reads(state, loaded.model)), None)
    state = file.state if read is None else read
    # A copy of each: parameters may share memory, which safetensors does not store.
    write_tensors(path, {key: value.clone() for key, value in state.items()}, _texts(file.path))
    return read is not None


def spandrel_reads(state: dict[str, Tensor], model: nn.Module) -> bool:
    """Tell whether spandrel, and with it other programs, reads these parameters as the network `model`."""
    try:
        return compare(_in_torch(read_by_spandrel(state).model.eval().float()), model) >= LEAST
    except ValueError:
        return False


def _texts(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself, word for word."""
    with suppress(SafetensorError), safe_open(path, "pt") as file:
        return file.metadata() or {}
    return {}
