"""Analyses against closed forms, and against the losses that they draw."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.analysis.bias_variance import bias_variance, measure_bias_variance, print_bias_variance
from aesop.analysis.crops import as_seen, crop_sheet, find_places, measure_crops, measured_captions, parse_box
from aesop.analysis.loss_maps import loss_maps, measure_loss_maps
from aesop.analysis.models import Upscaling, fidelity_bias, load_autoencoder, load_models, parse_models
from aesop.analysis.regions import Region
from aesop.analysis.spectra import high_energy, log_spectrum, low_passed, measure_spectra, reproduced
from aesop.data.pictures import to_float, to_planes
from aesop.errors import AesopError, DataError, ModelError
from aesop.losses.aesop import AESOPLoss
from aesop.metrics import METRICS, Metric, Sample, Settings
from aesop.networks.state_dicts import write_state
from analysis_cases import Enlarging, Halving, autoencoder, benchmark, generator
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


def test_spectra_of_noise_keep_its_energy():
    noise = torch.rand(1, 128, 128).expand(3, -1, -1)
    energy = float(log_spectrum(noise).expm1().square().sum())
    assert energy == pytest.approx(128**2 * float((219 * noise[0].double()).var()) * 128**2, rel=0.05)


@pytest.mark.parametrize(("cycles", "beyond"), [(2, False), (6, True)])
def test_energy_beyond_the_band_of_lr(cycles: int, beyond: bool):
    # An LR image of 8 pixels holds up to 4 cycles; the window spreads a wave by one to either side.
    expected = 2 * windowed(219 * 0.25) ** 2 * (1 + 2 / 4) ** 2 if beyond else 0.0
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


def test_spectra_of_a_picture():
    picture = to_float(to_planes(synthetic_picture(32, 48, 1)))
    found = measure_spectra(picture, Halving(), 4, sigma=2)
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
    assert "less than the filter" in measure_spectra(picture, Halving().apply(_nothing), 4).summary()[2]


def _nothing(module: nn.Module) -> None:
    module.forward = torch.zeros_like  # type: ignore[method-assign, assignment]


def test_a_picture_smaller_than_the_gaussian_is_named():
    with pytest.raises(DataError, match=r"4x40 pixels is too small for sigma 1\.5"):
        measure_spectra(torch.zeros(3, 40, 4), Halving(), 4)


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
    maps = loss_maps(sr, hr, Halving(), hr_bias=torch.full_like(hr, 0.25))
    assert maps.pixel[3, 3] == 0
    assert float(maps.pixel[3, 12]) == pytest.approx(0.2)
    assert float(maps.aesop[3, 12]) == pytest.approx(0.1)
    assert float(maps.pixel[0, 0]) == pytest.approx(0.8 / 3)
    assert float(maps.aesop[0, 0]) == pytest.approx((0.5 / 2 + 0.3) / 3)  # AE sees 1, and 0.3 are beyond
    # A shift of a whole region has no high frequencies inside it: a high-pass loss ignores it.
    assert float(maps.high_pass[12, 15]) == pytest.approx(0, abs=1e-6)
    assert float(maps.high_pass[12, 8]) > 0.05


def test_maps_are_of_every_models_picture():
    hr, lr = to_planes(synthetic_picture(32, 48, 1)), torch.full((3, 8, 12), 128, dtype=torch.uint8)
    models = {"a": Upscaling(Enlarging(0.1), 4), "b": Upscaling(Enlarging(0.6), 4)}
    found = measure_loss_maps(models, hr, lr, Halving(), sigma=1)
    torch.testing.assert_close(found.hr_bias, to_float(hr) / 2)
    for title, model in models.items():
        expected = loss_maps(model(lr), to_float(hr), Halving(), sigma=1)
        torch.testing.assert_close(found.models[title].aesop, expected.aesop)
        torch.testing.assert_close(found.models[title].high_pass, expected.high_pass)
    assert found.summary()[1].startswith(f"b: pixel {float(found.models['b'].pixel.mean()):.5f}, AESOP ")


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
    folder = benchmark(tmp_path)
    (folder / "HR/broken.png").write_bytes(b"no picture")
    models = {"near": Upscaling(Enlarging(0.01), 4), "far": Upscaling(Enlarging(math.nan), 4)}
    found = measure_bias_variance(models, [folder], Halving(), 4)
    se, pixel = (found.result("near", "set", name) for name in ("se", "pixel"))
    values = [value for value in se.pictures.values() if value is not None]
    assert list(se.pictures) == ["000", "001", "broken"]
    assert se.mean == pytest.approx(sum(values) / 2)
    assert pixel.mean == pytest.approx(2 * sum(values) / 2)
    assert found.result("far", "set", "se").mean is None
    reasons = {(failure.picture, failure.model): failure.reason for failure in found.failures}
    assert set(reasons) == {("000", "far"), ("001", "far"), ("broken", "near"), ("broken", "far")}
    assert "not a number" in reasons["000", "far"]
    found.to_json(tmp_path / "values.json")
    document = json.loads((tmp_path / "values.json").read_text(encoding="utf-8"))
    first = document["results"][0]
    assert (first["metric"], first["mean"], first["pictures"]["broken"]) == ("se", se.mean, None)


def test_tables_of_se_and_ve(tmp_path: Path):
    folder = benchmark(tmp_path, count=6)
    models = {"zero": Upscaling(Enlarging(0.0), 4), "off": Upscaling(Enlarging(0.2), 4)}
    found = measure_bias_variance(models, [folder], Halving(), 4, against="off")
    console = Console(width=120, record=True, file=io.StringIO())
    print_bias_variance(found, console)
    lines = console.export_text().splitlines()
    row = next(line for line in lines if " off " in line)
    ve, hr, ratio = (float(cell) for cell in row.split("│")[3:6])
    assert ve == pytest.approx(255 * (found.result("off", "set", "ve").mean or 0), abs=1e-3)
    assert hr == pytest.approx(255 * (found.result("off", "set", "ve_hr").mean or 0), abs=1e-3)
    assert ratio == pytest.approx(ve / hr, abs=1e-3)
    assert ratio > 1.1
    results = {name: found.result("zero", "set", name) for name in ("se", "ve")}
    assert results["se"].interval is not None
    low, high = results["se"].interval
    assert f"{255 * low:.2f} … {255 * high:.2f}" in "\n".join(lines)
    difference = next(other for other in found.differences() if other.metric == "se")
    assert (difference.model, difference.against, difference.count) == ("zero", "off", 6)
    assert difference.significant
    row = next(line for line in lines[lines.index(row) + 1 :] if " zero " in line)
    assert row.split("│")[2].strip() == f"{255 * difference.difference:+.3f} *"
    pairs = zip(results["se"].pictures.values(), found.result("off", "set", "se").pictures.values(), strict=True)
    below = sum((first or 0) < (second or 0) for first, second in pairs)
    assert f"less on {below} of 6" in "\n".join(lines)
    with pytest.raises(AesopError, match="against third: is none of the models; choose from zero, off"):
        measure_bias_variance(models, [folder], Halving(), 4, against="third")


# Crops


def test_crops_are_the_places_pixels():
    hr, sr = to_float(to_planes(synthetic_picture(40, 60, 0))), to_float(to_planes(synthetic_picture(40, 60, 1)))
    sheet = crop_sheet(hr, {"SR": sr, "HR": hr}, [Region(4, 8, 16), Region(24, 44, 16)], {"SR": ["PSNR 1"]})
    torch.testing.assert_close(sheet.crops[1]["SR"], sr[:, 24:40, 44:60])
    with pytest.raises(AesopError, match=r"small: made \(3, 40, 56\), not"):
        crop_sheet(hr, {"small": sr[..., :56]}, [])


@pytest.mark.parametrize("box", ["0,48,16", "-1,0,16", "30,0,16", "0,0,0"])
def test_boxes_outside_the_picture_are_named(box: str):
    picture = torch.zeros(3, 40, 60)
    with pytest.raises(AesopError, match=f"box {box}: is not inside"):
        crop_sheet(picture, {"HR": picture}, [parse_box(box)])


def test_boxes_that_are_none_are_named():
    with pytest.raises(AesopError, match="box 1,2: is not TOP,LEFT,SIDE"):
        parse_box("1,2")


def test_places_are_found_where_detail_is():
    picture = torch.full((3, 64, 64), 0.5)
    picture[:, 32:48, 16:32] += 0.4 * (torch.rand(16, 16, generator=torch.Generator().manual_seed(0)) - 0.5)
    lr = torch.full((3, 16, 16), 128, dtype=torch.uint8)
    assert find_places(picture, lr, 1, 17) == [Region(32, 16, 16)]
    assert find_places(picture, lr, 1, 1000) == [Region(0, 0, 64)]


def test_two_places_are_found_apart():
    generator = torch.Generator().manual_seed(0)
    picture = torch.full((3, 64, 64), 0.5)
    for corner in ((0, 0), (32, 48)):
        picture[:, corner[0] : corner[0] + 16, corner[1] : corner[1] + 16] = torch.rand(16, 16, generator=generator)
    lr = torch.full((3, 16, 16), 128, dtype=torch.uint8)
    assert set(find_places(picture, lr, 2, 16)) == {Region(0, 0, 16), Region(32, 48, 16)}
    assert len(find_places(picture, lr, 3, 16)) == 3


SETTINGS = Settings(4, torch.device("cpu"))


def invented(name: str, measure: Callable[[Sample], float], *, higher: bool = False, needs_hr: bool = True) -> Metric:
    attributes = {"name": name, "title": name.title(), "higher_is_better": higher, "digits": 2, "needs_hr": needs_hr}
    return type(name, (Metric,), {**attributes, "measure": staticmethod(measure)})()


def test_captions_hold_the_metrics_values():
    hr = torch.full((3, 32, 32), 100 / 255)
    models = {"off by 1": hr + 1 / 255, "off by 2": hr + 2 / 255}
    lr = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    error = invented("error", lambda sample: float((sample.sr - sample.hr).abs().mean() * 255))
    psnr, ae_psnr = METRICS["psnr"], METRICS["ae-psnr"]
    assert isinstance(psnr, Metric)
    assert isinstance(ae_psnr, Metric)
    captions, missing, failures = measured_captions(models, hr, lr, [psnr, error, ae_psnr], SETTINGS)
    # Y of a grey level is 219 / 255 of it. The largest PSNR and the smallest error are starred.
    values = [20 * math.log10(255 / (219 / 255 * step)) for step in (1, 2)]
    assert captions == {
        "off by 1": [f"PSNR {values[0]:.3f} dB *", "Error 1.00 *"],
        "off by 2": [f"PSNR {values[1]:.3f} dB", "Error 2.00"],
    }
    assert "auto-encoder" in missing[0]
    assert failures == []


def test_a_value_that_cannot_be_computed_is_marked():
    def measure(sample: Sample) -> float:
        if sample.sr.mean() > 0.5:
            raise RuntimeError("too bright\nand more")
        return 1.0

    models = {"dark": torch.zeros(3, 32, 32), "bright": torch.ones(3, 32, 32)}
    lr = torch.zeros(3, 8, 8, dtype=torch.uint8)
    captions, missing, failures = measured_captions(models, None, lr, [invented("odd", measure)], SETTINGS)
    assert captions == {"dark": ["Odd 1.00"], "bright": ["Odd –"]}
    assert missing == []
    assert failures == ["bright, Odd: too bright"]


def test_crops_of_models():
    hr, lr = to_planes(synthetic_picture(64, 64, 0)), to_planes(synthetic_picture(16, 16, 0))
    models = {"near": Upscaling(Enlarging(0.001), 4), "far": Upscaling(Enlarging(0.2), 4)}
    sheet = measure_crops(models, lr, hr, SETTINGS, count=3, side=17)
    assert list(sheet.crops[0]) == ["near", "far", "HR"]
    assert torch.equal(sheet.picture, to_float(hr))
    assert sheet.places == find_places(to_float(hr), lr, 3, 16)
    # What is shown and measured is what a file would hold.
    for title, model in models.items():
        levels = sheet.crops[1][title] * 255
        torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
        assert torch.equal(sheet.crops[1][title], sheet.places[1].cut(as_seen(model(lr))))
    assert all(lines[0].startswith("PSNR") for lines in sheet.captions.values())
    assert measure_crops(models, lr, hr, SETTINGS, places=[Region(4, 8, 8)]).places == [Region(4, 8, 8)]
    alone = measure_crops(models, lr, None, SETTINGS)
    assert list(alone.crops[0]) == ["near", "far"]
    assert torch.equal(alone.picture, as_seen(models["far"](lr)))
    assert alone.captions == {"near": [], "far": []}


def test_crops_that_cannot_be_are_refused_before_upscaling():
    class Never(Upscaling):
        def __call__(self, lr: Tensor) -> Tensor:
            raise AssertionError

    model = Never(None, 4)
    hr, lr = torch.zeros(3, 64, 64, dtype=torch.uint8), torch.zeros(3, 16, 16, dtype=torch.uint8)
    with pytest.raises(AesopError, match="a model is called HR, as the HR picture is; name it apart"):
        measure_crops({"HR": model}, lr, hr, SETTINGS)
    assert list(measure_crops({"HR": Upscaling(None, 4)}, lr, None, SETTINGS).crops[0]) == ["HR"]
    with pytest.raises(AesopError, match="psnr compares with an HR picture"):
        measure_crops({"a": model}, lr, None, SETTINGS, metrics=["psnr"])
    with pytest.raises(AesopError, match="'psnrr' is no metric of single pictures"):
        measure_crops({"a": model}, lr, hr, SETTINGS, metrics=["psnrr"])
    with pytest.raises(AesopError, match="box 60,0,8: is not inside the picture of 64 rows"):
        measure_crops({"a": model}, lr, hr, SETTINGS, places=[Region(60, 0, 8)])


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
    encoder = autoencoder()
    images = torch.rand(2, 3, 8, 12)
    batch = fidelity_bias(encoder, images)
    torch.testing.assert_close(batch, encoder(images).detach())
    torch.testing.assert_close(fidelity_bias(encoder, images[0]), batch[0])


def test_models_of_another_scale_are_refused(tmp_path: Path):
    paths = {scale: tmp_path / f"x{scale}.safetensors" for scale in (2, 4)}
    for scale, path in paths.items():
        write_state(path, generator(0, scale).state_dict(), {})
        write_state(path.with_stem(f"ae{scale}"), autoencoder(scale).state_dict(), {})
    both = parse_models(["bicubic", *map(str, paths.values())])
    with pytest.raises(ModelError, match=r"x4\.safetensors: is for scale 4, not 2; name one of scale 2"):
        load_models(both)
    with pytest.raises(ModelError, match=r"x2\.safetensors: is for scale 2, not 4"):
        load_models(both, scale=4)
    assert {title: model.scale for title, model in load_models(both[:2]).items()} == {"bicubic": 2, "x2": 2}
    assert load_models(both[:1])["bicubic"].scale == 4
    assert load_models(both[:1], scale=3)["bicubic"].scale == 3
    assert load_autoencoder(tmp_path / "ae2.safetensors", scale=2).scale == 2
    with pytest.raises(ModelError, match=r"ae2\.safetensors: is an auto-encoder for scale 2, not 4; name one of"):
        load_autoencoder(tmp_path / "ae2.safetensors", scale=4)


def test_large_pictures_are_upscaled_in_tiles_without_seams():
    network = generator(0).eval()
    lr = (torch.rand(3, 8, 40_000 // 8, generator=torch.Generator().manual_seed(0)) * 255).byte()
    lr = lr.repeat(1, 64, 1)[:, :512, :520]
    sizes = []
    network.register_forward_hook(lambda _, inputs, __: sizes.append(tuple(inputs[0].shape[-2:])))
    upscaling = Upscaling(network, 4)
    sr = upscaling(lr)
    tiles = [size for size in sizes if max(size) > 200]
    assert len(tiles) == 4
    assert max(map(max, tiles)) < 520
    with torch.no_grad():
        whole = network(to_float(lr).unsqueeze(0))[0]
    torch.testing.assert_close(sr, whole, atol=1e-5, rtol=0)
