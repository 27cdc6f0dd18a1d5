"""The generators a recipe can name: files, sizes, attention windows, training, mistakes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from pydantic import ValidationError
from spandrel import ImageModelDescriptor, ModelLoader
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.networks.generators import DRCTConfig, SPANConfig, SRVGGConfig, SwinIRConfig
from aesop.networks.loading import load_generator
from aesop.networks.rrdb import RRDBConfig
from aesop.networks.section import GeneratorSection
from aesop.networks.spandrel_any import SpandrelConfig
from aesop.networks.srresnet import SRResNetConfig
from aesop.networks.state_dicts import write_state
from aesop.networks.upconv import UpConvConfig
from aesop.upscaling.tiles import upscale_tiled
from helpers import randomise
from tiny_systems import DAT

Section = TypeVar("Section", bound=GeneratorSection)


def section(kind: type[Section], **values: object) -> Section:
    return kind.model_validate(values)


SWINIR = section(SwinIRConfig, type="swinir", features=12, groups=1, blocks=2, heads=2, window=4, mlp_ratio=1)
DRCT = section(DRCTConfig, type="drct", features=16, groups=1, heads=2, growth=8, window=4)
HAT = section(SpandrelConfig, type="spandrel",
    architecture="hat",
    arguments={
        "embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 4, "squeeze_factor": 3,
        "upsampler": "pixelshuffle", "num_feat": 16,
    },
)  # fmt: skip
SAFMN = section(SpandrelConfig, type="spandrel", architecture="SAFMN", arguments={"dim": 8, "n_blocks": 1})
RCAN = section(
    SpandrelConfig, type="spandrel", architecture="RCAN", arguments={"n_resgroups": 1, "n_resblocks": 1, "n_feats": 16}
)
TINY: dict[str, GeneratorSection] = {
    "rrdb": section(RRDBConfig, type="rrdb", features=4, blocks=1, growth=4),
    "swinir": SWINIR,
    "swinir-light": SWINIR.model_copy(update={"upsampler": "pixelshuffledirect"}),
    "swinir-real": SWINIR.model_copy(update={"upsampler": "nearest+conv"}),
    "drct": DRCT,
    "srresnet": section(SRResNetConfig, type="srresnet", features=8, blocks=2),
    "srresnet-bn": section(SRResNetConfig, type="srresnet", features=8, blocks=2, norm=True),
    "srvgg": section(SRVGGConfig, type="srvgg", features=4, convs=1),
    "upconv": section(UpConvConfig, type="upconv", features=4, blocks=1, head=2),
    "span": section(SPANConfig, type="span", features=8),
    "span-norm": section(SPANConfig, type="span", features=8, norm=True),
    "hat": HAT,
    "dat": section(SpandrelConfig, type="spandrel", architecture="DAT", arguments=DAT),
    "rcan": RCAN,
    "safmn": SAFMN,
}
EVERY_SCALE = [
    (name, scale)
    for name in TINY
    for scale in (2, 3, 4, 8)
    if scale != 3 or name not in ("rrdb", "swinir-real")
    if scale in (2, 3) or name not in ("dat", "hat", "rcan", "safmn", "swinir-light", "span-norm")
]


@torch.no_grad()
def run(model: nn.Module, lr: Tensor) -> Tensor:
    return model(lr)


def saved(model: nn.Module, folder: Path, **metadata: object) -> Path:
    write_state(folder / "generator.safetensors", model.state_dict(), metadata)
    return folder / "generator.safetensors"


@pytest.mark.parametrize(("name", "scale"), EVERY_SCALE)
def test_a_file_gives_the_network_back(tmp_path: Path, name: str, scale: int):
    """By the settings that it records, or by its shapes if it records none."""
    config = TINY[name]
    ours = randomise(config.build(scale))
    record = {"recipe": {"scale": scale, "generator": config.model_dump(mode="json")}, "stage": "fidelity"}
    loaded = [load_generator(saved(ours, tmp_path, **said)) for said in (record, {})]
    assert loaded[0].architecture == loaded[1].architecture
    assert {file.scale for file in loaded} == {scale}
    assert not any(file.model.training for file in loaded)
    for height, width in ((9, 14), (1, 3)):
        lr = torch.rand(2, 3, height, width)
        assert run(ours, lr).shape == (2, 3, scale * height, scale * width)
        assert torch.equal(run(loaded[0].model, lr), run(ours, lr))
        torch.testing.assert_close(run(loaded[1].model, lr), run(ours, lr))
    torch.testing.assert_close(run(copy.deepcopy(ours), lr), run(ours, lr))


@pytest.mark.parametrize("name", [name for name in TINY if not name.startswith(("srresnet", "upconv"))])
def test_programs_that_use_spandrel_make_the_same_picture(tmp_path: Path, name: str):
    config = TINY[name] if name != "rrdb" else TINY[name].model_copy(update={"growth": 32})  # spandrel reads no other
    ours = randomise(config.build(4))
    theirs = ModelLoader("cpu").load_from_file(saved(ours, tmp_path))
    assert isinstance(theirs, ImageModelDescriptor)
    for size in ((16, 48), (17, 33), (5, 18)):
        lr = torch.rand(1, 3, *size)
        torch.testing.assert_close(run(ours, lr).clamp(0, 1), theirs(lr).clone())


@pytest.mark.parametrize("config", [SWINIR, DRCT])
def test_windows_that_do_not_divide_16_take_every_size(tmp_path: Path, config: GeneratorSection):
    """spandrel pads to 16 pixels; then SwinIR cannot reflect another 16, and DRCT cannot make a window of 32."""
    ours = randomise(config.model_copy(update={"window": 32}).build(2))
    loaded = load_generator(saved(ours, tmp_path))
    lr = torch.rand(1, 3, 5, 26)
    assert run(ours, lr).shape == (1, 3, 10, 52)
    torch.testing.assert_close(run(loaded.model, lr), run(ours, lr))


@pytest.mark.parametrize("name", TINY)
def test_training_from_scratch_lowers_the_loss(name: str):
    torch.manual_seed(1)
    model = TINY[name].build(2).train()
    lr = torch.rand(1, 3, 16, 16)
    negative = 1 - F.interpolate(lr, scale_factor=2.0, mode="bilinear")  # nothing starts out near it
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=3e-3)
    losses = []
    for _ in range(40):
        loss = (model(lr) - negative).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(parameter.grad is not None for parameter in trained)  # else training on many devices stops


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (section(RRDBConfig, type="rrdb"), 16.697987),
        (section(SwinIRConfig, type="swinir"), 11.90),  # SwinIR-M at x4, 11.9 M as published
        (section(DRCTConfig, type="drct"), 14.14),  # 14.13M, not rounded, in the README of ming053l/DRCT
        (section(SRResNetConfig, type="srresnet"), 1.517571),
    ],
)
def test_published_numbers_of_parameters(config: GeneratorSection, expected: float):
    count = sum(parameter.numel() for parameter in config.build(4).parameters())
    assert count / 1e6 == pytest.approx(expected, abs=0.5e-2 if expected in (11.90, 14.14) else 0.5e-6)


# Attention windows


@pytest.mark.parametrize("config", [SWINIR, DRCT, HAT])
def test_what_a_border_shows_stays_on_its_side(config: GeneratorSection):
    model = randomise(config.build(2))
    lr = torch.rand(1, 3, 12, 48)
    other = lr.clone()
    other[..., :2] = 1 - other[..., :2]
    change = (run(model, other) - run(model, lr)).abs().amax(dim=(0, 1, 2))
    assert change[:4].max() > 1e-2
    assert change[-24:].max() < 1e-5


@pytest.mark.parametrize("name", ["swinir", "swinir-light", "swinir-real", "drct", "srresnet", "span"])
@pytest.mark.parametrize("size", [(75, 61), (32, 97)])
def test_tiles_make_the_whole_picture_at_odd_sizes(name: str, size: tuple[int, int]):
    """Tiles have the same windows as the whole picture, and only the picture's own border is padded."""
    model = randomise(TINY[name].build(2))
    image = torch.rand(3, *size)
    tiled = upscale_tiled(model, image, 2, tile=32, overlap=32)
    torch.testing.assert_close(tiled, run(model, image.unsqueeze(0))[0], atol=1e-4, rtol=1e-4)
    # Without an overlap they do not: the test can tell.
    seams = upscale_tiled(model, image, 2, tile=32, overlap=0)
    assert (seams - tiled).abs().max() > 1e-2


