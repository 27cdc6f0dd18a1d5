"""Discriminators: published layers and files, gradients, and the GAN losses; CALGAN's own are in `test_calgan.py`."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.errors import ModelError
from aesop.losses.adversarial import PlainGANConfig, RelativisticGANConfig
from aesop.networks.discriminators import DiscriminatorConfig, Logits
from aesop.networks.discriminators.calgan import CALGANDiscriminatorConfig
from aesop.networks.discriminators.patchgan import PatchGANDiscriminator, PatchGANDiscriminatorConfig
from aesop.networks.discriminators.unet import UNetDiscriminator, UNetDiscriminatorConfig
from aesop.networks.discriminators.vgg import VGGDiscriminator, VGGDiscriminatorConfig
from aesop.networks.loading import load_discriminator, load_generator
from aesop.networks.rrdb import RRDBNet

SMALL = [
    VGGDiscriminatorConfig(features=4),
    UNetDiscriminatorConfig(type="unet", features=4),
    PatchGANDiscriminatorConfig(type="patchgan", features=4, layers=2),
    CALGANDiscriminatorConfig(type="calgan", features=4, experts=3),
]
each = pytest.mark.parametrize("config", SMALL, ids=lambda config: config.type)


def judge(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and regulariser; discriminators that have none give zero."""
    output = network(images)
    if isinstance(output, Logits):
        assert output.regulariser is not None
        return output.values, output.regulariser
    return output, output.new_zeros(())


# What every discriminator promises.


@each
def test_a_recipes_section_becomes_a_discriminator_of_each_picture(config):
    section = TypeAdapter(DiscriminatorConfig).validate_python(config.model_dump())
    assert section == config
    images = torch.rand(3, 3, 16, 16, requires_grad=True)
    logits, regulariser = judge(section.build(16), images)
    assert logits.shape[0] == 3
    assert logits.isfinite().all()
    assert regulariser.shape == ()
    assert torch.autograd.grad(logits.sum(), images)[0].abs().sum() > 0


@each
@pytest.mark.parametrize("gan", [RelativisticGANConfig(), PlainGANConfig(type="plain")], ids=lambda gan: gan.type)
def test_a_training_step_lowers_the_loss(config, gan):
    network = config.build(16)
    real, fake = torch.rand(2, 4, 3, 16, 16).unbind()
    with torch.no_grad():
        for _ in range(30):  # the spectral norms settle
            network(real)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)

    def loss() -> Tensor:
        (on_real, first), (on_fake, second) = judge(network, real), judge(network, fake)
        return gan.discriminator(on_real, on_fake) + first + second

    before = loss()
    before.backward()
    optimizer.step()
    assert loss() < before


@pytest.mark.parametrize(
    ("config", "crop", "mend", "smallest"),
    [
        (SMALL[0], 7, "take 8 pixels or more", 8),
        (SMALL[1], 100, "take a multiple of 8, as 96", 96),
        (SMALL[1], 4, "as 8", 8),
        (SMALL[2], 11, "take 12 pixels or more, or fewer layers", 12),
        (PatchGANDiscriminatorConfig(type="patchgan", features=2), 23, "take 24 pixels or more", 24),
        (SMALL[3], 7, "take 8 pixels or more", 8),
    ],
)
def test_a_crop_that_it_cannot_take_is_one_sentence(config, crop: int, mend: str, smallest: int):
    for refuses in (config.check, config.build):
        with pytest.raises(ValueError, match=rf"\b{crop}\b.*{mend}"):
            refuses(crop)
    config.check(smallest)
    logits, regulariser = judge(config.build(smallest), torch.rand(2, 3, smallest, smallest))
    assert logits.isfinite().all()
    assert regulariser.isfinite()


# VGG.


@settings(deadline=None, max_examples=20)
@given(crop=st.integers(8, 70))
def test_vgg_takes_any_crop(crop: int):
    network = VGGDiscriminator(crop, features=1)
    assert network(torch.rand(2, 3, crop, crop)).shape == (2, 1)
    levels = sum(key.endswith("_1.weight") and key.startswith("conv") for key in network.state_dict())
    assert crop // 2**levels <= 4 < crop // 2 ** (levels - 1)


