"""Networks and their files: ours, the official releases', spandrel's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from spandrel import ModelLoader
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.autoencoder import AutoEncoder, initialise_as_downscaler
from aesop.data.bicubic import resize
from aesop.errors import ModelError
from aesop.networks.features import EfficientNetFeatures, VGG19Config, VGG19Features
from aesop.networks.loading import load_generator
from aesop.networks.rrdb import RRDBNet
from helpers import randomise

# The official RRDBNet and auto-encoder, written out from their files' keys: the independent reference.


def conv(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)


def reference_rrdb(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    out = x
    for block in (1, 2, 3):
        seen = [out]
        for layer in range(1, 5):
            seen.append(F.leaky_relu(conv(state, f"{name}.rdb{block}.conv{layer}", torch.cat(seen, 1)), 0.2))
        out = conv(state, f"{name}.rdb{block}.conv5", torch.cat(seen, 1)) * 0.2 + out
    return out * 0.2 + x


def reference_rrdbnet(state: dict[str, Tensor], x: Tensor, blocks: int) -> Tensor:
    first = conv(state, "conv_first", x)
    body = first
    for block in range(blocks):
        body = reference_rrdb(state, f"body.{block}", body)
    x = first + conv(state, "conv_body", body)
    for up in ("conv_up1", "conv_up2"):
        x = F.leaky_relu(conv(state, up, x.repeat_interleave(2, 2).repeat_interleave(2, 3)), 0.2)
    return conv(state, "conv_last", F.leaky_relu(conv(state, "conv_hr", x), 0.2))


def reference_encoder(state: dict[str, Tensor], x: Tensor) -> Tensor:
    x = conv(state, "conv_first.1", conv(state, "conv_first.0", x))
    x = F.pixel_unshuffle(F.pixel_unshuffle(x, 2), 2)
    for block in range(2):
        x = reference_rrdb(state, f"body.{block}", x)
    return conv(state, "conv_last.1", conv(state, "conv_last.0", x))


def official_rrdb(features: int = 16, blocks: int = 2, growth: int = 8) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in randomise(RRDBNet(4, features, blocks, growth)).state_dict().items()}


def official_autoencoder(features: int = 48, growth: int = 8) -> dict[str, Tensor]:
    """A file in the reference's format, whose encoder is as wide as its decoder."""
    squeezed = features // 16
    layers = {
        "conv_first.0": (3, squeezed),
        "conv_first.1": (squeezed, squeezed),
        "conv_last.0": (features, features),
        "conv_last.1": (features, 3),
    }
    for block in range(2):
        for dense in (1, 2, 3):
            for layer in range(1, 6):
                outputs = growth if layer < 5 else features
                layers[f"body.{block}.rdb{dense}.conv{layer}"] = (features + (layer - 1) * growth, outputs)
    state = {}
    for name, (inputs, outputs) in layers.items():
        state[f"{name}.weight"] = torch.randn(outputs, inputs, 3, 3) / (9 * inputs) ** 0.5
        state[f"{name}.bias"] = torch.randn(outputs) / 4
    state |= {f"decoder.{key}": value for key, value in official_rrdb(features, 2, growth).items()}
    places = {"conv_first.": "encoder.0.", "body.": "encoder.2.", "conv_last.": "encoder.3."}
    for key in list(state):
        for part, duplicate in places.items():
            if key.startswith(part):
                state[duplicate + key.removeprefix(part)] = state[key]
    return state


def test_official_rrdb_file_of_any_width_gives_the_same_picture(tmp_path: Path):
    state = official_rrdb(features=24, blocks=3, growth=8)
    torch.save({"params": official_rrdb(), "params_ema": state}, tmp_path / "official.pth")
    loaded = load_generator(tmp_path / "official.pth")
    x = torch.rand(1, 3, 9, 7)
    assert (loaded.scale, loaded.architecture) == (4, "RRDB")
    torch.testing.assert_close(loaded.model(x), reference_rrdbnet(state, x, blocks=3))


def test_real_esrgan_x2_layout_loads(tmp_path: Path):
    """Its input is unshuffled by 2 and it doubles twice; spandrel is the reference, odd sizes included."""
    ours = randomise(RRDBNet(2, features=16, blocks=1, unshuffle=2))
    torch.save({"params_ema": ours.state_dict()}, tmp_path / "x2.pth")
    loaded = load_generator(tmp_path / "x2.pth")
    x = torch.rand(1, 3, 9, 7)
    assert loaded.scale == 2
    torch.testing.assert_close(loaded.model(x), ModelLoader("cpu").load_from_file(tmp_path / "x2.pth").model(x))


