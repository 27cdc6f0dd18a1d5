"""Networks between two networks: the dial between fidelity and perception (network interpolation, ESRGAN)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from aesop.box import twins
from aesop.errors import ModelError
from aesop.files import printable, require_writable
from aesop.networks.loading import LoadedGenerator, load_generator, recorded_section
from aesop.networks.state_dicts import WeightsFile, write_state
from aesop.run import Run


def interpolate(first: Mapping[str, Tensor], second: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Return (1 - alpha) * first + alpha * second, parameter by parameter, in the wider of the two types.

    Exactly `first` for alpha 0 and `second` for 1; BatchNorm's running statistics are mixed like parameters. Integers
    (counters, index tables) are `first`'s below a half, else `second`'s. Raises ValueError, which says where, if names,
    shapes or kinds of number differ.
    """
    forms = [{key: (value.shape, value.is_floating_point()) for key, value in one.items()} for one in (first, second)]
    if odd := sorted({key for key, _ in forms[0].items() ^ forms[1].items()}):
        raise ValueError(f"they differ in {odd[0]}" + (f" and {len(odd) - 1} more" if len(odd) > 1 else ""))
    mixed = {}
    for name, value in first.items():
        if value.is_floating_point():
            wider = torch.promote_types(value.dtype, second[name].dtype)
            mixed[name] = value.double().lerp(second[name].double(), alpha).to(wider)
        else:
            mixed[name] = value if alpha < 0.5 else second[name]
    return mixed


def interpolate_files(first: Path | str, second: Path | str, alpha: float, output: Path | str) -> None:
    """Write (1 - alpha) * first + alpha * second of two model files or run folders to a .safetensors file, atomically.

    The file records its two parents, and the section that builds it if they do. The same call always writes the same
    bytes. Raises ModelError if a file cannot be loaded, architectures differ, alpha is not in [0, 1] or the output
    would replace a parent; RunError if the output cannot be written.
    """
    interpolate_to_files(Path(first), Path(second), {Path(output): alpha})


def ends_of_dial(model: Path | str) -> tuple[Path, Path] | None:
    """The fidelity and the perceptual network of a run's folder, or of a name in the box; None where one is missing."""
    if not Path(model).is_dir():
        return twins(model)
    fidelity, perceptual = Run(model).fidelity(), Run(model).stage("perceptual").network
    return (fidelity, perceptual) if fidelity and fidelity.is_file() and perceptual.is_file() else None


def load_between(model: Path | str, alpha: float) -> LoadedGenerator:
    """Load the network between a fidelity network (alpha 0) and its perceptual one (1), of a run or in the box.

    Raises ModelError where `model` is neither the folder of a run with both nor the name of such twins.
    """
    files = ends_of_dial(model)
    if files is None:
        raise ModelError(
            f"{model}: has no fidelity network beside a perceptual one, which a dial needs; name the folder of a run "
            "with both, or clean-x4."
        )
    first, second = map(WeightsFile.read, files)
    try:
        mixed = interpolate(first.state, second.state, alpha)
    except ValueError as error:
        raise ModelError(f"{model}: its networks are of two architectures, {error}; name another run.") from error
    if alpha in (0, 1):
        return load_generator((first, second)[int(alpha)])
    sha256 = hashlib.sha256(f"{first.sha256} {second.sha256} {alpha:.6f}".encode()).hexdigest()
    return load_generator(replace(second, state=mixed, sha256=sha256))


def interpolate_to_files(first: Path, second: Path, alphas: Mapping[Path, float]) -> None:
    """Write several networks between two, a file an alpha, as `interpolate_files` does one; the two are read once."""
    for output, alpha in alphas.items():
        if not 0 <= alpha <= 1:
            raise ModelError(f"alpha {alpha:g}: must be between 0 (all {first}) and 1 (all {second}).")
        if output.suffix != ".safetensors":
            raise ModelError(f"{output}: cannot write {output.suffix or 'such'} models; end the name in .safetensors.")
        require_writable(output)
    files = [WeightsFile.read(path, Run.generator) for path in (first, second)]
    parents = [load_generator(file) for file in files]
    taken = {file.path.resolve() for file in files}
    if (replaced := next((output for output in alphas if output.resolve() in taken), None)) is not None:
        raise ModelError(f"{replaced}: is one of the two networks; name another file.")
    if parents[0].scale != parents[1].scale or parents[0].architecture != parents[1].architecture:
        kinds = " and ".join(f"{parent.architecture} x{parent.scale}" for parent in parents)
        raise ModelError(f"{first} and {second}: are of two architectures, {kinds}; name two of one.")
    origin = {
        name: {"path": printable(given), "sha256": file.sha256}
        for name, given, file in zip(("first", "second"), (first, second), files, strict=True)
    }
    section = next(filter(None, (recorded_section(file.metadata) for file in files[::-1])), None)
    record = {"recipe": {"scale": parents[0].scale, "generator": section}, "stage": "interpolation"} if section else {}
    for output, alpha in alphas.items():
        try:
            mixed = interpolate(files[0].state, files[1].state, alpha)
        except ValueError as error:
            raise ModelError(f"{first} and {second}: are of two architectures, {error}; name two of one.") from error
        write_state(output, mixed, {**record, "interpolation": {**origin, "alpha": alpha}})
