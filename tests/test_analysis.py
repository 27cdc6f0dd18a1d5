"""Analyses against closed forms, and against the losses that they draw."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.analysis.bias_variance import bias_variance, measure_bias_variance, write_bias_variance
from aesop.analysis.crops import crop_sheet, draw_crops, find_places, measured_captions, parse_box
from aesop.analysis.drawing import drawn, require_drawable
from aesop.analysis.loss_maps import draw_loss_maps, loss_maps
from aesop.analysis.models import Upscaling, fidelity_bias, parse_models
from aesop.analysis.spectra import draw_spectra, high_energy, log_spectrum, low_passed, reproduced, spectra
from aesop.autoencoder import AutoEncoder
from aesop.data.pictures import to_float, to_planes
from aesop.errors import AesopError, DataError
from aesop.evaluation.places import Place
from aesop.losses.aesop import AESOPLoss
from aesop.metrics import Settings
from aesop.networks.srvgg import SRVGGConfig
from helpers import synthetic_picture, synthetic_pictures


class Halving(nn.Module):
    """An auto-encoder that can be computed by hand: AE(y) = y / 2."""

    def forward(self, images: Tensor) -> Tensor:
        return images / 2


class Enlarging(nn.Module):
    """A model of scale 4 that adds a grey level."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.level = level

    def forward(self, lr: Tensor) -> Tensor:
        return lr.repeat_interleave(4, -1).repeat_interleave(4, -2) + self.level


def tiny_autoencoder(scale: int = 4) -> AutoEncoder:
    torch.manual_seed(0)
    return AutoEncoder(SRVGGConfig(type="srvgg", features=4, convs=1).build(scale), scale, growth=4, blocks=1).eval()


def grey(levels: Tensor) -> Tensor:
    return levels.expand(3, *levels.shape[-2:]).float()


def wave(length: int, cycles: int) -> Tensor:
    """An image of `length` x `length` pixels with a cosine of amplitude 0.25 across its columns."""
    phase = 2 * math.pi * cycles * torch.arange(length) / length
    return grey(0.5 + 0.25 * phase.cos().expand(length, length))


# Spectra


def test_spectrum_of_a_sinusoid_is_two_points_and_the_mean():
    spectrum = log_spectrum(wave(32, 5))
    # Y of grey g in [0, 1] is 16 + 219 g. A cosine of amplitude a over n pixels is two deltas of a * n / 2.
    expected = torch.zeros(32, 32, dtype=torch.float64)
    expected[16, 16] = math.log1p((16 + 219 * 0.5) * 32 * 32)
    expected[16, 16 + 5] = expected[16, 16 - 5] = math.log1p(219 * 0.25 * 32 * 32 / 2)
    torch.testing.assert_close(spectrum, expected, atol=1e-2, rtol=0)  # the image is float32


@pytest.mark.parametrize(("cycles", "beyond"), [(3, False), (4, False), (5, True)])
def test_energy_beyond_the_band_of_lr(cycles: int, beyond: bool):
    # An LR image of 8 pixels holds up to 4 cycles.
    expected = 2 * (219 * 0.25 * 32 * 32 / 2) ** 2 if beyond else 0.0
    for image in (wave(32, cycles), wave(32, cycles).transpose(1, 2)):
        assert high_energy(image, 4) == pytest.approx(expected, rel=1e-5, abs=1.0)


def test_what_is_reproduced_counts_what_is_made_up():
    picture = wave(32, 6)
    # Half the amplitude leaves a quarter of the energy wrong; the opposite wave is worse than nothing.
    assert reproduced(0.5 + (picture - 0.5) / 2, picture, 4) == pytest.approx(0.75, abs=1e-4)
    assert reproduced(1 - picture, picture, 4) == pytest.approx(-3, abs=1e-4)
    assert reproduced(picture, picture, 4) == 1
    assert math.isnan(reproduced(picture, wave(32, 2) * 0, 4))


