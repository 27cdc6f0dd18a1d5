"""Generators from files: ours, those of a run folder, and whatever spandrel reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spandrel import ImageModelDescriptor, ModelLoader, SizeRequirements, UnsupportedModelError
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.errors import ModelError
from aesop.networks.rrdb import RRDBNet
from aesop.networks.state_dicts import read_state

#: A run folder's network: the end of its last stage.
RUN_GENERATOR = "perceptual/generator.safetensors"


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
        path = _of_run(path)
    state = read_state(path)
    if any(key.startswith("decoder.") for key in state) and any("conv_first.0." in key for key in state):
        raise ModelError(f"{path}: is an auto-encoder, not a generator; name a generator here.")
    model, scale, architecture = generator_from_state(state, path)
    return LoadedGenerator(model, scale, architecture, path)


def generator_from_state(state: dict[str, Tensor], path: Path) -> tuple[nn.Module, int, str]:
    """Build the generator whose parameters `state` holds: (model, scale, architecture's name).

    RRDB in its present layout is ours, since spandrel fixes its growth; all else is spandrel's.

    Raises:
        ModelError: naming `path`, if no architecture fits.

    """
    if {"conv_first.weight", "conv_body.weight", "body.0.rdb1.conv1.weight"} <= state.keys():
        try:
            rrdb = RRDBNet.from_state(state)
        except (IndexError, KeyError, ValueError, RuntimeError) as error:
            raise ModelError(f"{path}: looks like RRDB, but its parameters do not fit together.") from error
        return rrdb.eval().float(), rrdb.scale, "RRDB"
    try:
        descriptor = ModelLoader("cpu").load_from_state_dict(dict(state))
    except UnsupportedModelError as error:
        raise ModelError(f"{path}: no architecture known to spandrel has these parameters.") from error
    except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: its parameters do not fit the architecture they look like ({error}).") from error
    if not isinstance(descriptor, ImageModelDescriptor) or descriptor.input_channels != 3:
        raise ModelError(f"{path}: {descriptor.architecture.name} does not upscale RGB pictures.")
    model = descriptor.model.eval().float()
    _accept_every_size(model, descriptor.size_requirements, descriptor.scale)
    return model, descriptor.scale, descriptor.architecture.name


def _accept_every_size(model: nn.Module, requirements: SizeRequirements, scale: int) -> None:
    """Let a network that wants certain sizes take any: its input is padded by reflection, its output cut.

    By hooks, so that the parameters keep their names.
    """
    if requirements.none:
        return
    sizes: list[tuple[int, int]] = []

    def pad(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        lr, *others = inputs
        height, width = lr.shape[-2:]
        sizes.append((height, width))
        right, below = requirements.get_padding(width, height)
        # Reflection cannot reach beyond a tiny picture; its last pixels are repeated there.
        reflected = (0, min(right, width - 1), 0, min(below, height - 1))
        lr = F.pad(lr, reflected, mode="reflect")
        lr = F.pad(lr, (0, right - reflected[1], 0, below - reflected[3]), mode="replicate")
        return (lr, *others)

    def cut(_: nn.Module, __: tuple[Tensor, ...], sr: Tensor) -> Tensor:
        height, width = sizes.pop()
        return sr[..., : height * scale, : width * scale]

    model.register_forward_pre_hook(pad)
    model.register_forward_hook(cut)


def _of_run(folder: Path) -> Path:
    if (folder / RUN_GENERATOR).is_file():
        return folder / RUN_GENERATOR
    if (folder / "run.json").is_file():
        raise ModelError(
            f"{folder}: this run's perceptual network is not finished; train it to the end, or name another of its "
            "files, such as fidelity/generator.safetensors."
        )
    raise ModelError(f"{folder}: is not a run folder (no {RUN_GENERATOR}); name a run or a model file.")