# Single architectures


def test_span_runs_as_it_was_trained():
    """In training it has three convolutions and a shortcut, in evaluation the equivalent single convolution."""
    model = randomise(section(SPANConfig, type="span", features=8).build(2))
    lr = torch.rand(1, 3, 11, 6)
    torch.testing.assert_close(run(model, lr), run(model.train(), lr), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_released_msrresnet_files_load(tmp_path: Path, scale: int):
    """Written out from the keys and shapes of basicsr/archs/srresnet_arch.py: the independent reference."""
    layers = {"conv_first": (3, 8), "conv_hr": (8, 8), "conv_last": (8, 3)}
    layers |= {f"body.{block}.conv{number}": (8, 8) for block in range(2) for number in (1, 2)}
    factors = [2, 2] if scale == 4 else [scale]
    layers |= {f"upconv{number}": (8, 8 * factor**2) for number, factor in enumerate(factors, 1)}
    state = {}
    for name, (inputs, outputs) in layers.items():
        state[f"{name}.weight"] = torch.randn(outputs, inputs, 3, 3) / (9 * inputs) ** 0.5
        state[f"{name}.bias"] = torch.randn(outputs) / 4
    torch.save({"params": state}, tmp_path / "msrresnet.pth")
    loaded = load_generator(tmp_path / "msrresnet.pth")

    def conv(name: str, x: Tensor) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)

    lr = torch.rand(1, 3, 9, 6)
    x = F.leaky_relu(conv("conv_first", lr), 0.1)
    for block in range(2):
        x = x + conv(f"body.{block}.conv2", conv(f"body.{block}.conv1", x).clamp(min=0))
    for number, factor in enumerate(factors, 1):
        x = F.leaky_relu(F.pixel_shuffle(conv(f"upconv{number}", x), factor), 0.1)
    x = conv("conv_last", F.leaky_relu(conv("conv_hr", x), 0.1))
    x = x + F.interpolate(lr, size=(9 * scale, 6 * scale), mode="bilinear", align_corners=False)
    assert (loaded.scale, loaded.architecture) == (scale, "SRResNet")
    torch.testing.assert_close(run(loaded.model, lr), x)


