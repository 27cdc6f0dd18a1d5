"""SPSR: its gradient maps, its network, and the files of its release."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.losses.gradient import GradientLossConfig
from aesop.networks.loading import load_generator
from aesop.networks.rrdb import RRDBNet
from aesop.networks.spsr import SPSRConfig, SPSRNet, Trunk, gradient_map
from aesop.networks.state_dicts import write_state
from equations import slow_gradient_map
from helpers import randomise

# Gradient maps.


def test_gradient_map_is_its_equation():
    images = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(gradient_map(images), slow_gradient_map(images))
    pixels = images[0, 0].tolist()  # and one pixel by hand, at a border
    across, down = pixels[0][3] - pixels[0][1], pixels[1][2] - 0
    assert gradient_map(images)[0, 0, 0, 2].item() == pytest.approx(math.sqrt(across**2 + down**2 + 1e-6), rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_flat_images_have_finite_gradients(value: float):
    images = torch.full((1, 3, 6, 6), value, requires_grad=True)
    found = gradient_map(images)
    torch.testing.assert_close(found[..., 1:-1, 1:-1], torch.full((1, 3, 4, 4), 1e-3))
    (slope,) = torch.autograd.grad(found.sum(), images)
    assert slope.isfinite().all()


def test_gradient_losses_weigh_as_published():
    losses = GradientLossConfig.model_validate({})
    assert (losses.weight, losses.branch_weight, losses.adversarial_weight) == (0.01, 0.5, 0.005)


# The released network, written out: names, widths and connections of its layers.


def released_layers(features: int, growth: int, doublings: int, blocks: int = 23) -> dict[str, tuple[int, int, int]]:
    """Name every convolution of a released file: (inputs, outputs, kernel size)."""
    layers = {"model.0": (3, features, 3), f"model.1.sub.{blocks}": (features, features, 3)}
    rrdbs = {f"model.1.sub.{block}": features for block in range(blocks)}
    rrdbs |= {f"b_block_{number}": 2 * features for number in (1, 2, 3, 4)}
    rrdbs["f_block"] = 2 * features
    for name, width in rrdbs.items():
        for dense in (1, 2, 3):
            for conv in (1, 2, 3, 4, 5):
                outputs = growth if conv < 5 else width
                layers[f"{name}.RDB{dense}.conv{conv}.0"] = (width + (conv - 1) * growth, outputs, 3)
    numbers = {1: ((3,), (1,)), 2: ((3, 6), (1, 4)), 3: ((3, 6, 9), (1, 4, 7))}[doublings]
    for number in (*numbers[0], {1: 5, 2: 8, 3: 11}[doublings]):
        layers[f"model.{number}"] = (features, features, 3)
    for number in (*numbers[1], *{1: (3, 5), 2: (6, 8), 3: (9, 11)}[doublings]):
        layers[f"b_module.{number}"] = (features, features, 3)
    for number in (1, 2, 3, 4):
        layers[f"b_concat_{number}.0"] = (2 * features, features, 3)
    return layers | {
        "HR_conv1_new.0": (features, features, 3),
        "b_fea_conv.0": (3, features, 3),
        "b_LR_conv.0": (features, features, 3),
        "conv_w.0": (features, 3, 1),
        "f_concat.0": (2 * features, features, 3),
        "f_HR_conv0.0": (features, features, 3),
        "f_HR_conv1.0": (features, 3, 3),
    }


def released_state(features: int, growth: int, doublings: int, blocks: int = 23) -> dict[str, Tensor]:
    state = {}
    for name, (inputs, outputs, size) in released_layers(features, growth, doublings, blocks).items():
        state[f"{name}.weight"] = torch.randn(outputs, inputs, size, size) / (inputs * size**2) ** 0.5
        state[f"{name}.bias"] = torch.randn(outputs) / 4
    for part in ("weight", "bias"):
        state[f"HR_conv0_new.0.{part}"] = state[f"model.{3 * doublings + 2}.{part}"]
    state["get_g_nopadding.weight_h"] = torch.tensor([[0.0, 0, 0], [-1, 0, 1], [0, 0, 0]]).view(1, 1, 3, 3)
    state["get_g_nopadding.weight_v"] = state["get_g_nopadding.weight_h"].transpose(2, 3)
    return state


def released_network(state: dict[str, Tensor], lr: Tensor, scale: int, blocks: int) -> tuple[Tensor, Tensor]:
    """Compute SR and gradient map from a released file's parameters."""

    def conv(name: str, x: Tensor) -> Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def active(name: str, x: Tensor) -> Tensor:
        x = conv(name, x)
        return torch.maximum(x, 0.2 * x)

    def rrdb(name: str, x: Tensor) -> Tensor:
        out = x
        for dense in (1, 2, 3):
            seen = [out]
            for layer in (1, 2, 3, 4):
                seen.append(active(f"{name}.RDB{dense}.conv{layer}.0", torch.cat(seen, 1)))
            out = out + 0.2 * conv(f"{name}.RDB{dense}.conv5.0", torch.cat(seen, 1))
        return x + 0.2 * out

    def doubled(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    doublings = {2: 1, 4: 2, 8: 3}[scale]
    weights = [state["get_g_nopadding.weight_h"], state["get_g_nopadding.weight_v"]]
    squares = [F.conv2d(lr, weight.expand(3, 1, 3, 3), padding=1, groups=3) ** 2 for weight in weights]
    gradient = (squares[0] + squares[1] + 1e-6).sqrt()

    first = x = conv("model.0", lr)
    depths = []
    for block in range(blocks):
        x = rrdb(f"model.1.sub.{block}", x)
        if block + 1 in (5, 10, 15, 20):
            depths.append(x)
    x = first + conv(f"model.1.sub.{blocks}", x)
    for number in range(doublings):
        x = active(f"model.{3 * number + 3}", doubled(x))
    x = conv("HR_conv1_new.0", active("HR_conv0_new.0", x))

    branch_first = branch = conv("b_fea_conv.0", gradient)
    for number, depth in enumerate(depths, start=1):
        branch = conv(f"b_concat_{number}.0", rrdb(f"b_block_{number}", torch.cat((branch, depth), 1)))
    branch = branch_first + conv("b_LR_conv.0", branch)
    for number in range(doublings):
        branch = active(f"b_module.{3 * number + 1}", doubled(branch))
    branch = conv(f"b_module.{3 * doublings + 2}", active(f"b_module.{3 * doublings}", branch))

    fused = conv("f_concat.0", rrdb("f_block", torch.cat((branch, x), 1)))
    return conv("f_HR_conv1.0", active("f_HR_conv0.0", fused)), conv("conv_w.0", branch)


@pytest.mark.parametrize(("scale", "blocks"), [(2, 23), (4, 23), (8, 23), (2, 20), (2, 30)])
def test_a_released_file_draws_what_the_released_network_draws(tmp_path: Path, scale: int, blocks: int):
    """The released network taps blocks 5, 10, 15 and 20, whatever its number of blocks."""
    state = released_state(features=6, growth=3, doublings={2: 1, 4: 2, 8: 3}[scale], blocks=blocks)
    torch.save(state, tmp_path / "spsr.pth")
    loaded, lr = load_generator(tmp_path / "spsr.pth"), torch.rand(2, 3, 5, 4)
    network = loaded.model
    assert isinstance(network, SPSRNet)
    expected_sr, expected_gradient = released_network(state, lr, scale, blocks)
    sr, gradient = network.sr_and_gradient(lr)
    assert (loaded.scale, loaded.architecture) == (scale, "SPSR")
    assert sr.shape == gradient.shape == (2, 3, 5 * scale, 4 * scale)
    torch.testing.assert_close(sr, expected_sr)
    torch.testing.assert_close(gradient, expected_gradient)
    torch.testing.assert_close(network(lr), expected_sr)


def test_the_network_has_as_many_parameters_as_the_released_one():
    layers = released_layers(features=64, growth=32, doublings=2)
    expected = sum(inputs * outputs * size**2 + outputs for inputs, outputs, size in layers.values())
    with torch.device("meta"):
        network = SPSRNet(4)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected == 24_796_230


# The network.


@pytest.mark.parametrize(
    ("blocks", "depths"),
    [(4, [1, 2, 3, 4]), (7, [1, 2, 3, 4]), (8, [2, 4, 6, 8]), (16, [3, 6, 9, 12]), (20, [5, 10, 15, 20])],
)
def test_the_branch_reads_a_short_trunk_at_four_even_depths(blocks: int, depths: list[int]):
    trunk, lr = Trunk(features=2, blocks=blocks, growth=1, doublings=0), torch.rand(1, 3, 2, 2)
    _, tapped = trunk(lr)
    for found, depth in zip(tapped, depths, strict=True):
        torch.testing.assert_close(found, trunk.body[:depth](trunk.conv_first(lr)))


def test_what_spsr_cannot_be_is_refused():
    config = SPSRConfig(type="spsr", features=4, blocks=4, growth=2)
    config.check(4)
    for refuse in (config.check, config.build):
        with pytest.raises(ValueError, match="no scale 3"):
            refuse(3)
    with pytest.raises(ValueError, match="4 blocks"):
        SPSRNet(4, blocks=3)
    with pytest.raises(ValidationError, match="blocks"):
        SPSRConfig(type="spsr", features=4, blocks=3, growth=2)


def test_both_outputs_train_every_layer():
    network = randomise(SPSRConfig(type="spsr", features=4, blocks=4, growth=2).build(2))
    sr, gradient = network.sr_and_gradient(torch.rand(1, 3, 6, 6))
    (sr.sum() + gradient.sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize("scale", [2, 4])
def test_the_trunk_starts_as_the_fidelity_network(scale: int):
    """All of its layers except the last; with that one as well, the trunk makes the fidelity network's picture."""
    network, fidelity = randomise(SPSRNet(scale, 6, 5, 4)), randomise(RRDBNet(scale, 6, 5, 4))
    lr = torch.rand(1, 3, 5, 7)
    rest = nn.ModuleList([network.trunk.conv_last, network.branch, network.to_gradient, network.fusion])
    fresh = {id(parameter): parameter.clone() for parameter in rest.parameters()}
    network.start_from(fidelity)
    assert all(torch.equal(parameter, fresh[id(parameter)]) for parameter in rest.parameters())
    copied = [parameter for parameter in network.parameters() if id(parameter) not in fresh]
    last = sum(parameter.numel() for parameter in fidelity.conv_last.parameters())
    assert sum(p.numel() for p in copied) == sum(p.numel() for p in fidelity.parameters()) - last

    with torch.no_grad():
        for mine, theirs in zip(network.trunk.conv_last.parameters(), fidelity.conv_last.parameters(), strict=True):
            mine[:3] = theirs
        torch.testing.assert_close(network.trunk(lr)[0][:, :3], fidelity(lr))
        fidelity.conv_first.weight.zero_()
    assert network.trunk.conv_first.weight.any(), "a copy, not the same parameters"


@pytest.mark.parametrize("other", [(4, 6, 4, 4), (2, 5, 4, 4), (2, 6, 5, 4), (2, 6, 4, 3), (2, 6, 4, 4, 2)])
def test_another_fidelity_network_is_refused_untouched(other: tuple[int, ...]):
    """One with another scale, width, depth or growth, or one that unshuffles first."""
    network = SPSRNet(2, 6, 4, 4)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError, match="another width, depth, growth or scale"):
        network.start_from(RRDBNet(*other))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize(("scale", "features", "blocks", "growth"), [(1, 4, 4, 2), (2, 4, 4, 3), (8, 6, 7, 2)])
def test_a_file_holds_the_whole_network(tmp_path: Path, scale: int, features: int, blocks: int, growth: int):
    network = randomise(SPSRNet(scale, features, blocks, growth))
    write_state(tmp_path / "spsr.safetensors", network.state_dict(), {"stage": "test"})
    loaded = load_generator(tmp_path / "spsr.safetensors").model
    assert isinstance(loaded, SPSRNet)
    assert loaded.scale == scale
    for height, width in ((1, 1), (4, 3)):
        lr = torch.rand(2, 3, height, width)
        sr, gradient = network.sr_and_gradient(lr)
        assert sr.shape == gradient.shape == (2, 3, scale * height, scale * width)
        for found, expected in zip((loaded(lr), loaded.sr_and_gradient(lr)[1]), (sr, gradient), strict=True):
            torch.testing.assert_close(found, expected)


def test_files_that_do_not_fit_together_are_refused():
    state = SPSRNet(2, 4, 4, 2).state_dict()
    incomplete = {key: value for key, value in state.items() if key != "to_gradient.bias"}
    with pytest.raises(ValueError, match="to_gradient"):
        SPSRNet.from_state(incomplete)
    with pytest.raises(ValueError, match=r"body\.9000"):
        SPSRNet.from_state(state | {"trunk.body.9000.rdb1.conv1.weight": torch.ones(1)})
    with pytest.raises(ValueError, match="unknown"):
        SPSRNet.from_state(released_state(4, 2, 1) | {"unknown.weight": torch.ones(1)})