def test_low_pass_is_the_gaussian_of_another_library():
    picture = to_float(to_planes(synthetic_picture(24, 32, 0)))
    # scipy's "mirror" is torch's "reflect".
    ours, theirs = (
        low_passed(picture, 1.5),
        gaussian_filter(picture.double(), 1.5, mode="mirror", radius=4, axes=(1, 2)),
    )
    torch.testing.assert_close(ours.double(), torch.from_numpy(theirs), atol=1e-5, rtol=0)


def test_low_pass_weakens_a_wave_by_its_frequency_response():
    sigma, cycles = 1.5, 4
    response = math.exp(-2 * (math.pi * sigma * cycles / 32) ** 2)
    blurred = low_passed(wave(32, cycles), sigma)
    # In the middle, away from the reflected borders; the Gaussian is cut off at 3 sigma.
    middle = blurred[0, 16, 8:24] - 0.5
    assert float(middle.max()) == pytest.approx(0.25 * response, rel=0.02)


def test_spectra_of_a_picture(tmp_path: Path):
    picture = to_float(to_planes(synthetic_picture(32, 48, 1)))
    found = spectra(picture, Halving(), 4)
    torch.testing.assert_close(found.autoencoded.image, picture / 2)
    torch.testing.assert_close(found.difference, (picture / 2 - low_passed(picture, 1.5)).abs())
    torch.testing.assert_close(found.spectral_difference, log_spectrum(picture / 2) - found.low_passed.spectrum)
    assert found.picture.reproduced == 1
    assert found.autoencoded.reproduced == pytest.approx(0.75, abs=1e-4)
    draw_spectra(found, tmp_path / "spectra.png")
    with Image.open(tmp_path / "spectra.png") as drawing:
        assert drawing.width == 12 * 150


def test_a_picture_smaller_than_the_gaussian_is_named():
    with pytest.raises(DataError, match=r"4x40 pixels is too small for sigma 1\.5"):
        spectra(torch.zeros(3, 40, 4), Halving(), 4)


# Loss maps


def test_means_of_the_maps_are_the_losses():
    torch.manual_seed(1)
    autoencoder = tiny_autoencoder()
    hr = torch.rand(3, 16, 24)
    sr = hr + 0.4 * torch.randn(3, 16, 24)  # beyond [0, 1], where the loss has a second term
    maps = loss_maps(sr, hr, autoencoder)
    loss = AESOPLoss(autoencoder)(sr.unsqueeze(0), hr.unsqueeze(0))
    assert float(maps.aesop.mean()) == pytest.approx(float(loss), rel=1e-5)
    assert float(maps.pixel.mean()) == pytest.approx(float(F.l1_loss(sr, hr)), rel=1e-5)
    assert maps.pixel.shape == maps.aesop.shape == maps.high_pass.shape == (16, 24)


def test_maps_by_hand():
    hr = torch.full((3, 16, 16), 0.5)
    sr = hr.clone()
    sr[:, :, 8:] = 0.7
    sr[0, 0, 0] = 1.3
    maps = loss_maps(sr, hr, Halving(), hr_bias=torch.full_like(hr, 0.25))
    assert maps.pixel[3, 3] == 0
    assert float(maps.pixel[3, 12]) == pytest.approx(0.2)
    assert float(maps.aesop[3, 12]) == pytest.approx(0.1)
    assert float(maps.pixel[0, 0]) == pytest.approx(0.8 / 3)
    assert float(maps.aesop[0, 0]) == pytest.approx((0.5 / 2 + 0.3) / 3)  # AE sees 1, and 0.3 are beyond
    # A shift of a whole region has no high frequencies inside it: a high-pass loss ignores it.
    assert float(maps.high_pass[12, 15]) == pytest.approx(0, abs=1e-6)
    assert float(maps.high_pass[12, 8]) > 0.05