def test_drct_files_whose_1x1_convolutions_are_matrices_load(tmp_path: Path):
    ours = randomise(DRCT.build(4))
    state = {
        key: value.flatten(1) if ".adjust" in key and key.endswith("weight") else value
        for key, value in ours.state_dict().items()
    }
    assert state["layers.0.adjust3.weight"].shape == (8, 32)
    torch.save({"params_ema": state}, tmp_path / "drct.pth")
    lr = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(run(load_generator(tmp_path / "drct.pth").model, lr), run(ours, lr))


def test_parameters_that_no_output_depends_on_are_not_trained():
    """They would stop a training on many devices; Swift-SRGAN has activations that it never calls."""
    model = section(SpandrelConfig, type="spandrel", architecture="SwiftSRGAN").build(2)
    model(torch.rand(2, 3, 8, 8)).mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


def test_rcan_leaves_its_input_alone():
    """spandrel's multiplies it by 255 in place."""
    model = RCAN.build(2)
    lr = torch.rand(1, 3, 8, 8)
    before = lr.clone()
    model(lr)
    assert torch.equal(lr, before)


def test_crops_are_multiples_of_the_windows():
    swinir = {"window_size": 8, "embed_dim": 8, "depths": [2], "num_heads": [2], "upsampler": "pixelshuffle"}
    configs = [SWINIR, DRCT, SAFMN, section(SpandrelConfig, type="spandrel", architecture="SwinIR", arguments=swinir)]
    assert [config.multiple for config in configs] == [4, 16, 8, 8]
    assert {TINY[name].multiple for name in ("srresnet", "span")} == {1}
    # The stated multiple is one that needs no padding: the last row and column are not made up.
    seen: list[torch.Size] = []
    for config in configs:
        model, side = config.build(2), max(16, config.multiple)
        first = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
        first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-2:]))
        run(model, torch.rand(1, 3, side, 2 * side))
        assert seen.pop() == (side, 2 * side)


