"""The fidelity losses that AESOP is compared with: against SciPy, closed forms, and what they promise not to see."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from aesop.data.bicubic import resize
from aesop.errors import RecipeError
from aesop.losses.low_pass import LowPassLoss
from aesop.losses.lr_consistency import LRConsistencyLoss
from aesop.losses.pixel import PixelLoss
from aesop.losses.term import LossContext
from aesop.networks.state_dicts import write_state
from aesop.run import Run
from aesop.training.build import build_stage
from aesop.training.recipe_files import load_recipe
from sections import perceptual_of
from tiny_systems import tiny_recipe


def images(seed: int, size: tuple[int, int] = (24, 20)) -> Tensor:
    return torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def checkerboard(size: int = 32) -> Tensor:
    """Ones and zeros in turn: (1, 3, size, size)."""
    places = torch.arange(size)
    return ((places[:, None] + places) % 2).double().expand(1, 3, size, size)


def wave(period: float, size: int = 64, phase: float = 0.0) -> Tensor:
    """A wave from left to right around 1/2, of amplitude 0.4: (1, 3, size, size)."""
    row = 0.5 + 0.4 * torch.cos(2 * math.pi * (torch.arange(size, dtype=torch.float64) - phase) / period)
    return row.expand(1, 3, size, size)


def unseen_by(downscale: int, size: int = 24) -> Tensor:
    """A pattern of which bicubic downscaling leaves nothing: (1, 3, size, size), at most 1 in size."""
    rows = resize(torch.eye(size, dtype=torch.float64).view(size, 1, size, 1).expand(-1, 1, -1, size), 1 / downscale)
    matrix = rows[:, 0, :, 0].T  # (size / downscale, size)
    null = torch.linalg.svd(matrix)[2][len(matrix) :]
    pattern = torch.outer(null[0], null[-1])
    return (pattern / pattern.abs().max()).expand(1, 3, size, size)


# A radius of 3 sigma rounded: SciPy is told the same one.
@pytest.mark.parametrize(("sigma", "radius"), [(1.0, 3), (1.5, 4), (2.0, 6), (3.0, 9)])
def test_low_pass_loss_is_scipys_gaussian(sigma: float, radius: int):
    sr, hr = images(1), images(2)
    filtered = [
        scipy.ndimage.gaussian_filter(
            image.numpy(), sigma=(0, 0, sigma, sigma), mode="mirror", truncate=(radius + 0.1) / sigma
        )
        for image in (sr, hr)
    ]
    found = LowPassLoss(sigma)(sr, hr).item()
    # Our taps are held in float32.
    assert found == pytest.approx(float(np.abs(filtered[0] - filtered[1]).mean()), rel=1e-6)


def test_low_pass_loss_spares_textures_and_nothing_else():
    loss, pixel = LowPassLoss(1.5), PixelLoss()
    board = checkerboard()
    assert pixel(board, 1 - board).item() == pytest.approx(1)
    assert loss(board, 1 - board).item() < 1e-4
    hr = images(3)
    for offset in (0.25, -0.1):  # what a whole area is wrong by is seen whole, borders included
        assert loss(hr + offset, hr).item() == pytest.approx(abs(offset), rel=1e-6)


def test_the_default_filter_blurs_as_bicubic_downscaling_by_four_does():
    """Both halve a wave of LR's finest period, two LR pixels, as the recipe says."""
    config = perceptual_of(load_recipe("low-pass-rrdb-128")).fidelity_loss
    assert config.type == "low-pass"
    # Crests at both borders, so that reflecting them continues the wave.
    finest = wave(8, size=65)
    ours = (config.build(LossContext(4))(finest, torch.full_like(finest, 0.5)) / (finest - 0.5).abs().mean()).item()
    # Crests and troughs in the middle of LR pixels, so that these show how much is left of them.
    bicubic = (resize(wave(8, phase=1.5), 1 / 4) - 0.5).abs()[..., 2:-2].mean().item() / 0.4
    assert ours == pytest.approx(0.5, abs=0.02)
    assert bicubic == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_lr_consistency_is_the_distance_of_the_lr_images(scale: int):
    sr, hr = images(1, (24, 48)), images(2, (24, 48))
    # Resizing is linear, so that NumPy may take the difference first.
    difference = resize(torch.from_numpy(sr.numpy() - hr.numpy()), 1 / scale).numpy()
    assert LRConsistencyLoss(scale)(sr, hr).item() == pytest.approx(float(np.abs(difference).mean()), rel=1e-12)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_lr_consistency_sees_nothing_that_lr_does_not_show(scale: int):
    hr, pattern = images(2, (24, 24)) * 0.2 + 0.4, unseen_by(scale)
    loss, sr = LRConsistencyLoss(scale), (hr + 0.3 * pattern).requires_grad_()
    assert PixelLoss()(sr, hr).item() > 0.001
    assert loss(sr, hr).item() < 1e-12
    other = images(4, (24, 24)).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(other, hr), other)
    assert gradient.abs().max() > 1e-5
    assert (gradient * pattern).sum().abs() < 1e-12 * gradient.norm()