def test_loss_maps_are_drawn(tmp_path: Path):
    hr = to_float(to_planes(synthetic_picture(16, 24, 1)))
    maps = loss_maps(hr.flip(-1), hr, Halving())
    draw_loss_maps(hr, hr / 2, {"a": maps, "b": maps}, tmp_path / "maps.svg")
    assert (tmp_path / "maps.svg").read_text(encoding="utf-8").count(f"{float(maps.aesop.mean()):.4f}") == 2


# SE and VE


def test_se_and_ve_by_hand():
    hr, sr = torch.full((3, 8, 8), 0.8), torch.full((3, 8, 8), 0.6)
    sr[:, 0] = 1.4  # a picture file clips it to 1
    found = bias_variance(sr, hr, Halving())
    assert found.pixel == pytest.approx((7 * 0.2 + 0.2) / 8)
    assert found.se == pytest.approx((7 * 0.1 + 0.1) / 8)
    assert found.ve == pytest.approx((7 * 0.3 + 0.5) / 8)
    assert found.ve_hr == pytest.approx(0.4)


def test_an_autoencoder_that_keeps_all_finds_no_variance():
    sr, hr = torch.rand(2, 3, 8, 8)
    found = bias_variance(sr, hr, nn.Identity())
    assert found.ve == found.ve_hr == 0
    assert found.se == found.pixel > 0


def test_pictures_of_two_sizes_are_refused():
    with pytest.raises(DataError, match="scale or the pair"):
        bias_variance(torch.zeros(3, 8, 8), torch.zeros(3, 8, 12), Halving())


def test_benchmarks_are_measured_picture_by_picture(tmp_path: Path):
    synthetic_pictures(tmp_path / "set/HR", 2, 32)
    (tmp_path / "set/HR/broken.png").write_bytes(b"no picture")
    models = {"near": Upscaling(Enlarging(0.01), 4), "far": Upscaling(Enlarging(math.nan), 4)}
    near, far = measure_bias_variance(models, [tmp_path / "set"], Halving(), 4)
    assert near.mean is not None
    assert near.pictures["000"] is not None
    assert near.pictures["001"] is not None
    assert near.mean.se == pytest.approx((near.pictures["000"].se + near.pictures["001"].se) / 2)
    assert near.mean.se == pytest.approx(near.mean.pixel / 2)
    assert set(near.failures) == {"broken"}
    assert far.mean is None
    assert "not a number" in far.failures["000"]
    write_bias_variance([near, far], tmp_path / "values.json")
    document = json.loads((tmp_path / "values.json").read_text(encoding="utf-8"))
    assert document[0]["mean"]["ve"] == near.mean.ve
    assert document[0]["pictures"]["broken"] is None
    assert document[1]["mean"] is None


# Crops


def test_crops_are_the_places_pixels(tmp_path: Path):
    hr, sr = to_float(to_planes(synthetic_picture(40, 60, 0))), to_float(to_planes(synthetic_picture(40, 60, 1)))
    sheet = crop_sheet(hr, {"SR": sr, "HR": hr}, [Place(4, 8, 16), Place(24, 44, 16)], {"SR": ["PSNR 1"]})
    torch.testing.assert_close(sheet.crops[1]["SR"], sr[:, 24:40, 44:60])
    draw_crops(sheet, tmp_path / "crops.svg", "picture")
    text = (tmp_path / "crops.svg").read_text(encoding="utf-8")
    assert text.count("PSNR 1") == 1
    assert all(word in text for word in (">picture<", ">SR<", ">HR<"))


@pytest.mark.parametrize("box", ["0,48,16", "-1,0,16", "30,0,16", "0,0,0"])
def test_boxes_outside_the_picture_are_named(box: str):
    picture = torch.zeros(3, 40, 60)
    with pytest.raises(AesopError, match=f"--box {box}: is not inside"):
        crop_sheet(picture, {"HR": picture}, [parse_box(box)])


def test_boxes_that_are_none_are_named():
    with pytest.raises(AesopError, match="--box 1,2: is not TOP,LEFT,SIDE"):
        parse_box("1,2")


