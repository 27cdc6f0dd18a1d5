"""spandrel's networks made fit for training and for pictures of every size; any of its architectures as a generator."""

from __future__ import annotations

import copy
import difflib
import inspect
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar, get_args

import torch
from pydantic import Field, JsonValue, field_validator, model_validator
from spandrel import MAIN_REGISTRY, Architecture, ImageModelDescriptor, SizeRequirements
from spandrel.architectures.DRCT import DRCT
from spandrel.architectures.RCAN import RCAN
from spandrel.architectures.SPAN import SPAN
from spandrel.architectures.SwinIR import SwinIR
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.networks.fitting import LinspaceOnCPU
from aesop.networks.section import GeneratorSection

Network = TypeVar("Network", bound=nn.Module)

#: What spandrel's constructors call the scale.
SCALE_NAMES = ("scale", "upscale", "up_scale", "upscale_factor", "upscaling_factor")

#: What a constructor, a loader or a forward raises on arguments that do not fit together.
_UNFIT = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def construct(network: Callable[..., Network], **arguments: Any) -> Network:
    """Construct a network of spandrel's with fresh weights, on the meta device too."""
    with LinspaceOnCPU(), warnings.catch_warnings():
        # torch's complaint about how SwinIR calls meshgrid is not the user's business.
        warnings.filterwarnings("ignore", message="torch.meshgrid")
        return network(**arguments)


def prepare(model: Network, requirements: SizeRequirements, scale: int) -> Network:
    """Make a network of spandrel's fit for training and for pictures of every size; returns `model`.

    Args:
        model: fresh, or with a file's parameters.
        requirements: what spandrel says of its input's size.
        scale: what it upscales by.

    """
    if isinstance(model, SPAN):
        # Computed from the others in evaluation mode; without a gradient, they would halt training on many devices.
        for name, parameter in model.named_parameters():
            if ".eval_conv." in name:
                parameter.requires_grad_(False)
    if isinstance(model, RCAN):
        # It scales its input in place.
        model.register_forward_pre_hook(lambda _, inputs: tuple(value.clone() for value in inputs))
    _accept_every_size(model, in_windows(model, requirements), scale)
    return model


def in_windows(model: nn.Module, stated: SizeRequirements) -> SizeRequirements:
    """Return what a network demands of its input's size, its windows included.

    spandrel leaves these to SwinIR itself, which cannot reflect more than it is given, and takes those of every DRCT
    to divide 16.
    """
    if not isinstance(model, SwinIR | DRCT):
        return stated
    side = model.window_size * getattr(model, "start_unshuffle", 1)
    return SizeRequirements(stated.minimum, math.lcm(stated.multiple_of, side))


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


@dataclass(frozen=True)
class _Entry:
    """One network class, by the names that a recipe may give it: its architecture's, unless that has several."""

    names: tuple[str, ...]
    architecture: Architecture[nn.Module]
    network: type[nn.Module]

    @property
    def name(self) -> str:
        """The name that messages give it."""
        return self.names[0]

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """What the constructor takes."""
        return dict(inspect.signature(self.network).parameters)


def _entries() -> list[_Entry]:
    found = []
    for support in MAIN_REGISTRY:
        # `class HATArch(Architecture[HAT])`, or a union of classes.
        for base in getattr(type(support.architecture), "__orig_bases__", ()):
            for argument in get_args(base):
                networks = get_args(argument) or (argument,)
                for network in networks:
                    own = (support.architecture.id, support.architecture.name)
                    found.append(
                        _Entry(own if len(networks) == 1 else (network.__name__,), support.architecture, network)
                    )
    return found


def _entry(name: str) -> _Entry:
    """Find an architecture by its name in spandrel or its class's, whatever the case.

    Raises:
        ValueError: if there is none.

    """
    entries = _entries()
    for entry in entries:
        if name.casefold() in map(str.casefold, entry.names):
            return entry
    names = [entry.name for entry in entries]
    near = difflib.get_close_matches(name.casefold(), [known.casefold() for known in names], cutoff=0.5)
    near += [known.casefold() for known in names if name.casefold() in known.casefold()]
    raise ValueError(
        f"spandrel has no architecture {name}; "
        f"{'the nearest are' if near else 'it has'} "
        f"{', '.join(known for known in names if not near or known.casefold() in near)}"
    )


@dataclass(frozen=True)
class _Facts:
    """What trying a network out says of it."""

    scale: int
    requirements: SizeRequirements
    unused: frozenset[str]


