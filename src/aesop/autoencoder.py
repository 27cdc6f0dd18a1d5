"""The paper's auto-encoder: AE = D o E (eq. 4-6), an estimator of an image's fidelity bias.

The encoder E squeezes an HR image into a 3-channel image of LR size (the bottleneck); the decoder D, a fidelity
network, expands it again. Pretrained to reproduce its input in the L1 sense (`training/autoencoder.py`), it keeps what
regression can tell of an image and drops the rest: the textures (the perceptual variance).
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from aesop.data.bicubic import resize
from aesop.errors import ModelError
from aesop.networks.kinds import kind_of_network
from aesop.networks.loading import load_generator
from aesop.networks.rrdb import RESIDUAL_SCALE, RRDB, conv3x3, count_blocks, initialise_small
from aesop.networks.section import SCALES
from aesop.networks.state_dicts import WeightsFile, built_to_fit, default_float32
from aesop.run import Run


class AutoEncoder(nn.Module):
    """AE(y) = D(E(y)) for HR images y, (N, 3, H, W) in [0, 1], H and W multiples of the scale.

    `decoder` is any fidelity generator of that scale; `features` the width of the encoder's body, as nearly as whole
    channels allow (None: the decoder's), which has `blocks` RRDBs of dense layers of `growth` channels.
    """

    def __init__(
        self, decoder: nn.Module, scale: int, features: int | None = None, growth: int = 32, blocks: int = 2
    ) -> None:
        super().__init__()
        self.scale = scale
        features = features or _width(decoder)
        # Unshuffling makes scale^2 channels of each, so that few suffice before it: 64 / 4^2 = 4 in the paper. Fewer
        # than three could not tell colours apart, and what scale^2 does not divide (64 / 3^2) is rounded.
        squeezed = max(3, round(features / scale**2))
        self.encoder: nn.Module = _encoder(squeezed, scale, growth, blocks)
        self.decoder = decoder

    def forward(self, hr: Tensor) -> Tensor:
        """AE(y) = D(E(y)), eq. 6."""
        return self.decoder(self.encode(hr))

    def encode(self, hr: Tensor) -> Tensor:
        """E(y): (N, 3, H/scale, W/scale); raises ValueError if H or W is not a multiple of the scale."""
        if hr.shape[-2] % self.scale or hr.shape[-1] % self.scale:
            raise ValueError(f"images of {hr.shape[-2]}x{hr.shape[-1]} are not a multiple of the scale {self.scale}")
        return self.encoder(hr)

    def bottleneck_and_output(self, hr: Tensor) -> tuple[Tensor, Tensor]:
        """E(y) and D(E(y)), the two that pretraining supervises (eq. 4 and 5)."""
        bottleneck = self.encode(hr)
        return bottleneck, self.decoder(bottleneck)

    @classmethod
    def collapsed(cls, fidelity: nn.Module, scale: int) -> AutoEncoder:
        """Build config (a) of table 3: a plain bicubic downscaler, then the fidelity network; nothing to train.

        What downscaling removes costs nothing under it (bottleneck collapse).
        """
        autoencoder = cls(fidelity, scale, features=1, growth=1, blocks=0)
        autoencoder.encoder = BicubicEncoder(scale)
        return autoencoder.eval()

    @classmethod
    @default_float32()
    def load(cls, path: Path | str | WeightsFile, decoder: nn.Module | None = None) -> AutoEncoder:
        """Load an auto-encoder trained here, a run folder's, or one of the official releases; widths come from shapes.

        The decoder's parameters go into `decoder`; unset, one is built by what the file tells. Raises ModelError if the
        file is missing, corrupt or not an auto-encoder's.
        """
        file = path if isinstance(path, WeightsFile) else WeightsFile.read(path, Run.autoencoder)
        path, state = file.path, _ours(file.state)
        if not any(key.startswith("encoder.") for key in state):
            raise ModelError(f"{path} is {kind_of_network(state)}; an auto-encoder is expected here.")
        inner = {key.removeprefix("decoder."): value for key, value in state.items() if key.startswith("decoder.")}
        if decoder is None:
            decoder = load_generator(replace(file, state=inner)).model
            inner = decoder.state_dict()
        encoder = {key.removeprefix("encoder."): value for key, value in state.items() if key.startswith("encoder.")}
        try:
            decoder.load_state_dict(inner)
            squeezed = encoder["conv_first.0.weight"].shape[0]
            scale = round((encoder["conv_last.0.weight"].shape[1] / squeezed) ** 0.5)
            if scale not in SCALES:
                raise ValueError(f"scale {scale}")
            growth, blocks = encoder["body.0.rdb1.conv1.weight"].shape[0], count_blocks(encoder)
            autoencoder = cls(decoder, scale, features=1, growth=1, blocks=0)
            autoencoder.encoder = built_to_fit(lambda: _encoder(squeezed, scale, growth, blocks), encoder)
            with torch.no_grad():
                undone = autoencoder.eval().float()(torch.zeros(1, 3, 8 * scale, 8 * scale)).shape[-1] == 8 * scale
        except (ArithmeticError, IndexError, KeyError, ValueError, RuntimeError) as error:
            raise ModelError(f"{path}: its parameters do not fit an auto-encoder; download it again.") from error
        if not undone:
            raise ModelError(f"{path}: its decoder does not undo its encoder's scale of {scale}; download it again.")
        return autoencoder.eval()


class BicubicEncoder(nn.Module):
    """A downscaler in the encoder's place: HR (N, 3, H, W) to LR."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, hr: Tensor) -> Tensor:
        """Downscale `hr` as the LR images were."""
        return resize(hr, 1 / self.scale)


def _encoder(squeezed: int, scale: int, growth: int, blocks: int) -> nn.Sequential:
    """Build E: two convolutions, unshuffling down to LR size, RRDBs, two convolutions; no activation between pairs."""
    features = squeezed * scale**2
    conv_first = nn.Sequential(conv3x3(3, squeezed), conv3x3(squeezed, squeezed))
    conv_last = nn.Sequential(conv3x3(features, features), conv3x3(features, 3))
    initialise_small(conv_first)
    initialise_small(conv_last)
    # The order of the channels is part of the file format: the official encoders unshuffle by 2, twice.
    unshuffles = [nn.PixelUnshuffle(scale)] if scale % 2 else [nn.PixelUnshuffle(2)] * (scale.bit_length() - 1)
    return nn.Sequential(
        OrderedDict(
            conv_first=conv_first,
            down=nn.Sequential(*unshuffles),
            body=nn.Sequential(*(RRDB(features, growth) for _ in range(blocks))),
            conv_last=conv_last,
        )
    )


def _width(decoder: nn.Module) -> int:
    """Return the channels that a generator's first convolution makes of the image: its trunk's width.

    A convolution to three channels merely shifts colours; a network without convolutions counts as the paper's 64.
    """
    widths = (layer.out_channels for layer in decoder.modules() if isinstance(layer, nn.Conv2d))
    return next((width for width in widths if width > 3), 64)


def _ours(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return `state` with the official releases' top-level encoder keys under `encoder.`.

    They have duplicates under `encoder.0`, `.2` and `.3`, which are dropped.
    """
    if "conv_first.0.weight" not in state:
        return state
    kept = {key: value for key, value in state.items() if key.startswith("decoder.")}
    parts = ("conv_first.", "body.", "conv_last.")
    return kept | {f"encoder.{key}": value for key, value in state.items() if key.startswith(parts)}


@torch.no_grad()
def initialise_as_downscaler(encoder: nn.Module, scale: int) -> None:
    """Let a fresh encoder begin as a bicubic downscaler, to within about 50 dB.

    The paper's encoder begins near zero and spends thousands of iterations on finding the LR image; a short training
    has none to spare. Nothing but the start differs: small random weights beside the kernel leave every channel free.
    """
    conv_first, down, body, conv_last = encoder.children()
    convs = [layer for part in (conv_first, conv_last) for layer in part.children() if isinstance(layer, nn.Conv2d)]
    for conv in convs:
        conv.weight.mul_(0.01)
    *others, last = convs
    for conv in others:
        channels = range(min(conv.in_channels, conv.out_channels))
        conv.weight[channels, channels, 1, 1] += 1
    # An RRDB of small weights multiplies by 1 + its residual scale; the last convolution sees 3 x 3 LR pixels, that
    # is 3 * scale HR pixels a side, of which the kernel's weights fall off around the middle.
    gain = (1 + RESIDUAL_SCALE) ** sum(isinstance(block, RRDB) for block in body.children())
    impulses = torch.eye(5 * scale).view(5 * scale, 1, 5 * scale, 1).expand(-1, 1, -1, scale)
    taps = resize(impulses, 1 / scale)[scale : 4 * scale, 0, 2, 0]
    kernel = torch.outer(taps, taps).div(taps.sum() ** 2 * gain).to(last.weight.device)
    for colour, y, x in itertools.product(range(3), range(scale), range(scale)):
        pixel = torch.zeros(1, convs[1].out_channels, scale, scale, device=last.weight.device)
        pixel[0, colour, y, x] = 1
        channel = int(down(pixel).flatten().argmax())
        last.weight[colour, channel] += kernel[y::scale, x::scale]