def test_architectures_answer_to_each_of_their_names():
    for name in ("compact", "RealESRGAN Compact"):
        assert section(SpandrelConfig, type="spandrel", architecture=name).architecture == "Compact"


def test_spandrels_checks_do_not_disturb_the_random_numbers():
    """Otherwise the first network built in a process would differ from later ones with the same seed."""
    config = section(SpandrelConfig, type="spandrel", architecture="SAFMN", arguments={"dim": 8, "n_blocks": 2})
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(config.build(2).state_dict())
    torch.testing.assert_close(states[0], states[1])


# Mistakes


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (SwinIRConfig, {"type": "swinir", "features": 100}, "100 features cannot be divided among 6 heads"),
        (SwinIRConfig, {"type": "swinir", "window": 7}, "multiple of 2"),
        (DRCTConfig, {"type": "drct", "features": 24, "growth": 10, "heads": 8}, "34 channels of its block 2"),
        (SpandrelConfig, {"architecture": "HATT"}, "no architecture HATT; the nearest are HAT"),
        (SpandrelConfig, {"architecture": "KBNet"}, "KBNet_l, KBNet_s"),
        (SpandrelConfig, {"architecture": "SAFMN", "arguments": {"width": 8}}, "no argument width; it takes dim"),
        (SpandrelConfig, {"architecture": "SPAN"}, "needs the arguments num_in_ch, num_out_ch"),
    ],
)
def test_mistaken_sections_are_refused(kind: type[GeneratorSection], values: dict[str, object], message: str):
    with pytest.raises(ValidationError, match=message):
        kind.model_validate({"type": "spandrel"} | values)


@pytest.mark.parametrize(
    ("architecture", "arguments", "scale", "message"),
    [
        ("UpCunet2x", {}, 4, "UpCunet2x upscales by 2 with these arguments, not by 4"),
        ("DnCNN", {}, 2, "DnCNN does not upscale RGB pictures"),
        ("NAFNet", {}, 2, "cannot read files of a NAFNet .*no architecture has these parameters"),
        ("FDAT", {}, 8, "FDAT cannot be built from these arguments"),
        ("SwinIR", {"window_size": 8, "depths": [1], "num_heads": [6]}, 2, "set the argument `upsampler`"),
        ("RCAN", {"n_resgroups": 1, "n_resblocks": 1, "rgb_range": 1}, 2, "rgb_range 255 instead of 1"),
        ("Compact", {"upscale": 3}, 2, "upscales by 3"),
    ],
)
def test_what_could_not_be_trained_and_read_again_is_refused(
    architecture: str, arguments: dict[str, object], scale: int, message: str
):
    config = SpandrelConfig.model_validate({"type": "spandrel", "architecture": architecture, "arguments": arguments})
    with pytest.raises(ValueError, match=message):
        config.check(scale)
    with pytest.raises(ValueError, match=message):
        config.build(scale)


def test_networks_that_double_have_no_scale_3():
    with pytest.raises(ValueError, match="scale 3"):
        TINY["rrdb"].build(3)
    with pytest.raises(ValueError, match="no scale 3; take pixelshuffle"):
        TINY["swinir-real"].check(3)
    with pytest.raises(ValueError, match="scales 2, 3, 4 and 8, not 5"):
        TINY["srresnet"].build(5)
