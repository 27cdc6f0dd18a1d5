"""SPSR (Ma 2020): an RRDB trunk beside a branch that draws the HR gradient map; both fused into the SR image.

The branch starts from the LR gradient map and reads the trunk's features at four depths. Widths, connections and the
names in released files are those of SPSR's code/models/modules/architecture.py.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.networks.rrdb import RRDB, RRDBNet, conv3x3, count_blocks, initialise_small
from aesop.networks.section import GeneratorSection
from aesop.networks.state_dicts import built_to_fit

#: How many of the trunk's depths the branch reads.
TAPS = 4


def gradient_map(images: Tensor) -> Tensor:
    """M(I), the gradient map of every channel: sqrt((right - left)^2 + (below - above)^2 + 1e-6).

    (N, C, H, W) in [0, 1] to the same shape in [0.001, 1.415]; its gradient is finite everywhere. Zeros lie around the
    images, so that bright borders count as edges (`Get_gradient_nopadding` of SPSR's code).
    """
    padded = F.pad(images, [1] * 4)
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    # The root's slope at zero is infinite (SPSR's code, code/models/SPSR_model.py).
    return (across**2 + down**2 + 1e-6).sqrt()


def upscaler(features: int, doublings: int) -> nn.Sequential:
    """Return layers that make features 2**doublings times as high and wide."""
    layers: list[nn.Module] = []
    for _ in range(doublings):
        layers += [nn.Upsample(scale_factor=2.0), conv3x3(features, features), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, conv3x3(features, features), nn.LeakyReLU(0.2, inplace=True))


class Trunk(nn.Module):
    """RRDBNet, but that its last convolution keeps the width."""

    def __init__(self, features: int, blocks: int, growth: int, doublings: int) -> None:
        super().__init__()
        self.conv_first = conv3x3(3, features)
        self.body = nn.Sequential(*(RRDB(features, growth) for _ in range(blocks)))
        self.conv_body = conv3x3(features, features)
        self.upscaler = upscaler(features, doublings)
        self.conv_last = conv3x3(features, features)
        # After blocks 5, 10, 15 and 20, as in the released code, which has no trunk of fewer than 20 blocks.
        spacing = 5 if blocks >= 20 else round(blocks / (TAPS + 1))
        self.taps = tuple(spacing * (tap + 1) for tap in range(TAPS))

    def forward(self, lr: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Map `lr` to features at HR size, and the features at LR size that the branch reads."""
        x = first = self.conv_first(lr)
        tapped = []
        for number, block in enumerate(self.body, start=1):
            x = block(x)
            if number in self.taps:
                tapped.append(x)
        return self.conv_last(self.upscaler(first + self.conv_body(x))), tapped


class GradientBranch(nn.Module):
    """The LR gradient map and the trunk's features to features of the HR gradient map."""

    def __init__(self, features: int, growth: int, doublings: int) -> None:
        super().__init__()
        self.conv_first = conv3x3(3, features)
        self.blocks = nn.ModuleList(RRDB(2 * features, growth) for _ in range(TAPS))
        self.merges = nn.ModuleList(conv3x3(2 * features, features) for _ in range(TAPS))
        self.conv_body = conv3x3(features, features)
        self.upscaler = upscaler(features, doublings).append(conv3x3(features, features))

    def forward(self, lr_gradient: Tensor, tapped: list[Tensor]) -> Tensor:
        """Map (N, 3, h, w) and features (N, features, h, w) of the trunk to features at HR size."""
        x = first = self.conv_first(lr_gradient)
        for block, merge, trunk in zip(self.blocks, self.merges, tapped, strict=True):
            x = merge(block(torch.cat((x, trunk), dim=1)))
        return self.upscaler(first + self.conv_body(x))


class SPSRNet(nn.Module):
    """(N, 3, h, w) in [0, 1] to (N, 3, scale*h, scale*w), with the HR gradient map as a by-product.

    All weights start small, as in SPSR's code/models/networks.py. Raises ValueError if scale is no power of two, or
    there are fewer than four blocks.
    """

    def __init__(self, scale: int, features: int = 64, blocks: int = 23, growth: int = 32) -> None:
        super().__init__()
        if blocks < TAPS:
            raise ValueError(f"SPSR's branch reads {TAPS} depths of the trunk; give it {TAPS} blocks or more")
        doublings = _doublings(scale)
        self.scale = scale
        self.trunk = Trunk(features, blocks, growth, doublings)
        self.branch = GradientBranch(features, growth, doublings)
        self.to_gradient = nn.Conv2d(features, 3, kernel_size=1)
        self.fusion = nn.Sequential(
            OrderedDict[str, nn.Module](
                block=RRDB(2 * features, growth),
                merge=conv3x3(2 * features, features),
                conv_hr=conv3x3(features, features),
                relu=nn.LeakyReLU(0.2, inplace=True),
                conv_last=conv3x3(features, 3),
            )
        )
        initialise_small(self)

    def forward(self, lr: Tensor) -> Tensor:
        return self._sr_and_structure(lr)[0]

    def sr_and_gradient(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        """Upscale `lr`, and draw the gradient map of the HR image: both (N, 3, scale*h, scale*w)."""
        sr, structure = self._sr_and_structure(lr)
        return sr, self.to_gradient(structure)

    def _sr_and_structure(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        features, tapped = self.trunk(lr)
        structure = self.branch(gradient_map(lr), tapped)
        return self.fusion(torch.cat((structure, features), dim=1)), structure

    def start_from(self, rrdb: RRDBNet) -> None:
        """Copy a fidelity network's layers into the trunk: all but its last, which SPSR has at another width.

        The rest is yet to be trained. Raises ValueError if its width, depth, growth or scale is another.
        """
        trunk, ups = self.trunk, [rrdb.get_submodule(name) for name in rrdb.doublings]
        convolutions = [layer for layer in trunk.upscaler if isinstance(layer, nn.Conv2d)]
        mine = [trunk.conv_first, trunk.body, trunk.conv_body, *convolutions]
        theirs = [rrdb.conv_first, rrdb.body, rrdb.conv_body, *ups, rrdb.conv_hr]
        if _shapes(mine) != _shapes(theirs):
            raise ValueError("SPSR cannot start from an RRDB of another width, depth, growth or scale; make them equal")
        for layer, start in zip(mine, theirs, strict=True):
            layer.load_state_dict(start.state_dict())

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> SPSRNet:
        """Build the network whose parameters `state` holds, ours or a released one, of the sizes that its shapes say.

        Raises IndexError, KeyError, ValueError or RuntimeError if `state` is not an SPSR network's.
        """
        if "model.0.weight" in state:
            state = _translated(state)
        doublings = sum(bool(re.fullmatch(r"trunk\.upscaler\.\d+\.weight", key)) for key in state) - 1
        blocks = count_blocks(state, "trunk.body.")
        features, growth = (state[f"trunk.{name}.weight"].shape[0] for name in ("conv_first", "body.0.rdb1.conv1"))
        return built_to_fit(lambda: cls(2**doublings, features, blocks, growth), state)


#: How the names in released files begin, and ours.
_RELEASED_NAMES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"model\.0\.", "trunk.conv_first."),
    (r"model\.1\.sub\.(\d+)\.RDB", r"trunk.body.\1.RDB"),
    (r"model\.1\.sub\.\d+\.", "trunk.conv_body."),
    (r"model\.(\d+)\.", lambda found: f"trunk.upscaler.{int(found[1]) - 2}."),
    (r"HR_conv1_new\.0\.", "trunk.conv_last."),
    (r"b_fea_conv\.0\.", "branch.conv_first."),
    (r"b_block_(\d)\.", lambda found: f"branch.blocks.{int(found[1]) - 1}."),
    (r"b_concat_(\d)\.0\.", lambda found: f"branch.merges.{int(found[1]) - 1}."),
    (r"b_LR_conv\.0\.", "branch.conv_body."),
    (r"b_module\.", "branch.upscaler."),
    (r"conv_w\.0\.", "to_gradient."),
    (r"f_block\.", "fusion.block."),
    (r"f_concat\.0\.", "fusion.merge."),
    (r"f_HR_conv0\.0\.", "fusion.conv_hr."),
    (r"f_HR_conv1\.0\.", "fusion.conv_last."),
)

#: What released files hold besides: the gradient map's fixed kernels, and a layer that is in `model` too.
_RELEASED_EXTRAS = ("get_g_nopadding.", "HR_conv0_new.")


def _translated(released: dict[str, Tensor]) -> dict[str, Tensor]:
    state = {}
    for key, value in released.items():
        if key.startswith(_RELEASED_EXTRAS):
            continue
        for theirs, ours in _RELEASED_NAMES:
            key, found = re.subn(f"^{theirs}", ours, key)
            if found:
                break
        state[re.sub(r"\.RDB(\d)\.conv(\d)\.0\.", r".rdb\1.conv\2.", key)] = value
    return state


def _doublings(scale: int) -> int:
    if scale < 1 or scale & (scale - 1):
        raise ValueError(f"SPSR doubles its size, so it has no scale {scale}; take 2, 4 or 8")
    return scale.bit_length() - 1


def _shapes(modules: list[nn.Module]) -> list[torch.Size]:
    return [parameter.shape for module in modules for parameter in module.parameters()]


class SPSRConfig(GeneratorSection):
    """SPSR generator."""

    type: Literal["spsr"]
    features: int = Field(64, ge=1, description="width of trunk and branch")
    blocks: int = Field(23, ge=TAPS, description="number of RRDBs in the trunk")
    growth: int = Field(32, ge=1, description="channels each dense layer adds")

    def check(self, scale: int) -> None:
        _doublings(scale)

    def build(self, scale: int) -> SPSRNet:
        return SPSRNet(scale, self.features, self.blocks, self.growth)