def _build(entry: _Entry, arguments: dict[str, Any], scale: int) -> nn.Module:
    name = next((name for name in SCALE_NAMES if name in entry.parameters), None)
    scales = {} if name is None or any(known in arguments for known in SCALE_NAMES) else {name: scale}
    try:
        return construct(entry.network, **scales, **copy.deepcopy(arguments))
    except _UNFIT as error:
        raise ValueError(f"{entry.name} cannot be built from these arguments ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


@lru_cache
def _try_out(name: str, arguments: str, scale: int) -> _Facts:
    """Find out whether spandrel's network can be trained, and whether a file of it comes back as the same network.

    Raises:
        ValueError: if not.

    """
    entry = _entry(name)
    # Cached or not, the caller's random numbers go on as they were.
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = _build(entry, json.loads(arguments), scale)
        with torch.no_grad():
            # Fresh weights may be zeros behind which a difference hides.
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.02)
        state = {key: value.clone() for key, value in network.state_dict().items()}
        try:
            read = entry.architecture.load(dict(state))
        except _UNFIT as error:
            raise ValueError(
                f"spandrel cannot read files of a {entry.name} with these arguments ({_reason(error)})"
            ) from error
        if not isinstance(read, ImageModelDescriptor) or (read.input_channels, read.output_channels) != (3, 3):
            raise ValueError(f"{entry.name} does not upscale RGB pictures with these arguments")
        requirements = in_windows(read.model, read.size_requirements)
        if read.scale != scale:
            return _Facts(read.scale, requirements, frozenset())
        lr = torch.rand(2, 3, 9, 7)
        models = [prepare(model.eval(), read.size_requirements, read.scale) for model in (network, read.model)]
        try:
            with torch.no_grad():
                built, back = (model(lr) for model in models)
            network.train()
            network(lr).mean().backward()
        except _UNFIT as error:
            raise ValueError(f"{entry.name} cannot be trained with these arguments ({_reason(error)})") from error
    if built.shape != (2, 3, 9 * scale, 7 * scale):
        raise ValueError(f"{entry.name} makes {tuple(built.shape)} of {tuple(lr.shape)} with these arguments")
    if back.shape != built.shape or not torch.allclose(built, back, rtol=1e-3, atol=1e-4 * float(built.abs().max())):
        raise ValueError(
            f"spandrel would read files of this {entry.name} as another network"
            f"{_difference(network, read.model)}; change its arguments"
        )
    unused = frozenset(key for key, parameter in network.named_parameters() if parameter.grad is None)
    return _Facts(scale, requirements, unused)


def _difference(built: nn.Module, read: nn.Module) -> str:
    """Say which arguments spandrel does not find again in a file: `(img_range 1.0 instead of 255.0)`."""
    ours, theirs = (getattr(model, "hyperparameters", {}) for model in (built, read))
    changed = [
        f"{key} {theirs[key]} instead of {value}"
        for key, value in ours.items()
        if key in theirs and json.dumps(theirs[key], default=str) != json.dumps(value, default=str)
    ]
    return f" ({', '.join(changed)})" if changed else ""


class SpandrelConfig(GeneratorSection):
    """Any architecture of spandrel's that upscales RGB pictures and that spandrel reads back as it was."""

    type: Literal["spandrel"]
    architecture: str = Field(description="spandrel's name of it, such as HAT, DAT or RealPLKSR")
    arguments: dict[str, JsonValue] = Field(
        default_factory=dict, description="its constructor's; the scale is the recipe's, unless it is among them"
    )

    @field_validator("architecture")
    @classmethod
    def _known(cls, architecture: str) -> str:
        return _entry(architecture).name

    @model_validator(mode="after")
    def _legal(self) -> SpandrelConfig:
        legal = _entry(self.architecture).parameters
        unknown = sorted(self.arguments.keys() - legal.keys())
        if unknown:
            raise ValueError(f"{self.architecture} has no argument {unknown[0]}; it takes {', '.join(legal)}")
        required = {key for key, parameter in legal.items() if parameter.default is parameter.empty}
        missing = sorted(required - self.arguments.keys() - set(SCALE_NAMES))
        if missing:
            raise ValueError(f"{self.architecture} also needs the arguments {', '.join(missing)}")
        return self

    @property
    def multiple(self) -> int:
        """What the sides of an LR crop must be a multiple of, as spandrel states it or as the windows demand."""
        return self._try_out(4).requirements.multiple_of

    def check(self, scale: int) -> None:
        """Refuse what cannot be built, trained, saved and read again, or upscales by another factor."""
        found = self._try_out(scale).scale
        if found != scale:
            upsampler = _entry(self.architecture).parameters.get("upsampler")
            unset = upsampler is not None and upsampler.default == "" and "upsampler" not in self.arguments
            hint = "; set the argument `upsampler`, for example to pixelshuffle" if unset else ""
            raise ValueError(f"{self.architecture} upscales by {found} with these arguments, not by {scale}{hint}")

    def build(self, scale: int) -> nn.Module:
        """Build the network with fresh weights.

        Raises:
            ValueError: as `check` does.

        """
        entry = _entry(self.architecture)
        if torch.get_default_device().type == "meta":
            return _on_meta(entry, self.arguments, scale)
        self.check(scale)
        facts = self._try_out(scale)
        network = _build(entry, self.arguments, scale)
        for name, parameter in network.named_parameters():
            if name in facts.unused:
                parameter.requires_grad_(False)
        return prepare(network, facts.requirements, scale)

    def _try_out(self, scale: int) -> _Facts:
        return _try_out(self.architecture, json.dumps(self.arguments, sort_keys=True), scale)


def _on_meta(entry: _Entry, arguments: dict[str, Any], scale: int) -> nn.Module:
    try:
        return _build(entry, arguments, scale)
    except ValueError:
        # A few constructors look at the values of tensors.
        with torch.device("cpu"):
            return _build(entry, arguments, scale).to("meta")
