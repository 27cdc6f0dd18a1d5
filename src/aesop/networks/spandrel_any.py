"""Any architecture of spandrel's as a generator: its network made fit for training and for pictures of every size."""

from __future__ import annotations

import copy
import difflib
import inspect
import json
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache, partial
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import torch
from pydantic import Field, JsonValue, field_validator, model_validator
from spandrel import MAIN_REGISTRY, ImageModelDescriptor, SizeRequirements, UnsupportedModelError
from spandrel.architectures.DRCT import DRCT
from spandrel.architectures.RCAN import RCAN
from spandrel.architectures.SPAN import SPAN
from spandrel.architectures.SwinIR import SwinIR
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.networks.section import GeneratorSection

Network = TypeVar("Network", bound=nn.Module)
Built = TypeVar("Built")

#: What spandrel's constructors call the scale.
SCALE_NAMES = ("scale", "upscale", "up_scale", "upscale_factor", "upscaling_factor")


def construct(network: Callable[..., Built], *arguments: Any, **named: Any) -> Built:
    """Call a constructor of spandrel's without torch's warnings about meshgrid."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.meshgrid")
        return network(*arguments, **named)


def read_by_spandrel(state: dict[str, Tensor]) -> ImageModelDescriptor[nn.Module]:
    """Build the network that spandrel takes these parameters for; raises ValueError if none for RGB pictures fits."""
    try:
        read = construct(MAIN_REGISTRY.load, dict(state))
    except UnsupportedModelError as error:
        raise ValueError("no architecture has these parameters") from error
    except Exception as error:  # loaders trip over unexpected shapes in many ways
        raise ValueError("its parameters do not fit together; download it again") from error
    if not isinstance(read, ImageModelDescriptor) or (read.input_channels, read.output_channels) != (3, 3):
        raise ValueError(f"{read.architecture.name} does not upscale RGB pictures")
    return read


class _BatchNorm(nn.BatchNorm2d):
    """Batch norm, by its running statistics where a batch has one value a channel, as in DAT for one image."""

    def forward(self, input: Tensor) -> Tensor:
        if input[:, 0].numel() > 1:
            return super().forward(input)
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


def prepare(model: Network, requirements: SizeRequirements, scale: int) -> Network:
    """Make a network of spandrel's, fresh or from a file, fit for training and for pictures of every size."""
    if isinstance(model, SPAN):
        # Computed from the others in evaluation mode; without a gradient, they would stop training on many devices.
        for name, parameter in model.named_parameters():
            if ".eval_conv." in name:
                parameter.requires_grad_(False)
    if isinstance(model, RCAN):
        # It scales its input in place.
        model.register_forward_pre_hook(lambda _, inputs: tuple(value.clone() for value in inputs))
    for layer in model.modules():
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = _BatchNorm
    _accept_every_size(model, in_windows(model, requirements), scale)
    return model


def in_windows(model: nn.Module, stated: SizeRequirements) -> SizeRequirements:
    """Return the requirements on a network's input size, those of its windows included."""
    # spandrel leaves these to SwinIR, which cannot reflect more than it is given, and takes those of DRCT to divide 16.
    if not isinstance(model, SwinIR | DRCT):
        return stated
    side = model.window_size * getattr(model, "start_unshuffle", 1)
    return SizeRequirements(stated.minimum, math.lcm(stated.multiple_of, side))


