"""Networks from files: ours, those of a run folder and whatever spandrel reads.

A file is not trusted: it never causes an import, and what it says of its network must fit its parameters.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from torch import Tensor, nn

from aesop.errors import ModelError
from aesop.networks.generators import GeneratorConfig
from aesop.networks.kinds import kind_of_network
from aesop.networks.rrdb import RRDBNet
from aesop.networks.section import SCALES
from aesop.networks.spandrel_any import arguments_of, prepare, read_by_spandrel
from aesop.networks.spsr import SPSRNet
from aesop.networks.srresnet import MSRResNet, SRResNet, srresnet_from_state
from aesop.networks.state_dicts import WeightsFile, built_to_fit, default_float32, read_state
from aesop.networks.upconv import Reheaded, UpConvNet
from aesop.run import Run


@dataclass(frozen=True)
class LoadedGenerator:
    """A generator in evaluation mode, float32, on the CPU.

    `model` maps (N, 3, h, w) in [0, 1] to (N, 3, scale*h, scale*w), not clamped. `sha256` is that of the file `path`.
    """

    model: nn.Module
    scale: int
    architecture: str
    path: Path
    sha256: str


_SECTION: TypeAdapter[GeneratorConfig] = TypeAdapter(GeneratorConfig)

#: What spandrel or we call the architectures of a recipe's types.
_NAMES = {
    "rrdb": "RRDB",
    "swinir": "SwinIR",
    "drct": "DRCT",
    "srresnet": "SRResNet",
    "srvgg": "RealESRGAN Compact",
    "span": "SPAN",
    "upconv": "UpConv",
}

#: What spandrel does not read, or not in full (it fixes RRDB's growth): name, some of its parameters, constructor.
_OURS = (
    ("RRDB", {"conv_first.weight", "conv_body.weight", "body.0.rdb1.conv1.weight"}, RRDBNet.from_state),
    ("SPSR", {"trunk.conv_first.weight", "branch.conv_first.weight", "fusion.conv_last.weight"}, SPSRNet.from_state),
    ("SPSR", {"model.0.weight", "b_fea_conv.0.weight", "f_HR_conv1.0.weight"}, SPSRNet.from_state),  # as released
    (
        "SRResNet",
        {"conv_first.weight", "body.0.conv1.weight", "upconv1.weight", "conv_last.weight"},
        srresnet_from_state,
    ),
    ("UpConv head", {"body.upsample.conv_skip.weight", "body.upsample.conv_last.weight"}, Reheaded.from_state),
    ("UpConv", {"conv_first.weight", "conv_body.weight", "head.conv_last.weight"}, UpConvNet.from_state),
)


@default_float32()
def load_generator(path: Path | str | WeightsFile) -> LoadedGenerator:
    """Load a generator from a model file, which may have been read already, or a run folder: its perceptual network.

    It is built by what the file records, if it is ours, else by its shapes. Raises ModelError if there is none, it
    cannot be read, no known architecture fits or it is not for RGB images.
    """
    file = path if isinstance(path, WeightsFile) else WeightsFile.read(path, Run.generator)
    model, scale, architecture = _recorded(file) or _ours(file) or _spandrels(file)
    return LoadedGenerator(model.eval().float(), scale, _NAMES.get(architecture, architecture), file.path, file.sha256)


def _recorded(file: WeightsFile) -> tuple[nn.Module, int, str] | None:
    """Build the generator that a file of ours records: (model, scale, type).

    None if it records none, one that spandrel builds, or one of ours that does not fit: its shapes tell. Raises
    ModelError if it records a class of the user's own that has not been imported, or that does not fit.
    """
    section = recorded_section(file.metadata)
    kind = str(section.get("type"))
    module, colon, _ = kind.partition(":")
    if not section or kind in ("spandrel", "upconv-head"):
        return None
    if colon and module not in sys.modules:
        raise ModelError(f"{file.path}: holds a {kind}; import it first (--import {module} on the command line).")
    try:
        scale = file.metadata["recipe"]["scale"]
        if scale not in SCALES:
            raise ValueError(f"scale {scale}")
        config = _SECTION.validate_python(section)
        return built_to_fit(lambda: config.build(scale), file.state), scale, kind
    except Exception as error:  # a user's class may raise anything on what the file says
        if not colon:
            return None
        raise ModelError(f"{file.path}: its parameters are not those of the {kind} that it records.") from error


def _ours(file: WeightsFile) -> tuple[nn.Module, int, str] | None:
    for architecture, marks, from_state in _OURS:
        if marks <= file.state.keys():
            try:
                model = from_state(file.state)
            except (IndexError, KeyError, ValueError, RuntimeError) as error:
                raise ModelError(
                    f"{file.path}: looks like {architecture}, but its parameters do not fit; download it again."
                ) from error
            return model, model.scale, architecture
    return None


def _spandrels(file: WeightsFile) -> tuple[nn.Module, int, str]:
    # The paper's DRCT files hold 1x1 convolutions as matrices.
    adjust = re.compile(r"layers\.\d+\.adjust\d\.weight")
    state = {
        key: value[..., None, None] if adjust.fullmatch(key) and value.dim() == 2 else value
        for key, value in file.state.items()
    }
    kind = kind_of_network(state)
    if not kind.startswith("a generator"):
        raise ModelError(f"{file.path} is {kind}; a generator is expected here.")
    try:
        read = read_by_spandrel(state)
    except ValueError as error:
        raise ModelError(f"{file.path} looks like {kind}, but {error}.") from error
    return prepare(read.model.eval(), read.size_requirements, read.scale), read.scale, read.architecture.name


def generator_section(path: Path | str) -> dict[str, Any]:
    """Return the section `generator` of a recipe that builds the network of a model file or of a run's fidelity stage.

    Raises ModelError if there is none, or its settings cannot be told from the file.
    """
    file = WeightsFile.read(Path(path), lambda run: run.stage("fidelity").network)
    if section := recorded_section(file.metadata):
        return section
    loaded = load_generator(file)
    model = loaded.model
    if isinstance(model, MSRResNet | SRResNet):
        sizes = {"features": model.conv_first.out_channels, "blocks": len(model.body)}
        return {"type": "srresnet", **sizes, "norm": isinstance(model, SRResNet)}
    if isinstance(model, UpConvNet):
        last = model.head.conv_last.in_channels
        return {"type": "upconv", "features": model.conv_first.out_channels, "blocks": len(model.body), "head": last}
    if isinstance(model, RRDBNet) and model.unshuffle == 1:
        growth = next(model.body.parameters()).shape[0]
        return {"type": "rrdb", "features": model.conv_first.out_channels, "blocks": len(model.body), "growth": growth}
    if not hasattr(model, "hyperparameters"):
        raise ModelError(f"{path}: does not tell its network's settings; write the recipe's section `generator`.")
    return {"type": "spandrel", "architecture": loaded.architecture, "arguments": arguments_of(model)}


def load_discriminator(discriminator: nn.Module, path: Path | str) -> None:
    """Load a file, ours or a released one, into a built discriminator, strictly.

    Raises ModelError if the file cannot be read, or is of another type, width or crop.
    """
    setting = "perceptual.discriminator_weights"
    try:
        state = read_state(path)
    except ModelError as error:
        raise ModelError(f"{setting}: {error}") from error
    try:
        discriminator.load_state_dict(state)
    except RuntimeError as error:
        kind = kind_of_network(state)
        if kind.startswith(("an ", "a generator")):
            raise ModelError(f"{setting}: {path} is {kind}; a discriminator is expected here.") from error
        held, wanted = _shapes(state), _shapes(discriminator.state_dict())
        key = next(key for key in (*wanted, *held) if held.get(key) != wanted.get(key))
        raise ModelError(
            f"{setting}: {path} is of another discriminator ({key} is {held.get(key, 'missing')} instead of "
            f"{wanted.get(key, 'absent')}); name a file that fits perceptual.crop and the section "
            "perceptual.discriminator, or change these."
        ) from error


def _shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}


def recorded_section(metadata: dict[str, Any]) -> dict[str, Any]:
    """Find the section of a stage's network, the decoder's for an auto-encoder; {} if a file records none."""
    recipe, stage = metadata.get("recipe"), metadata.get("stage")
    if not isinstance(recipe, dict):
        return {}
    part, key = recipe.get(str(stage)), "decoder" if stage == "autoencoder" else "generator"
    own = part.get(key) if isinstance(part, dict) else None
    section = own or recipe.get("generator")
    return section if isinstance(section, dict) else {}


def recorded_module(metadata: dict[str, Any]) -> str | None:
    """Name the user's module that a file of ours says its network, or its auto-encoder's decoder, is from."""
    module, colon, _ = str(recorded_section(metadata).get("type")).partition(":")
    return module if colon else None
