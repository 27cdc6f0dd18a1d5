"""A world of pictures in which HR given LR is known in closed form; `known_posterior.py` trains in it.

    y = m(x) + t        x = downscale(y), bicubic, scale 4        E[y | x] = m(x)        Var[y | x] = Var[t]

There are finitely many scenes z: a straight edge between a plain and a textured material, and a striped disc. With e_z
the scene's picture, A the downscaler, A+ its pseudo-inverse (A A+ = 1) and N = 1 - A+ A, the part that A does not see,

    m = e_z + A+ g        t = N (s_z * (k * w))        x = A e_z + g

where g is grain at LR size, |g| <= GRAIN, w white Gaussian noise, k a band-pass filter and s_z the texture's strength,
which depends on the material. A t = 0, so x contains nothing of t. The LR images of any two scenes differ by more than
2 GRAIN somewhere, so only one scene fits x, and x determines m. Edges are sharp and stripes have the period of LR's
pixels, so N e_z is not zero: it follows from x by knowledge of the world, not by a linear map.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from aesop.data.bicubic import resize

SCALE, SIDE = 4, 48
#: Bound of the grain at every LR pixel; the three colours share it.
GRAIN = 0.012
#: Standard deviation of s (k * w): the texture's before N is applied.
TEXTURE = 0.1
#: Amplitude of a disc's stripes.
STRIPES = 0.12
PLAIN = ((0.30, 0.32, 0.38), (0.70, 0.66, 0.58))
TEXTURED = ((0.38, 0.58, 0.40), (0.62, 0.40, 0.34))
#: A disc's colour determines the sign of its stripes.
DISC = ((0.35, 0.45, 0.70), (0.70, 0.40, 0.65))
#: k is 9 x 9.
REACH = 4
#: Range of each part of a scene, the end excluded.
RANGES = {
    "angle": (0, 16), "offset": (-9, 10), "plain": (0, 2), "textured": (0, 2),
    "x": (14, 35), "y": (14, 35), "radius": (8, 12), "disc": (0, 2),
}  # fmt: skip


class Scene(NamedTuple):
    """What LR determines: the edge's angle (of 16) and offset, the materials, the disc's place, radius and kind."""

    angle: int
    offset: int
    plain: int
    textured: int
    x: int
    y: int
    radius: int
    disc: int

    @classmethod
    def draw(cls, generator: torch.Generator) -> Scene:
        """Draw a scene uniformly."""
        return cls(*(int(torch.randint(low, high, (), generator=generator)) for low, high in RANGES.values()))


class Zones(NamedTuple):
    """Masks (N, 1, SIDE, SIDE) of areas that are measured separately; the first two have hardly any texture."""

    edge: Tensor
    stripes: Tensor
    texture: Tensor


class Pictures(NamedTuple):
    """`lr` (N, 3, 12, 12), `hr` and `mean` = E[HR | LR] (N, 3, 48, 48), the texture's `strength` and the zones."""

    lr: Tensor
    hr: Tensor
    mean: Tensor
    strength: Tensor
    zones: Zones

    def redrawn(self, generator: torch.Generator) -> Tensor:
        """Return other HR pictures of the same LR."""
        return self.mean + texture(self.strength, _noise(len(self.lr), generator))


@cache
def _axis() -> tuple[Tensor, Tensor]:
    """A along one axis, (12, 48) in float64, and its pseudo-inverse."""
    impulses = torch.eye(SIDE, dtype=torch.float64).view(SIDE, 1, SIDE, 1).expand(-1, 1, -1, SIDE)
    matrix = resize(impulses, 1 / SCALE)[:, 0, :, 0].T
    return matrix, torch.linalg.pinv(matrix)


def upscale(lr: Tensor) -> Tensor:
    """A+ of (N, C, 12, 12): the smallest picture with this LR."""
    inverse = _axis()[1].to(lr)
    return inverse @ lr @ inverse.T


def seen(images: Tensor) -> Tensor:
    """A+ A of (N, C, 48, 48): the part that LR shows."""
    matrix, inverse = (factor.to(images) for factor in _axis())
    both = inverse @ matrix
    return both @ images @ both.T


def unseen(images: Tensor) -> Tensor:
    """N of (N, C, 48, 48): the part that the downscaler removes."""
    return images - seen(images)


