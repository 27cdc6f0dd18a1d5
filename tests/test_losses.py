"""Every loss and its gradient against a float64 formula written out here."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from aesop.autoencoder import AutoEncoder
from aesop.losses import adversarial
from aesop.losses.aesop import AESOPLoss
from aesop.losses.artifact import artifact_loss, artifact_map
from aesop.losses.perceptual import PerceptualLoss
from aesop.losses.pixel import PixelLoss
from aesop.networks.features import FrozenFeatures
from aesop.networks.srvgg import SRVGGConfig


def gradient(loss: Tensor, variable: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(loss, variable)
    return found


def images(count: int = 2, size: int = 16, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def autoencoder() -> AutoEncoder:
    decoder = SRVGGConfig(type="srvgg", features=8, convs=1).build(4)
    return AutoEncoder(decoder, 4, features=8, growth=4, blocks=1).double()


def test_pixel_loss_and_gradient():
    sr, hr = images(seed=1).requires_grad_(), images(seed=2)
    loss = PixelLoss()(sr, hr)
    assert loss.item() == pytest.approx(
        sum(abs(a - b) for a, b in zip(sr.flatten().tolist(), hr.flatten().tolist(), strict=True)) / sr.numel(),
        rel=1e-12,
    )
    torch.testing.assert_close(gradient(loss, sr), torch.sign(sr - hr) / sr.numel())


def test_aesop_loss_is_equation_8_inside_the_unit_range(autoencoder: AutoEncoder):
    sr, hr = images(seed=1).requires_grad_(), images(seed=2)
    loss = AESOPLoss(autoencoder)(sr, hr)
    decoded_sr, decoded_hr = (autoencoder.decoder(autoencoder.encoder(x)) for x in (sr, hr))
    expected = (decoded_hr - decoded_sr).abs().sum() / sr.numel()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(gradient(loss, sr), gradient(expected, sr))


def test_aesop_loss_gradient_is_that_of_finite_differences(autoencoder: AutoEncoder):
    loss, hr = AESOPLoss(autoencoder), images(1, 8, seed=2)
    assert torch.autograd.gradcheck(lambda sr: loss(sr, hr), images(1, 8, seed=1).requires_grad_(), eps=1e-7, atol=1e-5)


def test_aesop_loss_freezes_the_autoencoder_and_gives_hr_no_gradient(autoencoder: AutoEncoder):
    loss = AESOPLoss(autoencoder.train()).train()
    sr, hr = images(seed=1).requires_grad_(), images(seed=2).requires_grad_()
    loss(sr, hr).backward()
    assert hr.grad is None
    assert sr.grad is not None
    assert not autoencoder.training
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in autoencoder.parameters())


class Averaging(nn.Module):
    """An auto-encoder that knows 4x4 means alone: the extreme of what a bottleneck drops."""

    def forward(self, hr: Tensor) -> Tensor:
        return nn.functional.interpolate(nn.functional.avg_pool2d(hr, 4), scale_factor=4)


def test_excursions_that_cancel_in_the_bottleneck_are_not_free():
    """Half the pixels far above 1, half far below 0, mean 1/2: AE alone is blind to it, a viewer is not."""
    loss = AESOPLoss(Averaging())  # pyright: ignore[reportArgumentType]
    hr = torch.full((1, 3, 8, 8), 0.5, dtype=torch.float64)
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2
    sr = (hr + 1.5 * (2.0 * board - 1)).requires_grad_()
    assert (Averaging()(sr) - Averaging()(hr)).abs().max() < 1e-12
    value = loss(sr, hr)
    assert value.item() == pytest.approx(1.0)
    pull = -gradient(value, sr)
    assert (torch.sign(pull) == torch.sign(hr - sr)).all()


@given(st.floats(1.001, 3), st.floats(-2, -0.001))
def test_pixels_outside_the_range_are_always_drawn_back(above: float, below: float):
    torch.manual_seed(0)
    decoder = SRVGGConfig(type="srvgg", features=4, convs=1).build(2)
    loss = AESOPLoss(AutoEncoder(decoder, 2, features=4, growth=4, blocks=1).double())
    hr = images(1, 8)
    sr = hr.clone()
    sr[0, 0, 0, 0], sr[0, 1, 3, 3] = above, below
    found = gradient(loss(sr.requires_grad_(), hr), sr)
    assert found[0, 0, 0, 0] > 0 > found[0, 1, 3, 3]


def test_aesop_loss_refuses_sizes_that_do_not_fit(autoencoder: AutoEncoder):
    loss = AESOPLoss(autoencoder)
    with pytest.raises(ValueError, match="one size"):
        loss(images(size=16), images(size=20))
    with pytest.raises(ValueError, match="no multiple of the scale 4"):
        loss(images(size=18), images(size=18))


def test_adversarial_losses_against_the_definition():
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, 5, 1, dtype=torch.float64, generator=generator).requires_grad_().unbind()

    def probability(a: float, others: list[float]) -> float:
        return 1 / (1 + math.exp(-(a - sum(others) / len(others))))

    reals, fakes = real.flatten().tolist(), fake.flatten().tolist()
    for_d = -sum(math.log(probability(a, fakes)) for a in reals) - sum(
        math.log(1 - probability(b, reals)) for b in fakes
    )
    for_g = -sum(math.log(1 - probability(a, fakes)) for a in reals) - sum(
        math.log(probability(b, reals)) for b in fakes
    )
    assert adversarial.discriminator_loss(real, fake).item() == pytest.approx(for_d / 10, rel=1e-12)
    assert adversarial.generator_loss(real, fake).item() == pytest.approx(for_g / 10, rel=1e-12)


def test_adversarial_gradients_keep_the_references_constants():
    real, fake = torch.randn(4, 1, dtype=torch.float64), torch.randn(4, 1, dtype=torch.float64)
    real.requires_grad_()
    fake.requires_grad_()
    in_real, in_fake = torch.autograd.grad(adversarial.discriminator_loss(real, fake), (real, fake))
    # d/da of -log sigmoid(a - m) is -(1 - sigmoid(a - m)); the means m are constants for the discriminator.
    torch.testing.assert_close(in_real, -(1 - torch.sigmoid(real - fake.mean())).detach() / 8)
    torch.testing.assert_close(in_fake, torch.sigmoid(fake - real.mean()).detach() / 8)
    generator_loss = adversarial.generator_loss(real, fake)
    assert torch.autograd.grad(generator_loss, real, allow_unused=True, retain_graph=True) == (None,)
    through_mean = -torch.sigmoid(real - fake.mean()).mean() / 2 / 4
    own = -(1 - torch.sigmoid(fake - real.mean())) / 8
    torch.testing.assert_close(gradient(generator_loss, fake), (own + through_mean).detach())


def slow_artifact_map(sr: Tensor, hr: Tensor, ema: Tensor) -> Tensor:
    """M of LDL, pixel by pixel."""
    residual = (sr - hr).abs().sum(1)
    ema_residual = (ema - hr).abs().sum(1)
    count, height, width = residual.shape

    def reflect(index: int, length: int) -> int:
        return -index if index < 0 else 2 * (length - 1) - index if index >= length else index

    rows = []
    for n in range(count):
        flat = residual[n].flatten()
        patch = ((flat - flat.mean()) ** 2).sum() / (len(flat) - 1)
        for y in range(height):
            for x in range(width):
                window = torch.stack(
                    [
                        residual[n, reflect(y + j, height), reflect(x + i, width)]
                        for j in range(-3, 4)
                        for i in range(-3, 4)
                    ]
                )
                local = ((window - window.mean()) ** 2).sum() / 48
                rows.append(patch**0.2 * local * (residual[n, y, x] >= ema_residual[n, y, x]))
    return torch.stack(rows).view(count, 1, height, width)


def test_artifact_loss_and_gradient_through_the_map():
    sr, hr, ema = images(2, 9, seed=1).requires_grad_(), images(2, 9, seed=2), images(2, 9, seed=3)
    expected_map = slow_artifact_map(sr, hr, ema)
    torch.testing.assert_close(artifact_map(sr, hr, ema), expected_map)
    assert (expected_map == 0).any()
    assert (expected_map > 0).any()
    expected = (expected_map * sr - expected_map * hr).abs().mean()
    loss = artifact_loss(sr, hr, ema)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(gradient(loss, sr), gradient(expected, sr))


def test_artifact_loss_of_a_perfect_image_has_a_finite_gradient():
    hr = images()
    sr = hr.clone().requires_grad_()
    assert torch.isfinite(gradient(artifact_loss(sr, hr, images(seed=3)), sr)).all()


class TwoLayers(FrozenFeatures):
    def forward(self, images: Tensor) -> list[Tensor]:
        return [images**2, images.mean(1, keepdim=True)]


def test_perceptual_loss_weighs_layers_and_spares_the_target():
    sr, hr = images(seed=1).requires_grad_(), images(seed=2).requires_grad_()
    loss = PerceptualLoss(TwoLayers(), [0.1, 2.0])(sr, hr)
    expected = 0.1 * (sr**2 - hr**2).abs().mean() + 2.0 * (sr.mean(1) - hr.mean(1)).abs().mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(gradient(loss, sr), gradient(expected, sr))
    assert torch.autograd.grad(PerceptualLoss(TwoLayers(), [1, 1])(sr, hr), hr, allow_unused=True) == (None,)
