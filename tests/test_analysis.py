"""Analyses against closed forms, and against the losses that they show."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.analysis import measure_crops, measure_loss_maps, measure_spectra, parse_box
from aesop.analysis.crops import crop_sheet
from aesop.analysis.loss_maps import generated, loss_maps
from aesop.analysis.regions import Region, detailed_regions, thumbnail
from aesop.analysis.spectra import compare_spectra, high_energy, log_spectrum, low_passed, reproduced
from aesop.data.bicubic import resize
from aesop.data.pairs import Pair
from aesop.data.pictures import read_picture, to_float, to_planes, write_picture
from aesop.errors import AesopError, DataError, ModelError
from aesop.evaluation.pictures import EvaluatedPicture
from aesop.losses.aesop import AESOPLoss
from aesop.metrics.psnr import psnr
from aesop.networks.loading import load_generator
from aesop.networks.state_dicts import write_state
from aesop.upscaling.tiles import Upscaler
from analysis_cases import Halving, autoencoder, generator
from helpers import synthetic_picture


def grey(levels: Tensor) -> Tensor:
    return levels.expand(3, *levels.shape[-2:]).float()


def wave(length: int, cycles: int) -> Tensor:
    """An image of `length` x `length` pixels with a cosine of amplitude 0.25 across its columns."""
    phase = 2 * math.pi * cycles * torch.arange(length) / length
    return grey(0.5 + 0.25 * phase.cos().expand(length, length))


# Spectra


def windowed(amplitude: float) -> float:
    """|F| of a wave of this amplitude of Y over 32 pixels, under a Hann window of mean square 1, at its frequency."""
    # A delta of half the amplitude a pixel. The window's mean is 1/2 an axis, its mean square 3/8.
    return amplitude * 32 * 32 / 2 * (1 / 2) ** 2 / (3 / 8)


def test_spectrum_of_a_sinusoid_is_the_windows_around_its_frequency():
    spectrum = log_spectrum(wave(32, 5)).expm1()
    # Y of grey g in [0, 1] is 16 + 219 g; the mean is taken away. Hann's transform is 1/2 at 0 and -1/4 beside it.
    expected = torch.zeros(32, 32, dtype=torch.float64)
    for middle in (16 + 5, 16 - 5):
        for row, column in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
            expected[16 + row, middle + column] = windowed(219 * 0.25) / 2 ** (abs(row) + abs(column))
    torch.testing.assert_close(spectrum, expected, atol=0.1, rtol=1e-4)  # the image is float32


def test_a_border_that_does_not_close_leaves_no_cross():
    ramp = grey(torch.linspace(0, 1, 64).expand(48, 64))
    plain = torch.fft.fft2(219 * ramp[0].double()).abs().square()
    columns = torch.fft.fftfreq(64).abs() > 1 / 8
    assert high_energy(ramp, 4) < 1e-4 * float(plain[:, columns].sum())
    # What the low-pass filter leaves of a picture beyond the band is then little on the axes as well.
    noise = ramp + 0.1 * torch.rand(3, 48, 64)
    spectrum = log_spectrum(low_passed(noise, 1.5))
    assert float(spectrum[24, :8].mean()) < float(log_spectrum(noise)[24, :8].mean()) / 3


@pytest.mark.parametrize(("cycles", "beyond"), [(2, False), (6, True)])
def test_energy_beyond_the_band_of_lr(cycles: int, beyond: bool):
    # An LR image of 8 pixels holds up to 4 cycles; the window spreads a wave by one to either side.
    expected = 2 * windowed(219 * 0.25) ** 2 * (1 + 2 / 4) ** 2 if beyond else 0.0
    for image in (wave(32, cycles), wave(32, cycles).transpose(1, 2)):
        assert high_energy(image, 4) == pytest.approx(expected, rel=1e-5, abs=1.0)


def test_what_is_reproduced_counts_what_is_made_up():
    picture = wave(32, 6)
    # Half the amplitude leaves a quarter of the energy as error; the opposite wave is worse than no wave.
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


def test_spectra_of_a_picture():
    picture = to_float(to_planes(synthetic_picture(32, 48, 1)))
    found = compare_spectra(picture, Halving(), 4, sigma=2)
    torch.testing.assert_close(found.autoencoded.image, picture / 2)
    torch.testing.assert_close(found.low_passed.image, low_passed(picture, 2))
    torch.testing.assert_close(found.difference, (picture / 2 - low_passed(picture, 2)).abs())
    torch.testing.assert_close(found.spectral_difference, log_spectrum(picture / 2) - found.low_passed.spectrum)
    assert found.picture.reproduced == 1
    assert found.autoencoded.reproduced == pytest.approx(0.75, abs=1e-4)
    assert found.picture.psnr == math.inf
    lines = found.summary()
    assert f"auto-encoder keeps 75.0% (PSNR {found.autoencoded.psnr:.2f} dB)" in lines[0]
    assert len(lines) == 2
    # AE(y) = 0 keeps nothing: that is said.
    assert "less than the filter" in compare_spectra(picture, Halving().apply(_nothing), 4).summary()[2]


def _nothing(module: nn.Module) -> None:
    module.forward = torch.zeros_like  # type: ignore[method-assign, assignment]


def test_a_picture_smaller_than_the_gaussian_is_named():
    with pytest.raises(DataError, match=r"4x40 pixels is too small for sigma 1\.5"):
        compare_spectra(torch.zeros(3, 40, 4), Halving(), 4)


# Loss maps


def test_means_of_the_maps_are_the_losses():
    torch.manual_seed(1)
    encoder = autoencoder()
    hr = torch.rand(3, 16, 24)
    sr = hr + 0.4 * torch.randn(3, 16, 24)  # beyond [0, 1], where the loss has a second term
    maps = loss_maps(sr, hr, encoder)
    loss = AESOPLoss(encoder)(sr.unsqueeze(0), hr.unsqueeze(0))
    assert float(maps.aesop.mean()) == pytest.approx(float(loss), rel=1e-5)
    assert float(maps.pixel.mean()) == pytest.approx(float(F.l1_loss(sr, hr)), rel=1e-5)
    assert maps.pixel.shape == maps.aesop.shape == maps.high_pass.shape == (16, 24)


def test_maps_by_hand():
    hr = torch.full((3, 16, 16), 0.5)
    sr = hr.clone()
    sr[:, :, 8:] = 0.7
    sr[0, 0, 0] = 1.3
    maps = loss_maps(sr, hr, Halving())
    assert maps.pixel[3, 3] == 0
    assert float(maps.pixel[3, 12]) == pytest.approx(0.2)
    assert float(maps.aesop[3, 12]) == pytest.approx(0.1)
    assert float(maps.pixel[0, 0]) == pytest.approx(0.8 / 3)
    assert float(maps.aesop[0, 0]) == pytest.approx((0.5 / 2 + 0.3) / 3)  # AE sees 1, and 0.3 are beyond
    # A shift of a whole region has no high frequencies inside it: a high-pass loss ignores it.
    assert float(maps.high_pass[12, 15]) == pytest.approx(0, abs=1e-6)
    assert float(maps.high_pass[12, 8]) > 0.05


def test_maps_are_of_every_models_picture(tmp_path: Path):
    picture, network, encoder = (tmp_path / name for name in ("hr.png", "net.safetensors", "ae.safetensors"))
    write_picture(picture, synthetic_picture(32, 48, 1))
    write_state(network, generator(0).state_dict(), {})
    write_state(encoder, autoencoder().state_dict(), {})
    models = {"bicubic": "bicubic", "Ours": str(network)}
    found = measure_loss_maps(str(picture), models, str(encoder), sigma=1, device="cpu")
    hr, lr = Pair("", picture).read(4)
    torch.testing.assert_close(found.hr_bias, autoencoder()(to_float(hr)[None])[0].detach())
    assert torch.equal(measure_spectra(str(picture), str(encoder)).autoencoded.image.cpu(), found.hr_bias)
    for title, model in models.items():
        expected = loss_maps(generated(model, lr, 4), to_float(hr), autoencoder(), sigma=1)
        torch.testing.assert_close(found.models[title].aesop, expected.aesop)
        torch.testing.assert_close(found.models[title].high_pass, expected.high_pass)
    assert found.summary()[1].startswith(f"Ours: pixel {float(found.models['Ours'].pixel.mean()):.5f}, AESOP ")


# Crops


def evaluated(hr: np.ndarray | None, **sr: np.ndarray) -> EvaluatedPicture:
    """A picture of scale 4 with grey LR."""
    height, width = next(iter(sr.values())).shape[:2]
    lr = torch.full((3, height // 4, width // 4), 128, dtype=torch.uint8)
    models = {title: to_planes(image) for title, image in sr.items()}
    return EvaluatedPicture("set", "picture", 4, None if hr is None else to_planes(hr), lr, models)


def test_crops_are_the_boxes_pixels():
    hr, sr = synthetic_picture(40, 60, 0), synthetic_picture(40, 60, 1)
    sheet = crop_sheet(evaluated(hr, SR=sr), [Region(4, 8, 16), Region(24, 44, 16)])
    assert list(sheet.crops[0]) == ["SR", "HR"]
    assert torch.equal(sheet.crops[1]["SR"], to_planes(sr)[:, 24:40, 44:60])
    assert torch.equal(sheet.picture, to_planes(hr))
    # Without HR, boxes are chosen from the last model's picture.
    alone = crop_sheet(evaluated(None, a=hr, HR=sr), side=16)
    assert list(alone.crops[0]) == ["a", "HR"]
    assert torch.equal(alone.picture, to_planes(sr))


@pytest.mark.parametrize("box", ["0,48,16", "-1,0,16", "30,0,16", "0,0,0"])
def test_boxes_outside_the_picture_are_named(box: str):
    with pytest.raises(AesopError, match=f"box {box}: is not inside the picture of 40 rows and 60 columns"):
        crop_sheet(evaluated(None, a=np.zeros((40, 60, 3), np.uint8)), [parse_box(box)])


def test_boxes_are_found_where_detail_is_and_apart():
    picture = np.full((64, 64, 3), 128, np.uint8)
    for number, (top, left) in enumerate(((0, 0), (32, 48))):
        picture[top : top + 16, left : left + 16] = np.random.default_rng(number).integers(0, 256, (16, 16, 3))
    found = evaluated(picture, a=picture)
    assert set(crop_sheet(found, count=2, side=17).boxes) == {Region(0, 0, 16), Region(32, 48, 16)}
    assert len(crop_sheet(found, count=3, side=16).boxes) == 3
    assert crop_sheet(found, count=2, side=1000).boxes == [Region(0, 0, 64)]


def test_squares_do_not_overlap_and_lie_inside():
    hr = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    regions = detailed_regions(hr, resize(hr, 0.25), 20, 24)
    taken = torch.zeros(64, 64)
    for region in regions:
        assert region.cut(hr).shape == (3, 24, 24)
        taken[region.top : region.top + 24, region.left : region.left + 24] += 1
    assert 1 < len(regions) <= 7
    assert taken.max() == 1


def test_a_thumbnail_fits():
    assert max(thumbnail(torch.zeros(3, 200, 301, dtype=torch.uint8), 100).shape) <= 100


def test_crops_of_files_and_captions_of_the_whole_picture(tmp_path: Path):
    picture, network = tmp_path / "picture.png", tmp_path / "net.safetensors"
    write_picture(picture, synthetic_picture(66, 82, 0))
    write_state(network, generator(0).state_dict(), {})
    models = {"bicubic": "bicubic", "Ours": network}
    sheet = measure_crops(picture, models, metrics=["psnr", "lr-psnr", "ae-psnr", "ve"], count=3, side=17)
    hr, lr = Pair("", picture).read(4)
    assert torch.equal(sheet.picture, hr)
    assert [box.side for box in sheet.boxes] == [16, 16, 16]
    sr = {"bicubic": resize(lr, 4), "Ours": Upscaler(load_generator(network).model, 4)(lr)}
    values = {title: psnr(to_float(image)[None], to_float(hr)[None], scale=4).item() for title, image in sr.items()}
    best = max(values, key=lambda title: values[title])
    for title, image in sr.items():
        assert torch.equal(sheet.crops[1][title], sheet.boxes[1].cut(image))
        psnr_line, lr_line = sheet.captions[title]
        assert psnr_line == f"PSNR {values[title]:.3f} dB{' *' if title == best else ''}"
        assert lr_line.startswith("LR-PSNR ")
    assert len(sheet.missing) == 2
    assert "auto-encoder" in sheet.missing[0]
    assert sheet.failures == []
    low = tmp_path / "low.png"
    write_picture(low, synthetic_picture(16, 20, 5))
    other = measure_crops(str(picture), models, lr=str(low), metrics=[], boxes=[Region(0, 0, 8)])
    assert other.captions == {"bicubic": [], "Ours": []}
    assert torch.equal(other.crops[0]["bicubic"], resize(to_planes(read_picture(low)), 4)[:, :8, :8])
    alone = measure_crops(low, {"HR": "bicubic"}, without_hr=True, scale=3)
    assert alone.picture.shape == (3, 48, 60)
    assert alone.captions == {"HR": []}


def test_a_model_that_fails_leaves_the_others(tmp_path: Path):
    picture, broken = tmp_path / "picture.png", tmp_path / "broken.safetensors"
    write_picture(picture, synthetic_picture(32, 32, 0))
    write_state(broken, {name: value * math.nan for name, value in generator(0).state_dict().items()}, {})
    sheet = measure_crops(picture, {"bicubic": "bicubic", "broken": broken})
    assert list(sheet.crops[0]) == ["bicubic", "HR"]
    assert sheet.captions["broken"] == ["PSNR –"]
    assert "not a number" in sheet.failures[0]
    with pytest.raises(AesopError, match=r"broken: .*not a number"):
        measure_crops(picture, {"broken": broken}, without_hr=True)


def test_crops_that_cannot_be_are_refused(tmp_path: Path):
    picture = tmp_path / "picture.png"
    write_picture(picture, synthetic_picture(64, 64, 0))
    for how, message in (
        ({"models": {"HR": "bicubic"}}, "A model is called HR, as the HR picture is; give it another title"),
        ({"metrics": ["psnr"], "without_hr": True}, "psnr compares with an HR picture, and there is none"),
        ({"metrics": ["fid"]}, "fid measures whole sets of pictures"),
        ({"metrics": ["psnrr"]}, "unknown metric 'psnrr'; did you mean psnr"),
        ({"boxes": [Region(60, 0, 8)]}, "box 60,0,8: is not inside the picture of 64 rows"),
        ({"lr": picture, "without_hr": True}, "--lr and --without-hr"),
        ({"picture": tmp_path / "none.png"}, "none.png: no such file; check the path"),
    ):
        given: dict[str, Any] = {"picture": picture, "models": {"a": "bicubic"}, **how}
        with pytest.raises(AesopError, match=message):
            measure_crops(**given)
    picture.write_bytes(b"no picture")
    with pytest.raises(AesopError) as caught:
        measure_crops(picture, {"a": "bicubic"})
    assert str(caught.value).startswith(f"{picture}: no complete picture")


# What a loss sees of a model


def test_generated_is_neither_rounded_nor_clamped_and_needs_no_seams(tmp_path: Path):
    path = tmp_path / "net.safetensors"
    state = {name: 5 * value for name, value in generator(0).state_dict().items()}
    write_state(path, state, {})
    lr = to_planes(synthetic_picture(40, 48, 0))
    with torch.no_grad():
        whole = load_generator(path).model(to_float(lr).unsqueeze(0))[0]
    assert whole.min() < 0
    torch.testing.assert_close(generated(str(path), lr, 4), whole)
    torch.testing.assert_close(generated("bicubic", lr, 4), resize(to_float(lr), 4))
    large = lr.repeat(1, 13, 11)
    sr = generated(str(path), large, 4)
    with torch.no_grad():
        whole = load_generator(path).model(to_float(large).unsqueeze(0))[0]
    torch.testing.assert_close(sr, whole, atol=1 / 255, rtol=0)
    with pytest.raises(ModelError, match=r"net\.safetensors: is for scale 4, not 2; name one of scale 2"):
        generated(str(path), lr, 2)