@cache
def _band() -> Tensor:
    """k, a difference of Gaussians with energy 1: passes grain of two to four pixels."""
    offsets = torch.arange(-REACH, REACH + 1, dtype=torch.float64)
    squares = offsets[:, None] ** 2 + offsets**2
    narrow, wide = (torch.exp(-squares / (2 * sigma**2)) for sigma in (0.7, 1.2))
    taps = narrow / narrow.sum() - wide / wide.sum()
    return (taps / taps.norm())[None, None]


def _noise(count: int, generator: torch.Generator) -> Tensor:
    side = SIDE + 2 * REACH
    return torch.randn(count, 1, side, side, generator=generator)


def texture(strength: Tensor, noise: Tensor) -> Tensor:
    """t = N (s (k * w)) from the strength s (N, 1, 48, 48) and noise w (N, 1, 56, 56)."""
    return unseen(strength * F.conv2d(noise, _band().to(noise)))


@cache
def _responses() -> Tensor:
    """k * w for every w with a single 1: (56 * 56, 1, 48, 48)."""
    side = SIDE + 2 * REACH
    return F.conv2d(torch.eye(side**2).view(-1, 1, side, side), _band().float())


def deviation(strength: Tensor) -> Tensor:
    """Exact standard deviation of t at each pixel, (N, 1, 48, 48): t is linear in w, so squared responses add up."""
    return torch.stack([unseen(own * _responses()).square().sum(dim=0) for own in strength]).sqrt()


def labels(scene: Scene) -> Tensor:
    """(48, 48): 0 where a scene is plain, 1 where it is textured, 2 in the disc."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    disc = (x + 0.5 - scene.x) ** 2 + (y + 0.5 - scene.y) ** 2 < scene.radius**2
    angle, middle = scene.angle * math.pi / 8, (SIDE - 1) / 2
    beyond = (x - middle) * math.cos(angle) + (y - middle) * math.sin(angle) > scene.offset + 0.25
    return torch.where(disc, 2, beyond.long())


def stripes(scene: Scene) -> Tensor:
    """The disc's stripes, which LR does not show: (1, 48, 48), float64."""
    wave = (2 * math.pi / SCALE * (torch.arange(SIDE, dtype=torch.float64) + 0.5)).sin().sign()
    return unseen((labels(scene) == 2) * STRIPES * (1 - 2 * scene.disc) * wave)


def shapes(scene: Scene) -> Tensor:
    """The scene's areas, each of one colour: (3, 48, 48), float64."""
    colours = torch.tensor([PLAIN[scene.plain], TEXTURED[scene.textured], DISC[scene.disc]], dtype=torch.float64)
    return colours[labels(scene)].permute(2, 0, 1)


def picture(scene: Scene) -> Tensor:
    """e_z: (3, 48, 48), float64."""
    return shapes(scene) + stripes(scene)


def pictures(scenes: list[Scene], generator: torch.Generator) -> Pictures:
    """Pictures of these scenes with random grain and texture."""
    drawn = torch.stack([picture(scene) for scene in scenes])
    areas = torch.stack([labels(scene) for scene in scenes])[:, None]
    side = SIDE // SCALE
    grain = GRAIN * (2 * torch.rand(len(scenes), 1, side, side, generator=generator) - 1)
    lr = (resize(drawn, 1 / SCALE) + grain).float()
    mean = (drawn + upscale(grain.double())).float()
    strength = TEXTURE * (areas == 1).float()
    hr = mean + texture(strength, _noise(len(scenes), generator))
    return Pictures(lr, hr, mean, strength, _zones(areas))


def _zones(areas: Tensor) -> Zones:
    """Edges with two pixels to either side, and the insides of discs and of the textured material."""

    def eroded(mask: Tensor, pixels: int) -> Tensor:
        return F.max_pool2d((~mask).float(), 2 * pixels + 1, 1, pixels) == 0

    near = sum(eroded(areas == label, 2).int() for label in range(3)) == 0
    return Zones(edge=near & (areas != 1), stripes=eroded(areas == 2, 2), texture=eroded(areas == 1, 2))


def draw(count: int, generator: torch.Generator) -> Pictures:
    """Draw pictures of random scenes."""
    return pictures([Scene.draw(generator) for _ in range(count)], generator)
