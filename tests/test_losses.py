"""Every loss and its gradient against formulas in float64, SciPy and closed forms; and what a loss must ignore."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.autoencoder import AutoEncoder
from aesop.data.bicubic import resize
from aesop.errors import RecipeError
from aesop.losses.adversarial import LeastSquaresGANConfig, PlainGANConfig, RelativisticGANConfig
from aesop.losses.aesop import AESOPLoss
from aesop.losses.artifact import artifact_loss, artifact_map
from aesop.losses.low_pass import LowPassLoss
from aesop.losses.lr_consistency import LRConsistencyLoss
from aesop.losses.perceptual import PerceptualLoss
from aesop.losses.pixel import PixelLoss
from aesop.losses.term import LossContext
from aesop.networks.features import EfficientNetFeatures, FrozenFeatures
from aesop.networks.generators import SRVGGConfig
from aesop.training.recipe_files import load_recipe
from equations import slow_artifact_map, slow_discriminator_loss, slow_generator_loss, unseen_by
from sections import perceptual_of


def gradient(loss: Tensor, variable: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(loss, variable)
    return found


def images(seed: int = 0, size: tuple[int, int] = (16, 16), count: int = 2) -> Tensor:
    return torch.rand(count, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def small_autoencoder(scale: int = 4) -> AutoEncoder:
    torch.manual_seed(0)
    decoder = SRVGGConfig(type="srvgg", features=8, convs=1).build(scale)
    return AutoEncoder(decoder, scale, features=8, growth=4, blocks=1).double()


# AESOP.


def equation_8(autoencoder: AutoEncoder, sr: Tensor, hr: Tensor) -> Tensor:
    decoded_sr, decoded_hr = (autoencoder.decoder(autoencoder.encoder(x)) for x in (sr, hr))
    return (decoded_hr.detach() - decoded_sr).abs().sum() / sr.numel()


@pytest.mark.parametrize("bounds", ["inside", "at"])
def test_aesop_loss_is_equation_8_inside_the_unit_range_and_at_its_bounds(bounds: str):
    """This must not depend on the slope that torch gives `clamp` at 0 and 1."""
    autoencoder, sr, hr = small_autoencoder(), images(1), images(2)
    if bounds == "at":
        sr[:, :, ::2] = (sr[:, :, ::2] > 0.5).double()  # exactly 0 or 1
    sr.requires_grad_()
    loss, expected = AESOPLoss(autoencoder)(sr, hr), equation_8(autoencoder, sr, hr)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    found = gradient(loss, sr)
    torch.testing.assert_close(found, gradient(expected, sr))
    assert (found != 0).all()


def test_autocast_leaves_the_perceptual_loss_in_float32():
    hr = torch.rand(1, 3, 32, 32)
    sr = (hr + 0.05 * torch.randn_like(hr)).requires_grad_()
    loss = PerceptualLoss(EfficientNetFeatures([0, 2]), [1.0, 1.0])
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            value = loss(sr, hr)
        gradients.append(torch.autograd.grad(value, sr)[0])
    assert torch.equal(*gradients)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_aesop_loss_of_half_precision_is_computed_in_float32(dtype: torch.dtype, autocast: bool):
    """Under a trainer's autocast, SR is in half precision; only this rounding may change the loss."""
    loss = AESOPLoss(small_autoencoder().float())
    sr, hr = images(1).to(dtype).requires_grad_(), images(2).float()
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        found = loss(sr, hr)
    rounded = sr.detach().float().requires_grad_()
    expected = loss(rounded, hr)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    assert torch.equal(gradient(found, sr), gradient(expected, rounded).to(dtype))


def test_aesop_loss_freezes_the_autoencoder_and_gives_hr_no_gradient():
    autoencoder = small_autoencoder()
    loss = AESOPLoss(autoencoder.train()).train()
    sr, hr = images(1).requires_grad_(), images(2).requires_grad_()
    loss(sr, hr).backward()
    assert hr.grad is None
    assert sr.grad is not None
    assert not autoencoder.training
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in autoencoder.parameters())


class Averaging(nn.Module):
    """An auto-encoder that keeps nothing but 4x4 means: an extreme bottleneck."""

    def forward(self, hr: Tensor) -> Tensor:
        return nn.functional.interpolate(nn.functional.avg_pool2d(hr, 4), scale_factor=4)