def vgg_keys(levels: int) -> set[str]:
    convs = {f"conv{level}_{part}.weight" for level in range(levels) for part in (0, 1)} | {"conv0_0.bias"}
    norms = {f"bn{level}_{part}" for level in range(levels) for part in (0, 1)} - {"bn0_0"}
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    linears = {f"linear{number}.{part}" for number in (1, 2) for part in ("weight", "bias")}
    return convs | {f"{norm}.{part}" for norm in norms for part in parts} | linears


@pytest.mark.parametrize(("crop", "levels", "left"), [(64, 4, 4), (96, 5, 3), (128, 5, 4), (192, 6, 3), (256, 6, 4)])
def test_vgg_has_the_published_names(crop: int, levels: int, left: int):
    with torch.device("meta"):
        state = VGGDiscriminator(crop).state_dict()
    assert state.keys() == vgg_keys(levels)
    assert state["linear1.weight"].shape == (100, 512 * left**2)
    assert state["conv3_0.weight"].shape == (512, 256, 3, 3)
    assert state[f"conv{levels - 1}_1.weight"].shape == (512, 512, 4, 4)


def test_vgg_has_as_many_parameters_as_basicsr_logs():
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in VGGDiscriminator(128).parameters()) == 14_499_401


# U-Net.


def reference_unet(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """UNetDiscriminatorSN, written out from its file's keys."""

    def conv(number: int, x: Tensor) -> Tensor:
        weight, bias = state.get(f"conv{number}.weight"), state.get(f"conv{number}.bias")
        if weight is None:
            original = state[f"conv{number}.weight_orig"]
            left, right = state[f"conv{number}.weight_u"], state[f"conv{number}.weight_v"]
            weight = original / (left @ original.flatten(1) @ right)
        return F.conv2d(x, weight, bias, stride=2 if number in (1, 2, 3) else 1, padding=1)

    def act(x: Tensor) -> Tensor:
        return F.leaky_relu(x, 0.2)

    def double(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear")

    x0 = act(conv(0, images))
    x1 = act(conv(1, x0))
    x2 = act(conv(2, x1))
    x = act(conv(4, double(act(conv(3, x2))))) + x2
    x = act(conv(5, double(x))) + x1
    x = act(conv(6, double(x))) + x0
    return conv(9, act(conv(8, act(conv(7, x)))))


def unet_shapes(features: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the released discriminators of Real-ESRGAN."""
    widths = {1: (1, 2), 2: (2, 4), 3: (4, 8), 4: (8, 4), 5: (4, 2), 6: (2, 1), 7: (1, 1), 8: (1, 1)}
    shapes: dict[str, tuple[int, ...]] = {
        "conv0.weight": (features, 3, 3, 3),
        "conv0.bias": (features,),
        "conv9.weight": (1, features, 3, 3),
        "conv9.bias": (1,),
    }
    for number, (inputs, outputs) in widths.items():
        taps = 4 if number <= 3 else 3
        shapes[f"conv{number}.weight_orig"] = (outputs * features, inputs * features, taps, taps)
        shapes[f"conv{number}.weight_u"] = (outputs * features,)
        shapes[f"conv{number}.weight_v"] = (inputs * features * taps**2,)
    return shapes


def test_a_released_unet_loads_and_judges_as_written_out(tmp_path: Path):
    with torch.device("meta"):
        assert {key: tuple(value.shape) for key, value in UNetDiscriminator().state_dict().items()} == unet_shapes(64)
    released = {key: torch.randn(shape) / math.prod(shape[1:]) ** 0.5 for key, shape in unet_shapes(4).items()}
    for number in range(1, 9):
        left, _, right = torch.linalg.svd(released[f"conv{number}.weight_orig"].flatten(1), full_matrices=False)
        released[f"conv{number}.weight_u"], released[f"conv{number}.weight_v"] = left[:, 0].clone(), right[0].clone()
    torch.save({"params": {f"module.{key}": value for key, value in released.items()}}, tmp_path / "netD.pth")
    network = UNetDiscriminator(features=4)
    load_discriminator(network, tmp_path / "netD.pth")
    images = torch.rand(2, 3, 16, 24)
    torch.testing.assert_close(network.eval()(images), reference_unet(released, images), rtol=1e-4, atol=1e-6)


def test_both_passes_of_the_unet_keep_their_gradients():
    """After passes of HR and SR come G's gradient and then D's; each must use the weights of its pass."""
    network = UNetDiscriminator(features=2).double().train()
    real, fake = torch.rand(2, 2, 3, 8, 8, dtype=torch.float64).unbind()
    fake.requires_grad_()
    leaves = dict(network.named_parameters())

    logits, expected = [], []
    for images in (real, fake):
        logits.append(network(images))
        vectors = {key: value.clone() for key, value in network.named_buffers()}
        expected.append(reference_unet(leaves | vectors, images))
    gan, gradients = PlainGANConfig(type="plain"), []
    for judged in (logits, expected):
        of_sr = torch.autograd.grad(gan.generator(*judged), [fake], retain_graph=True)
        gradients.append(of_sr + torch.autograd.grad(gan.discriminator(*judged), list(leaves.values())))
    torch.testing.assert_close(*gradients)


# PatchGAN.


def test_patchgan_has_the_published_names():
    convs = {f"model.{number}.weight" for number in (0, 2, 5, 8, 11)} | {"model.0.bias", "model.11.bias"}
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    norms = {f"model.{number}.{part}" for number in (3, 6, 9) for part in parts}
    assert PatchGANDiscriminator(features=2).state_dict().keys() == convs | norms


@pytest.mark.parametrize(("layers", "patch"), [(1, 16), (2, 34), (3, 70)])
def test_a_patchgan_logit_sees_its_patch(layers: int, patch: int):
    crop = 2 * patch
    network = PatchGANDiscriminator(features=2, layers=layers).eval()
    images = torch.rand(1, 3, crop, crop, requires_grad=True)
    logits = network(images)
    assert logits.shape[-1] == crop // 2**layers - 2
    middle = logits.shape[-1] // 2
    (slope,) = torch.autograd.grad(logits[0, 0, middle, middle], images)
    seen = slope[0].abs().sum(0).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [patch, patch]


# Files.


@each
def test_a_saved_discriminator_loads(config, tmp_path: Path):
    saved, fresh = config.build(24), config.build(24)
    torch.save(saved.state_dict(), tmp_path / "d.pth")
    load_discriminator(fresh, tmp_path / "d.pth")
    with pytest.raises(ModelError, match=r"d\.pth is a discriminator; a generator is expected here"):
        load_generator(tmp_path / "d.pth")
    for key, value in saved.state_dict().items():
        assert torch.equal(fresh.state_dict()[key], value)


@pytest.mark.parametrize(
    ("saved", "built", "difference"),
    [
        (VGGDiscriminator(16, 2), VGGDiscriminator(16, 4), r"conv0_0.weight is \(2,.* instead of \(4,"),
        (VGGDiscriminator(16, 2), VGGDiscriminator(12, 2), r"linear1.weight is \(100, 64\) instead of \(100, 36\)"),
        (VGGDiscriminator(16, 2), VGGDiscriminator(32, 2), r"conv2_0.weight is missing"),
        (VGGDiscriminator(32, 2), VGGDiscriminator(16, 2), r"instead of"),
        (PatchGANDiscriminator(2), UNetDiscriminator(2), r"conv0.weight is missing"),
        (PatchGANDiscriminator(2, 3), PatchGANDiscriminator(2, 2), r"instead of"),
        (nn.ModuleDict({"model": PatchGANDiscriminator(2).model, "extra": nn.PReLU()}), PatchGANDiscriminator(2),
         r"extra.weight is \(1,\) instead of absent"),
    ],
)  # fmt: skip
def test_a_file_of_another_discriminator_is_one_sentence(
    saved: nn.Module, built: nn.Module, difference: str, tmp_path: Path
):
    torch.save({"params": saved.state_dict()}, tmp_path / "d.pth")
    with pytest.raises(ModelError, match=rf"^perceptual.discriminator_weights: .*d\.pth .*{difference}.*; name a file"):
        load_discriminator(built, str(tmp_path / "d.pth"))


def test_a_generator_is_no_discriminator(tmp_path: Path):
    torch.save(RRDBNet(4, 4, 1, 4).state_dict(), tmp_path / "g.pth")
    with pytest.raises(ModelError, match=r"g\.pth is a generator \(ESRGAN\); a discriminator is expected here"):
        load_discriminator(PatchGANDiscriminator(2), tmp_path / "g.pth")
