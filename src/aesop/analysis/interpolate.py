"""Networks between two networks: the dial between fidelity and perception (network interpolation, ESRGAN)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from aesop.errors import ModelError
from aesop.files import printable, require_writable
from aesop.networks.loading import load_generator
from aesop.networks.state_dicts import read_metadata, read_state, write_state

#: What a file says of itself that is no longer true of a mixture.
_OF_ONE_NETWORK = ("iteration", "measured")


def interpolate(first: Mapping[str, Tensor], second: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return (1 - share) * first + share * second, parameter by parameter, in the wider of the two types.

    Exactly `first` for share 0 and `second` for 1. Whole numbers (counters, index tables) are `first`'s below a half,
    else `second`'s.

    Raises:
        ValueError: if names or shapes differ; the message says in what.

    """
    odd = sorted(first.keys() ^ second.keys())
    odd += [name for name, value in first.items() if name in second and value.shape != second[name].shape]
    if odd:
        raise ValueError(f"they differ in {odd[0]}" + (f" and {len(odd) - 1} more" if len(odd) > 1 else ""))
    mixed = {}
    for name, value in first.items():
        if value.is_floating_point():
            wider = torch.promote_types(value.dtype, second[name].dtype)
            mixed[name] = value.double().lerp(second[name].double(), share).to(wider)
        else:
            mixed[name] = value if share < 0.5 else second[name]
    return mixed


def interpolate_files(first: Path, second: Path, share: float, output: Path) -> None:
    """Write the network between two model files (or run folders), as safetensors, atomically.

    What a file of ours says of itself is kept, so that the mixture loads as its parents do; `interpolation` is added.

    Args:
        first: the network of share 0, such as a fidelity network.
        second: the network of share 1, such as a perceptual network; of the same architecture.
        share: 0 to 1. Beyond them lie no networks that anything was trained towards.
        output: the .safetensors file.

    Raises:
        ModelError: if a file cannot be loaded, architectures differ, the share is not in [0, 1] or the output would
            replace a parent.
        RunError: if the output cannot be written.

    """
    if not 0 <= share <= 1:
        raise ModelError(f"--share {share:g}: is not between 0 (all {first}) and 1 (all {second}); choose one that is.")
    if output.suffix != ".safetensors":
        raise ModelError(f"{output}: cannot write {output.suffix or 'such'} models; end the name in .safetensors.")
    require_writable(output)
    parents = [load_generator(path) for path in (first, second)]
    if output.resolve() in [parent.path.resolve() for parent in parents]:
        raise ModelError(f"{output}: is one of the two networks; name another file.")
    if parents[0].scale != parents[1].scale or parents[0].architecture != parents[1].architecture:
        kinds = " and ".join(f"{parent.architecture} x{parent.scale}" for parent in parents)
        raise ModelError(f"{first} and {second}: are of two architectures, {kinds}; name two of one.")
    try:
        mixed = interpolate(read_state(parents[0].path), read_state(parents[1].path), share)
    except ValueError as error:
        raise ModelError(f"{first} and {second}: are of two architectures, {error}; name two of one.") from error
    kept = next((found for parent in parents[::-1] if "recipe" in (found := read_metadata(parent.path))), {})
    metadata = {name: _value(text) for name, text in kept.items() if name not in _OF_ONE_NETWORK}
    origin = {"first": printable(first), "second": printable(second), "share": share}
    write_state(output, mixed, {**metadata, "interpolation": origin})


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