def test_excursions_that_cancel_in_the_bottleneck_are_not_free():
    """Half of the pixels are far above 1, half far below 0, mean 1/2: visible, but AE alone is blind to it."""
    loss = AESOPLoss(Averaging())  # pyright: ignore[reportArgumentType]
    hr = torch.full((1, 3, 8, 8), 0.5)
    sr = (hr + 1.5 * (2.0 * checkerboard(8).float() - 1)).requires_grad_()
    assert (Averaging()(sr) - Averaging()(hr)).abs().max() < 1e-6
    value = loss(sr, hr)
    assert value.item() == pytest.approx(1.0)
    assert (torch.sign(-gradient(value, sr)) == torch.sign(hr - sr)).all()


def test_aesop_loss_refuses_sizes_that_do_not_fit():
    loss = AESOPLoss(small_autoencoder())
    with pytest.raises(ValueError, match="one size"):
        loss(images(), images(size=(20, 20)))
    with pytest.raises(ValueError, match="multiple"):
        loss(images(size=(18, 18)), images(size=(18, 18)))


# The other fidelity losses.


def checkerboard(size: int = 32) -> Tensor:
    """Alternating ones and zeros: (1, 3, size, size)."""
    ticks = torch.arange(size)
    return ((ticks[:, None] + ticks) % 2).double().expand(1, 3, size, size)


# A radius of 3 sigma rounded: SciPy is told the same one.
@pytest.mark.parametrize(("sigma", "radius"), [(1.0, 3), (1.5, 4), (2.0, 6), (3.0, 9)])
def test_low_pass_loss_is_scipys_gaussian(sigma: float, radius: int):
    sr, hr = images(1, (24, 20)), images(2, (24, 20))
    first, second = (
        scipy.ndimage.gaussian_filter(
            image.numpy(), sigma=(0, 0, sigma, sigma), mode="mirror", truncate=(radius + 0.1) / sigma
        )
        for image in (sr, hr)
    )
    # Our taps are held in float32.
    assert LowPassLoss(sigma)(sr, hr).item() == pytest.approx(float(np.abs(first - second).mean()), rel=1e-6)


