"""DISTS against its authors' package; LPIPS stands in test_metrics.py."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from aesop.metrics import METRICS, Metric, Sample, Settings


def random_vgg16(*args: object, **kwargs: object) -> SimpleNamespace:
    """What both packages take of torchvision's VGG16: its convolutions, six sevenths of it left out."""
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(3)
    return SimpleNamespace(features=make_layers(cfgs["D"]))


def test_dists_is_that_of_its_authors_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both on one random VGG16, with the weights of each layer that each package carries."""
    authors = pytest.importorskip("DISTS_pytorch")
    monkeypatch.setattr("torchmetrics.functional.image.dists.vgg16", random_vgg16)
    monkeypatch.setattr("torchvision.models.vgg16", random_vgg16)
    monkeypatch.setattr("aesop.metrics.dists.require_file", lambda url: None)
    metric = METRICS["dists"]
    assert isinstance(metric, Metric)
    measure = metric.prepare(Settings(4, torch.device("cpu")))
    reference = authors.DISTS().eval()
    hr = torch.randint(0, 256, (1, 3, 64, 72)).float() / 255
    sr = (hr.mul(255) + torch.randint(-60, 61, hr.shape)).round().clamp(0, 255) / 255
    with torch.no_grad():
        expected = reference(sr, hr).item()
    assert expected > 0.001
    assert measure(Sample(sr, hr, sr[..., ::4, ::4], 4)) == pytest.approx(expected, rel=1e-5)