def test_places_are_found_where_detail_is():
    picture = torch.full((3, 64, 64), 0.5)
    picture[:, 32:48, 16:32] += 0.4 * (torch.rand(16, 16, generator=torch.Generator().manual_seed(0)) - 0.5)
    lr = torch.full((3, 16, 16), 128, dtype=torch.uint8)
    assert find_places(picture, lr, 1, 17) == [Place(32, 16, 16)]
    assert find_places(picture, lr, 1, 1000) == [Place(0, 0, 64)]


def test_captions_hold_the_metrics_values():
    hr = torch.full((3, 32, 32), 100 / 255)
    models = {"off by 1": hr + 1 / 255, "off by 2": hr + 2 / 255}
    lr = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    settings = Settings(4, torch.device("cpu"))
    captions, notes = measured_captions(models, hr, lr, ["psnr", "ae-psnr"], settings)
    # Y of a grey level is 219 / 255 of it.
    values = [20 * math.log10(255 / (219 / 255 * step)) for step in (1, 2)]
    assert captions == {"off by 1": [f"PSNR {values[0]:.3f} dB *"], "off by 2": [f"PSNR {values[1]:.3f} dB"]}
    assert len(notes) == 1
    assert "auto-encoder" in notes[0]
    with pytest.raises(AesopError, match="psnr compares with an HR picture"):
        measured_captions(models, None, lr, ["psnr"], settings)
    with pytest.raises(AesopError, match="'psnrr' is no metric of single pictures"):
        measured_captions(models, hr, lr, ["psnrr"], settings)


# What they share


def test_models_may_have_titles(tmp_path: Path):
    odd = tmp_path / "a=b.safetensors"
    odd.touch()
    (tmp_path / "run").mkdir()
    named = parse_models(["bicubic", "Ours, x4=some/model.pth", str(odd), str(tmp_path / "run")])
    assert [(model.title, model.model) for model in named] == [
        ("bicubic", "bicubic"),
        ("Ours, x4", "some/model.pth"),
        ("a=b", str(odd)),
        ("run", str(tmp_path / "run")),
    ]
    runs = ["a/perceptual/generator.safetensors", "b/perceptual/generator.safetensors"]
    assert [model.title for model in parse_models(runs)] == ["a/perceptual", "b/perceptual"]
    with pytest.raises(AesopError, match="two models are called Ours; name them apart"):
        parse_models([f"Ours={run}" for run in runs])


def test_upscaling_neither_rounds_nor_clamps():
    lr = torch.full((3, 4, 5), 250, dtype=torch.uint8)
    sr = Upscaling(Enlarging(0.1), 4)(lr)
    assert sr.shape == (3, 16, 20)
    torch.testing.assert_close(sr, torch.full_like(sr, 250 / 255 + 0.1))
    torch.testing.assert_close(Upscaling(None, 4)(lr), torch.full((3, 16, 20), 250 / 255))


def test_bias_of_one_image_and_of_a_batch():
    autoencoder = tiny_autoencoder()
    images = torch.rand(2, 3, 8, 12)
    batch = fidelity_bias(autoencoder, images)
    torch.testing.assert_close(batch, autoencoder(images).detach())
    torch.testing.assert_close(fidelity_bias(autoencoder, images[0]), batch[0])


def test_figures_are_whole_or_not_there(tmp_path: Path):
    path = tmp_path / "figure.png"
    with drawn(path, 2, 1) as figure:
        figure.subplots()
    before = path.read_bytes()
    with pytest.raises(RuntimeError), drawn(path, 2, 1):
        raise RuntimeError
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_figures_of_other_kinds_are_refused(tmp_path: Path):
    with pytest.raises(AesopError, match=r"cannot draw \.jpg files"):
        require_drawable(tmp_path / "figure.jpg")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(AesopError, match="is a folder"):
        require_drawable(tmp_path / "folder.png")