def _accept_every_size(model: nn.Module, requirements: SizeRequirements, scale: int) -> None:
    """Pad the network's input by reflection and cut its output: by hooks, so that the parameters keep their names."""
    if requirements.none:
        return
    sizes: list[tuple[int, int]] = []
    multiple = requirements.multiple_of

    def pad(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        lr, *others = inputs
        height, width = lr.shape[-2:]
        sizes.append((height, width))
        # A trace, which converts networks, keeps a formula, but one branch of a condition.
        if torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
            right, below = -width % multiple, -height % multiple
        else:
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


class _Entry(NamedTuple):
    """A network class of spandrel's: the names that a recipe may give it, and its constructor's parameters."""

    names: tuple[str, ...]
    network: type[nn.Module]
    parameters: dict[str, inspect.Parameter]


@cache
def _entries() -> list[_Entry]:
    found = []
    for architecture in (support.architecture for support in MAIN_REGISTRY):
        # `class HATArch(Architecture[HAT])`, or a union of classes, which then go by their own names.
        for base in getattr(type(architecture), "__orig_bases__", ()):
            networks = [network for argument in get_args(base) for network in get_args(argument) or (argument,)]
            for network in networks:
                names = (architecture.id, architecture.name) if len(networks) == 1 else (network.__name__,)
                found.append(_Entry(names, network, dict(inspect.signature(network).parameters)))
    return found


def _entry(name: str) -> _Entry:
    """Find an architecture by its name in spandrel or its class's, whatever the case; ValueError if there is none."""
    for entry in _entries():
        if name.casefold() in map(str.casefold, entry.names):
            return entry
    names = {entry.names[0].casefold(): entry.names[0] for entry in _entries()}
    near = difflib.get_close_matches(name.casefold(), names, cutoff=0.5)
    near += [known for known in names if name.casefold() in known]
    listed = ", ".join(known for folded, known in names.items() if not near or folded in near)
    raise ValueError(f"spandrel has no architecture {name}; {'the nearest are' if near else 'it has'} {listed}")


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
        return _entry(architecture).names[0]

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
        return self._facts(4).requirements.multiple_of

    def check(self, scale: int) -> None:
        """Raise ValueError for what cannot be built, trained, saved and read again, or upscales by another factor."""
        found = self._facts(scale).scale
        if found != scale:
            upsampler = _entry(self.architecture).parameters.get("upsampler")
            unset = upsampler is not None and upsampler.default == "" and "upsampler" not in self.arguments
            hint = "; set the argument `upsampler`, for example to pixelshuffle" if unset else ""
            raise ValueError(f"{self.architecture} upscales by {found} with these arguments, not by {scale}{hint}")

    def build(self, scale: int) -> nn.Module:
        self.check(scale)
        facts = self._facts(scale)
        network = _build(self.architecture, self.arguments, scale)
        for name in facts.unused:
            network.get_parameter(name).requires_grad_(False)
        return prepare(network, facts.requirements, scale)

    def _facts(self, scale: int) -> _Facts:
        return _try_out(self.architecture, json.dumps(self.arguments, sort_keys=True), scale)


class _Facts(NamedTuple):
    """Properties of a network, found by running it; `unused` are parameters that no output depends on."""

    scale: int
    requirements: SizeRequirements
    unused: frozenset[str] = frozenset()


@lru_cache
def _try_out(name: str, arguments: str, scale: int) -> _Facts:
    """Build a network, train it for a step, and read it back as a file; ValueError if spandrel reads another one."""
    # The caller's random numbers must not depend on whether this is cached.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = _build(name, json.loads(arguments), scale)
        with torch.no_grad():
            # Fresh weights may be zeros behind which a difference hides.
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.02)
        with _unfit(f"spandrel cannot read files of a {name} with these arguments"):
            read = read_by_spandrel({key: value.clone() for key, value in network.state_dict().items()})
        facts = _Facts(read.scale, in_windows(read.model, read.size_requirements))
        if read.scale != scale:
            return facts
        lr = torch.rand(2, 3, 9, 7)
        with _unfit(f"{name} cannot be trained with these arguments"):
            models = [prepare(model.eval(), read.size_requirements, scale) for model in (network, read.model)]
            with torch.no_grad():
                built, back = (model(lr) for model in models)
            network.train()
            network(lr).mean().backward()
    if built.shape != (2, 3, 9 * scale, 7 * scale):
        raise ValueError(f"{name} makes {tuple(built.shape)} of {tuple(lr.shape)} with these arguments")
    if back.shape != built.shape or not torch.allclose(built, back, rtol=1e-3, atol=1e-4 * float(built.abs().max())):
        raise ValueError(
            f"spandrel would read files of this {name} as another network{_difference(network, read.model)}; "
            "change its arguments"
        )
    return facts._replace(unused=frozenset(key for key, value in network.named_parameters() if value.grad is None))


def _build(name: str, arguments: dict[str, Any], scale: int) -> nn.Module:
    entry = _entry(name)
    key = next((key for key in SCALE_NAMES if key in entry.parameters), None)
    scales = {} if key is None or not arguments.keys().isdisjoint(SCALE_NAMES) else {key: scale}
    with _unfit(f"{name} cannot be built from these arguments"):
        return construct(entry.network, **scales, **copy.deepcopy(arguments))


def arguments_of(network: nn.Module) -> dict[str, Any]:
    """Return the arguments that a network of spandrel's was built with, but for the scale and what is left as it is."""
    legal = inspect.signature(type(network)).parameters
    found: dict[str, Any] = getattr(network, "hyperparameters", {})
    return {key: value for key, value in found.items() if key not in SCALE_NAMES and value != legal[key].default}


def _difference(built: nn.Module, read: nn.Module) -> str:
    """Say which arguments spandrel does not find again in a file: ` (img_range 1.0 instead of 255.0)`."""
    ours, theirs = (getattr(model, "hyperparameters", {}) for model in (built, read))
    both = [(key, value, theirs[key]) for key, value in ours.items() if key in theirs]
    dump = partial(json.dumps, default=str)
    changed = [f"{key} {there} instead of {here}" for key, here, there in both if dump(here) != dump(there)]
    return f" ({', '.join(changed)})" if changed else ""


@contextmanager
def _unfit(message: str) -> Iterator[None]:
    """Raise ValueError with `message` for whatever a constructor, a loader or a forward trips over."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{message} ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    said = next(iter(str(error).strip().splitlines()), "")
    return said if said and type(error) is ValueError else f"{type(error).__name__}: {said}".rstrip(": ")
