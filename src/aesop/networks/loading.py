"""Generators from files: ours, those of a run folder, and whatever spandrel reads."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError
from torch import Tensor, nn

from aesop.errors import ModelError
from aesop.networks.recorded import recorded_generator
from aesop.networks.rrdb import RRDBNet
from aesop.networks.spandrel_any import prepare
from aesop.networks.spsr import SPSRNet, is_spsr
from aesop.networks.srresnet import is_srresnet, srresnet_from_state
from aesop.networks.state_dicts import read_metadata, read_state
from aesop.run import Run


@dataclass(frozen=True)
class LoadedGenerator:
    """A generator in evaluation mode, float32, on the CPU.

    `model` maps (N, 3, h, w) in [0, 1] to (N, 3, scale*h, scale*w), not clamped.
    """

    model: nn.Module
    scale: int
    architecture: str
    path: Path


def load_generator(path: Path | str) -> LoadedGenerator:
    """Load a generator from a model file, or from a run folder: its perceptual network.

    Raises:
        ModelError: if there is none, it cannot be read, no known architecture fits or it is not for RGB pictures.

    """
    path = Path(path)
    if path.is_dir():
        path = Run(path).generator()
    state = read_state(path)
    if any(key.startswith("decoder.") for key in state) and any("conv_first.0." in key for key in state):
        raise ModelError(f"{path}: is an auto-encoder, not a generator; name a generator here.")
    model, scale, architecture = generator_from_state(state, path, read_metadata(path))
    return LoadedGenerator(model, scale, architecture, path)


def generator_from_state(
    state: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None
) -> tuple[nn.Module, int, str]:
    """Build the generator whose parameters `state` holds: (model, scale, architecture's name).

    RRDB in its present layout is ours, since spandrel fixes its growth, and so are the networks that it lacks; a file
    of ours that records its network is built by that; all else is spandrel's.

    Raises:
        ModelError: naming `path`, if no architecture fits.

    """
    for architecture, recognise, from_state in _OURS:
        if recognise(state):
            try:
                model = from_state(state)
            except (IndexError, KeyError, ValueError, RuntimeError) as error:
                raise ModelError(
                    f"{path}: looks like {architecture}, but its parameters do not fit together."
                ) from error
            return model.eval().float(), model.scale, architecture
    if (recorded := recorded_generator(state, metadata or {}, path)) is not None:
        return recorded
    try:
        descriptor = ModelLoader("cpu").load_from_state_dict(_as_spandrel_wants(state))
    except UnsupportedModelError as error:
        raise ModelError(f"{path}: no architecture known to spandrel has these parameters.") from error
    except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: its parameters do not fit the architecture they look like ({error}).") from error
    if not isinstance(descriptor, ImageModelDescriptor) or descriptor.input_channels != 3:
        raise ModelError(f"{path}: {descriptor.architecture.name} does not upscale RGB pictures.")
    model = prepare(descriptor.model.eval().float(), descriptor.size_requirements, descriptor.scale)
    return model, descriptor.scale, descriptor.architecture.name


def _is_rrdb(state: dict[str, Tensor]) -> bool:
    return {"conv_first.weight", "conv_body.weight", "body.0.rdb1.conv1.weight"} <= state.keys()


#: What spandrel does not know, or knows less of: name, recognition and construction.
_OURS: tuple[tuple[str, Callable[[dict[str, Tensor]], bool], Callable[[dict[str, Tensor]], Any]], ...] = (
    ("RRDB", _is_rrdb, RRDBNet.from_state),
    ("SPSR", is_spsr, SPSRNet.from_state),
    ("SRResNet", is_srresnet, srresnet_from_state),
)


def _as_spandrel_wants(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return `state` with DRCT's 1x1 convolutions, which the paper's files hold as matrices, in four dimensions."""
    adjust = re.compile(r"layers\.\d+\.adjust\d\.weight")
    return {
        key: value[..., None, None] if adjust.fullmatch(key) and value.dim() == 2 else value
        for key, value in state.items()
    }
