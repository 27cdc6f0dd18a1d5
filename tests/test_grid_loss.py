"""What keeps a network from producing a grid: the UpConv head and the grid loss."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from aesop.losses.grid import grid_loss
from aesop.networks.generators import SRVGGConfig
from aesop.networks.section import GeneratorSection
from aesop.networks.upconv import UpConvConfig


def spread_of_phases(section: GeneratorSection, scale: int) -> float:
    """Largest difference between two phases in the middle of an untrained network's output for a constant."""
    torch.manual_seed(0)
    network = section.build(scale).double()
    with torch.no_grad():
        sr = network(torch.full((1, 3, 24, 24), 0.4, dtype=torch.float64))[
            ..., 8 * scale : 16 * scale, 8 * scale : 16 * scale
        ]
    return (sr.amax(dim=(2, 3)) - sr.amin(dim=(2, 3))).max().item()


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_upconv_makes_a_constant_of_a_constant(scale: int) -> None:
    assert spread_of_phases(UpConvConfig(type="upconv", features=8, blocks=1, head=4), scale) < 1e-12
    assert spread_of_phases(SRVGGConfig(type="srvgg", features=8, convs=1), scale) > 1e-3


def tiled(pattern: Tensor, periods: int) -> Tensor:
    return pattern.repeat(1, 1, periods, periods)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_loss_of_a_pattern_is_its_mean_deviation(scale: int) -> None:
    hr = torch.rand(2, 3, 8 * scale, 8 * scale, dtype=torch.float64)
    pattern = torch.randn(2, 3, scale, scale, dtype=torch.float64)
    expected = (pattern - pattern.mean(dim=(2, 3), keepdim=True)).abs().mean()
    torch.testing.assert_close(grid_loss(hr + tiled(pattern, 8), hr, scale), expected)


def test_what_is_no_pattern_costs_nothing() -> None:
    hr = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    colour = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64).view(1, 3, 1, 1)
    wave = torch.cos(torch.arange(32, dtype=torch.float64) * torch.pi / 8).expand(1, 3, 32, 32)
    assert grid_loss(hr + colour + wave, hr, 4).item() == pytest.approx(0, abs=1e-12)
    # A texture on every other LR pixel with its sign turned has no mean at any phase.
    texture = F.interpolate(torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)[None, None], scale_factor=4.0)
    assert grid_loss(hr + texture.repeat(1, 3, 4, 4), hr, 4).item() == pytest.approx(0, abs=1e-12)


def test_the_gradient_takes_the_pattern_away() -> None:
    hr = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    sr = (hr + tiled(torch.randn(1, 3, 4, 4, dtype=torch.float64), 8)).requires_grad_()
    for _ in range(400):
        (gradient,) = torch.autograd.grad(grid_loss(sr, hr, 4), sr)
        sr = (sr - 20 * gradient).detach().requires_grad_()
    assert grid_loss(sr, hr, 4).item() < 0.02