LOSSES = [PixelLoss(), LowPassLoss(1.5), LRConsistencyLoss(2), LRConsistencyLoss(4)]
NAMES = ["pixel", "low-pass", "lr-consistency-x2", "lr-consistency-x4"]


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_equal_images_cost_nothing(loss: nn.Module):
    hr = images(1)
    assert loss(hr.clone(), hr).item() == 0
    assert loss(hr, images(2)).item() > 0
    assert loss(hr, images(2)).item() == pytest.approx(loss(images(2), hr).item(), rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_the_gradient_is_that_of_finite_differences_and_reaches_sr_alone(loss: nn.Module):
    sr, hr = images(1, (16, 16))[:1].requires_grad_(), images(2, (16, 16))[:1]
    assert torch.autograd.gradcheck(lambda image: loss(image, hr), sr, eps=1e-7, atol=1e-6, fast_mode=True)
    loss(sr, hr).backward()
    assert sr.grad is not None
    assert torch.isfinite(sr.grad).all()
    assert hr.grad is None
    assert all(not parameter.requires_grad for parameter in loss.parameters())
    assert not loss.state_dict()  # nothing of a loss joins a file


@pytest.mark.parametrize(
    ("section", "kind", "weight"),
    [
        ("{type: pixel}", PixelLoss, 0.01),
        ("{type: low-pass}", LowPassLoss, 0.01),
        ("{type: lr-consistency}", LRConsistencyLoss, 1.0),
    ],
)
def test_a_recipe_chooses_the_loss_by_its_type(tmp_path: Path, section: str, kind: type[nn.Module], weight: float):
    recipe = tiny_recipe("ldl-rrdb-128", f"perceptual.fidelity_loss={section}")
    assert recipe.stages() == ("fidelity", "perceptual")  # no auto-encoder
    run = Run(tmp_path)
    write_state(run.stage("fidelity").network, recipe.generator.build(recipe.scale).state_dict(), {})
    stage = build_stage(Fabric(accelerator="cpu", devices=1), run, recipe, "perceptual")
    config = perceptual_of(recipe).fidelity_loss
    assert config.weight == weight
    assert isinstance(getattr(stage, "fidelity_loss"), kind)  # noqa: B009 - a stage in general has none
    losses = stage.step(torch.rand(2, 3, 12, 12), torch.rand(2, 3, 48, 48))
    assert torch.isfinite(losses[config.type])


def test_a_crop_narrower_than_the_filter_is_refused_before_work():
    """Borders are reflected, which takes more pixels than the filter's radius."""
    wide = "perceptual.fidelity_loss={type: low-pass, sigma: 16}"
    assert load_recipe("ldl-rrdb-128", [wide]).name == "ldl-rrdb-128"
    with pytest.raises(RecipeError, match=r"perceptual\..*sigma|perceptual\.crop"):
        load_recipe("ldl-rrdb-128", [wide, "perceptual.crop=48"])


@pytest.mark.parametrize(
    "override",
    [
        "perceptual.fidelity_loss={type: 'aesop.networks.section:GeneratorSection'}",
        "perceptual.discriminator={type: 'aesop.networks.section:GeneratorSection'}",
        "generator={type: 'aesop.losses.term:LossSection'}",
        "degradation={type: 'aesop.networks.section:GeneratorSection'}",
    ],
)
def test_a_class_of_another_kind_is_one_sentence(override: str):
    """`module:Class` names a section of the place it stands in: a generator is no loss."""
    with pytest.raises(RecipeError, match=r"aesop\..*:.*"):
        load_recipe("laptop", [override])