def test_low_pass_loss_spares_textures_and_nothing_else():
    loss, board, hr = LowPassLoss(1.5), checkerboard(), images(3)
    assert PixelLoss()(board, 1 - board).item() == pytest.approx(1)
    assert loss(board, 1 - board).item() < 1e-4
    for offset in (0.25, -0.1):  # what a whole area is wrong by is seen whole, borders included
        assert loss(hr + offset, hr).item() == pytest.approx(abs(offset), rel=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_lr_consistency_is_the_distance_of_lr_and_sees_nothing_else(scale: int):
    loss, sr, hr = LRConsistencyLoss(scale), images(1, (24, 48)), images(2, (24, 48))
    # Resizing is linear, so that NumPy may take the difference first.
    difference = resize(torch.from_numpy(sr.numpy() - hr.numpy()), 1 / scale).numpy()
    assert loss(sr, hr).item() == pytest.approx(float(np.abs(difference).mean()), rel=1e-12)
    pattern, hr = unseen_by(scale), images(2, (24, 24)) * 0.2 + 0.4
    assert PixelLoss()(hr + 0.3 * pattern, hr).item() > 0.001
    assert loss(hr + 0.3 * pattern, hr).item() < 1e-12
    other = images(4, (24, 24)).requires_grad_()
    pull = gradient(loss(other, hr), other)
    assert pull.abs().max() > 1e-5
    assert (pull * pattern).sum().abs() < 1e-12 * pull.norm()


@pytest.mark.parametrize("loss", [PixelLoss(), LowPassLoss(1.5), LRConsistencyLoss(2), LRConsistencyLoss(4)])
def test_what_all_fidelity_losses_promise(loss: nn.Module):
    sr, hr = images(1), images(2)
    assert loss(hr.clone(), hr).item() == 0
    assert loss(sr, hr).item() == pytest.approx(loss(hr, sr).item(), rel=1e-12)
    assert torch.autograd.gradcheck(
        lambda image: loss(image, hr), sr.requires_grad_(), eps=1e-7, atol=1e-6, fast_mode=True
    )
    assert torch.isfinite(gradient(loss(sr, hr), sr)).all()
    assert all(not parameter.requires_grad for parameter in loss.parameters())
    assert not loss.state_dict()  # nothing of a loss joins a file


@pytest.mark.parametrize(
    ("section", "kind", "weight"),
    [
        ("{type: pixel}", PixelLoss, 0.01),
        ("{type: low-pass}", LowPassLoss, 0.01),
        ("{type: lr-consistency}", LRConsistencyLoss, 1.0),
        ("{type: lr-consistency, weight: 0.5}", LRConsistencyLoss, 0.5),
    ],
)
def test_a_recipe_builds_the_loss_it_names_with_its_weight(section: str, kind: type[nn.Module], weight: float):
    config = perceptual_of(load_recipe("ldl-rrdb-128", [f"perceptual.fidelity_loss={section}"])).fidelity_loss
    assert isinstance(config.build(LossContext(4)), kind)
    assert config.weight == weight


def test_a_crop_narrower_than_the_filter_is_refused_before_work():
    """Borders are reflected, which needs more pixels than the filter's radius."""
    wide = "perceptual.fidelity_loss={type: low-pass, sigma: 16}"
    assert load_recipe("ldl-rrdb-128", [wide]).name == "ldl-rrdb-128"
    with pytest.raises(RecipeError, match=r"perceptual\..*sigma|perceptual\.crop"):
        load_recipe("ldl-rrdb-128", [wide, "perceptual.crop=48"])


# Adversarial, artifact, perceptual.


@pytest.mark.parametrize("shape", [(5, 1), (2, 1, 3, 4)])
@pytest.mark.parametrize(
    ("gan", "weight"),
    [(RelativisticGANConfig(), 0.005), (PlainGANConfig(type="plain"), 0.1),
     (LeastSquaresGANConfig(type="least-squares"), 0.1)],
)  # fmt: skip
def test_adversarial_losses_against_the_definition(
    gan: RelativisticGANConfig | PlainGANConfig | LeastSquaresGANConfig, weight: float, shape: tuple[int, ...]
):
    real, fake = torch.randn(2, *shape, dtype=torch.float64).unbind()
    logits = real.requires_grad_(), fake.requires_grad_()
    ours, theirs = gan.discriminator(*logits), slow_discriminator_loss(gan.type, *logits)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    for found, expected in zip(torch.autograd.grad(ours, logits), torch.autograd.grad(theirs, logits), strict=True):
        torch.testing.assert_close(found, expected)
    ours, theirs = gan.generator(*logits), slow_generator_loss(gan.type, *logits)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    assert torch.autograd.grad(ours, real, allow_unused=True, retain_graph=True) == (None,)
    torch.testing.assert_close(gradient(ours, fake), gradient(theirs, fake))
    assert gan.weight == weight  # the published one


def test_artifact_loss_and_gradient_through_the_map():
    sr, hr, ema = images(1, (9, 9)).requires_grad_(), images(2, (9, 9)), images(3, (9, 9))
    expected_map = slow_artifact_map(sr, hr, ema)
    torch.testing.assert_close(artifact_map(sr, hr, ema), expected_map)
    assert (expected_map == 0).any()
    assert (expected_map > 0).any()
    expected = (expected_map * sr - expected_map * hr).abs().mean()
    loss = artifact_loss(sr, hr, ema)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(gradient(loss, sr), gradient(expected, sr))
    perfect = hr.clone().requires_grad_()
    assert torch.isfinite(gradient(artifact_loss(perfect, hr, ema), perfect)).all()


class TwoLayers(FrozenFeatures):
    def forward(self, images: Tensor) -> list[Tensor]:
        return [images**2, images.mean(1, keepdim=True)]


def test_perceptual_loss_weighs_layers_and_spares_the_target():
    sr, hr = images(1).requires_grad_(), images(2).requires_grad_()
    loss = PerceptualLoss(TwoLayers(), [0.1, 2.0])(sr, hr)
    expected = 0.1 * F.l1_loss(sr**2, hr**2) + 2.0 * F.l1_loss(sr.mean(1), hr.mean(1))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    assert torch.autograd.grad(loss, hr, allow_unused=True, retain_graph=True) == (None,)
    torch.testing.assert_close(gradient(loss, sr), gradient(expected, sr))


@pytest.mark.parametrize(
    "section",
    ["perceptual.fidelity_loss", "perceptual.perceptual_loss", "perceptual.discriminator", "generator", "degradation"],
)
def test_a_class_of_another_kind_is_one_sentence(section: str):
    """`module:Class` must be a section of the right kind: a generator is no loss."""
    kind = "aesop.losses.term:LossSection" if section == "generator" else "aesop.networks.section:GeneratorSection"
    with pytest.raises(RecipeError, match=rf"{kind}: .* has no class"):
        load_recipe("laptop", [f"{section}={{type: '{kind}'}}"])