@pytest.mark.parametrize("features", [16, 32, 48, 64])
def test_official_autoencoder_file_of_any_width_gives_the_same_images(tmp_path: Path, features: int):
    state = official_autoencoder(features)
    torch.save({"params_ema": state}, tmp_path / "ae.pth")
    loaded = AutoEncoder.load(tmp_path / "ae.pth")
    hr = torch.rand(1, 3, 16, 24)
    bottleneck = reference_encoder(state, hr)
    decoder = {key.removeprefix("decoder."): value for key, value in state.items() if key.startswith("decoder.")}
    torch.testing.assert_close(loaded.encode(hr), bottleneck)
    torch.testing.assert_close(loaded(hr), reference_rrdbnet(decoder, bottleneck, blocks=2))


def test_the_papers_encoder_widths():
    """The official file's names and shapes, of the official width."""
    encoder = AutoEncoder(RRDBNet(4, blocks=1), 4).encoder
    official = official_autoencoder(features=64, growth=32)
    shapes = {key: value.shape for key, value in official.items() if not key.startswith(("decoder.", "encoder."))}
    assert {key: value.shape for key, value in encoder.state_dict().items()} == shapes


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_encoder_tells_colours_apart(scale: int):
    """Fewer than three channels before the unshuffle would map some colours to one."""
    encoder = AutoEncoder(nn.Identity(), scale, features=8).encoder
    conv_first = encoder.get_submodule("conv_first")
    first = conv_first.get_submodule("0").get_parameter("weight").sum((2, 3))
    assert torch.linalg.matrix_rank(first) == 3


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_downscaler_start_is_a_bicubic_downscaler(scale: int):
    encoder = AutoEncoder(nn.Identity(), scale, features=16, growth=4, blocks=2).encoder
    initialise_as_downscaler(encoder, scale)
    hr = F.interpolate(torch.rand(1, 3, 12, 12), size=(96, 96), mode="bicubic").clamp(0, 1)
    inside = (..., slice(2, -2), slice(2, -2))
    error = (encoder(hr) - resize(hr, 1 / scale))[inside].square().mean().sqrt()
    assert error < 0.02  # random weights of the body, and the kernel's tails beyond 3 LR pixels; a fresh encoder: 0.5


def test_autoencoder_refuses_odd_sizes_by_name():
    with pytest.raises(ValueError, match="50x48 are not a multiple of the scale 4"):
        AutoEncoder(nn.Identity(), 4, 8)(torch.rand(1, 3, 50, 48))


def test_vgg_features_are_taken_before_the_relu(tmp_path: Path):
    from torchvision.models.vgg import cfgs, make_layers

    reference = make_layers(cfgs["E"])
    torch.save({f"features.{key}": value for key, value in reference.state_dict().items()}, tmp_path / "vgg19.pth")
    features, weights = VGG19Config(type="vgg19", weights=tmp_path / "vgg19.pth").build()
    assert weights == [0.1, 0.1, 1.0, 1.0, 1.0]
    images = torch.rand(1, 3, 32, 32)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (images - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    convs = []
    for layer in reference:
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            convs.append(x.clone())
    expected = [convs[index] for index in (1, 3, 7, 11, 15)]  # conv1_2, conv2_2, conv3_4, conv4_4, conv5_4
    torch.testing.assert_close(features(images), expected)


def test_vgg_weights_that_cannot_be_had_are_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from urllib.error import URLError

    def unreachable(*_args: object, **_kwargs: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    with pytest.raises(ModelError, match=r"features\.weights=FILE"):
        VGG19Features(["conv1_1"])


def test_efficientnet_features_are_frozen_and_real():
    features = EfficientNetFeatures((0, 2)).train()
    assert not features.training
    assert not any(p.requires_grad for p in features.parameters())
    first, second = features(torch.rand(1, 3, 32, 32))
    assert (first.shape, second.shape) == ((1, 16, 16, 16), (1, 24, 8, 8))
    assert features(torch.zeros(1, 3, 32, 32))[0].std() > 0
