"""FID and patch-FID against closed forms, hand-made patches and torch-fidelity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from aesop.data.bicubic import resize
from aesop.errors import DataError
from aesop.metrics import METRICS, MetricUnavailable, SetMeasure, Settings
from aesop.metrics.fid import features, frechet_distance, inception, patches, resized
from helpers import no_network

CPU = torch.device("cpu")


def sample_of(mean: np.ndarray, covariance: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """`count` vectors that have exactly this mean and covariance."""
    raw = np.random.default_rng(seed).normal(size=(count, len(mean)))
    whitened = np.linalg.qr(raw - raw.mean(axis=0))[0] * np.sqrt(count - 1)
    return whitened @ np.linalg.cholesky(covariance).T + mean


def test_distance_of_gaussians_that_do_not_commute_is_that_of_the_matrix_root() -> None:
    rng = np.random.default_rng(1)
    roots = rng.normal(size=(2, 5, 5))
    first, second = (root @ root.T + 0.1 * np.eye(5) for root in roots)
    sets = sample_of(np.zeros(5), first, 30), sample_of(np.ones(5), second, 12, seed=2)
    root = np.real(np.asarray(scipy.linalg.sqrtm(first @ second)))
    expected = 5 + np.trace(first) + np.trace(second) - 2 * np.trace(root)
    assert frechet_distance(*sets) == pytest.approx(expected, rel=1e-10)


def test_singular_covariances_are_exact() -> None:
    """Two pictures per set in 2048 dimensions: the covariances are lines of variance a and b at an angle."""
    u, v = np.eye(2048)[:2]
    v = 0.6 * u + 0.8 * v
    a, b = 4.0, 9.0
    first, second = (np.sqrt(variance / 2) * np.outer([1, -1], axis) for variance, axis in ((a, u), (b, v)))
    assert frechet_distance(first, second + 1) == pytest.approx(2048 + a + b - 2 * np.sqrt(a * b) * 0.6, rel=1e-12)


@pytest.mark.parametrize("count", [5, 90])
def test_distance_is_that_of_torch_fidelity_for_the_same_features(count: int) -> None:
    reference = pytest.importorskip("torch_fidelity.metric_fid")
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(count, 20)), rng.normal(0.3, 2, size=(count + 3, 20)) ** 2
    statistics = [reference.fid_features_to_statistics(torch.from_numpy(features)) for features in (first, second)]
    expected = reference.fid_statistics_to_metric(*statistics, verbose=False)[reference.KEY_METRIC_FID]
    # Fewer pictures than features: the reference takes roots of eigenvalues that should be 0.
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-5 if count < 20 else 1e-10)


def test_distance_does_not_depend_on_order_and_is_0_for_equal_sets() -> None:
    first, second = np.random.default_rng(4).normal(size=(2, 6, 50))
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second[::-1], first), rel=1e-12)
    assert 0 <= frechet_distance(first, first[::-1]) < 1e-11
    with pytest.raises(DataError, match="two pictures"):
        frechet_distance(np.zeros((1, 4)), np.zeros((3, 4)))


def test_patches_lie_row_by_row_and_what_is_left_over_is_dropped() -> None:
    image = torch.arange(5 * 7).view(1, 1, 5, 7)
    cut = patches(image, 2)
    assert cut.shape == (6, 1, 2, 2)
    assert cut[:, 0].tolist() == [
        [[0, 1], [7, 8]], [[2, 3], [9, 10]], [[4, 5], [11, 12]],
        [[14, 15], [21, 22]], [[16, 17], [23, 24]], [[18, 19], [25, 26]],
    ]  # fmt: skip
    # A side that is too short is padded with zeros.
    short = torch.arange(1, 11).view(1, 1, 2, 5)
    assert patches(short, 3)[:, 0].tolist() == [[[1, 2, 3], [6, 7, 8], [0, 0, 0]]]
    assert patches(short, 6)[0, 0, :2].tolist() == [[1, 2, 3, 4, 5, 0], [6, 7, 8, 9, 10, 0]]
    # Colours and images stay apart.
    images = torch.arange(2 * 3 * 4 * 4).view(2, 3, 4, 4)
    assert patches(images, 2).shape == (8, 3, 2, 2)
    assert torch.equal(patches(images, 2)[5], images[1, :, :2, 2:])
    assert torch.equal(patches(images, 4), images)


def mean_colour(images: Tensor) -> Tensor:
    assert images.dtype == torch.uint8
    return images.float().mean(dim=(2, 3))


def test_features_are_those_of_8_bit_pictures_patch_by_patch() -> None:
    image = torch.rand(1, 3, 9, 50)
    image[0, 0] = 2.0
    whole = features(image, mean_colour, lambda images: images)
    levels = image.double().clamp(0, 1).mul(255).round()
    assert whole.dtype == np.float64
    np.testing.assert_allclose(whole, levels.mean(dim=(2, 3)).numpy(), rtol=1e-6)
    # More patches than go through the network at once.
    cut = features(image, mean_colour, lambda images: patches(images, 4))
    np.testing.assert_allclose(cut[13], levels[0, :, 4:8, 4:8].mean(dim=(1, 2)).numpy(), rtol=1e-6)
    assert cut.shape == (24, 3)


def test_pictures_are_shrunk_without_aliasing() -> None:
    """With the kernel and antialiasing of MATLAB's imresize, but other borders; stripes of one pixel vanish."""
    image = torch.rand(1, 3, 598, 897, generator=torch.Generator().manual_seed(0)) * 255
    stripes = torch.zeros(1, 3, 598, 598)
    stripes[..., ::2] = 200.0
    shrunk = resized(image)
    assert shrunk.shape == (1, 3, 299, 299)
    assert torch.allclose(resized(stripes)[..., 8:-8], torch.tensor(100.0, dtype=torch.float64), atol=0.1)
    square = image[..., :598].contiguous()
    inside = (..., slice(6, -6), slice(6, -6))
    assert torch.allclose(resized(square)[inside], resize(square.double(), 0.5).clamp(0, 255)[inside], atol=1e-3)
    assert torch.equal(resized(image[..., :299, :299]), image[..., :299, :299].double())


@pytest.fixture
def _random_inception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    monkeypatch.setattr(module, "load_state_dict_from_url", lambda *args, **kwargs: {})
    monkeypatch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / Path(module.URL_INCEPTION_V3).name).touch()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    inception.cache_clear()
    yield
    inception.cache_clear()


@pytest.mark.usefixtures("_random_inception")
def test_both_metrics_look_through_one_network_that_sees_patches_as_they_are() -> None:
    fid, patch_fid = (METRICS[name].prepare(Settings(CPU)) for name in ("fid", "patch-fid"))
    assert isinstance(fid, SetMeasure)
    assert isinstance(patch_fid, SetMeasure)
    image = torch.randint(0, 256, (1, 3, 299, 299)).float() / 255
    found = fid.features(image)
    assert found.shape == (1, 2048)
    np.testing.assert_array_equal(patch_fid.features(torch.nn.functional.pad(image, (0, 200, 0, 1))), found)


def test_without_weights_the_reason_says_where_to_get_them(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch_fidelity")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    for name in ("fid", "patch-fid"):
        with pytest.raises(MetricUnavailable, match=r"https://.*inception.*\.pth could not be downloaded; put it into"):
            METRICS[name].prepare(Settings(CPU))
