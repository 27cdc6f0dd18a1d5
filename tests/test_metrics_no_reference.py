"""Metrics of the SR picture alone: NIQE against MATLAB, pyiqa and a loop in numpy; the source of the others."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import scipy.ndimage
import scipy.special
import torch
from torch import Tensor

from aesop.cli import app
from aesop.data.pictures import read_picture
from aesop.errors import AesopError, DataError, ModelError
from aesop.metrics import METRICS, MetricUnavailable, Sample, SetMeasure, Settings, metric_named
from aesop.metrics.niqe import niqe, pristine, unnaturalness
from aesop.metrics.protocol import eight_bit, luma
from aesop.networks.downloads import fetch
from helpers import no_network, synthetic_picture

CPU = torch.device("cpu")
#: NIQE of scikit-image's photograph of a cameraman.
CAMERA = 3.0962072


def as_image(pixels: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 to (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def measure(name: str, sr: Tensor) -> float:
    measured = METRICS[name].prepare(Settings(CPU))
    assert not isinstance(measured, SetMeasure)
    return measured(Sample(sr, None, sr[..., ::4, ::4], 4))


def textured(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture without flat areas, where implementations would measure nothing but their rounding errors."""
    noise = np.random.default_rng(seed).normal(0, 6, (height, width, 1))
    return (0.7 * synthetic_picture(height, width, seed) + 40 + noise).clip(1, 254).astype(np.uint8)


def test_niqe_is_of_grey_levels_rounded_half_up() -> None:
    pixels = textured(200, 310)
    grey = torch.from_numpy((pixels.astype(int) @ [299, 587, 114] + 500) // 1000).double()
    assert niqe(as_image(pixels)).item() == unnaturalness(grey).item()


def test_niqe_of_baboon_is_what_matlab_gives(shared_data: Path) -> None:
    """BasicSR's code documents MATLAB R2021a's value, 5.72957338, on rounded Y in 16..235."""
    baboon = as_image(read_picture(shared_data / "benchmarks/Set14/HRx4/img_001.png"))
    grey = (luma(eight_bit(baboon))[0, 0] + 0.5).floor()
    assert unnaturalness(grey).item() == pytest.approx(5.72957338, abs=2e-6)


def test_niqe_is_that_of_pyiqa(tmp_path: Path) -> None:
    reference = pytest.importorskip("pyiqa.archs.niqe_arch")
    model = {"mu_prisparam": pristine()[0][None].numpy(), "cov_prisparam": pristine()[1].numpy()}
    scipy.io.savemat(tmp_path / "model.mat", model)
    network = reference.NIQE(pretrained_model_path=str(tmp_path / "model.mat"))
    # Grey: pyiqa weighs colours in float32, and a grey that then rounds the other way changes the third digit.
    image = as_image(np.repeat(textured(200, 310)[..., :1], 3, axis=2))
    assert niqe(image).item() == pytest.approx(network(image).item(), rel=1e-5)


def test_niqe_rises_with_blur_and_with_noise() -> None:
    camera = pytest.importorskip("skimage.data").camera().astype(np.float64)
    noisy = camera + np.random.default_rng(0).normal(0, 25, camera.shape)
    pictures = [grey.round().clip(0, 255).astype(np.uint8)[..., None].repeat(3, axis=2) for grey in (
        camera, scipy.ndimage.gaussian_filter(camera, 2), noisy,
    )]  # fmt: skip
    values = [niqe(as_image(picture)).item() for picture in pictures]
    assert values[0] < min(values[1:])
    # Our value when baboon had MATLAB's: this picture is available everywhere and guards the pristine model's file.
    assert values[0] == pytest.approx(CAMERA, abs=1e-6)


def test_a_flat_area_is_exactly_flat() -> None:
    """Its level must not matter except at its edge, but any rounding error inside would."""
    pixels = textured(192, 288)
    pixels[:, :130] = 37
    values = [unnaturalness(torch.from_numpy(pixels[..., 0] + offset)).item() for offset in (0.0, 1 / 3)]
    assert values[0] == pytest.approx(values[1], rel=1e-7)


def test_niqe_of_a_batch_is_that_of_each() -> None:
    images = torch.cat([as_image(textured(96, 200, seed)) for seed in (1, 2)])
    assert niqe(images).tolist() == [niqe(image[None]).item() for image in images]
    assert measure("niqe", images[:1]) == niqe(images).tolist()[0]


@pytest.mark.parametrize(("size", "words"), [((191, 191), "191x191 pixels"), ((192, 96), "not flat")])
def test_niqe_refuses_what_it_has_no_two_blocks_of(size: tuple[int, int], words: str) -> None:
    pixels = textured(*size)
    if words == "not flat":
        pixels[96:] = 128
        pixels[:99] = 128
    with pytest.raises(DataError, match=words):
        niqe(as_image(pixels))


def fake_pyiqa(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[tuple[object, ...]]:
    """A fake pyiqa whose networks return the picture's mean level; returns a list that records its calls."""
    asked: list[tuple[object, ...]] = []

    def create_metric(name: str, device: torch.device):
        print("Loading pretrained model")
        asked.append((name, device))
        return lambda images: images.mean().view(1, 1)

    def module(name: str, **content: object) -> None:
        made = ModuleType(name)
        made.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, made)

    module("pyiqa", create_metric=create_metric)
    module("huggingface_hub.constants", HF_HUB_OFFLINE=False)
    module("pyiqa.utils.download_util", DEFAULT_CACHE_DIR=str(folder))
    module("pyiqa.archs.maniqa_arch", default_model_urls={"koniq": "https://example.org/a/maniqa.pt"})
    module("pyiqa.archs.musiq_arch", default_model_urls={"koniq10k": "https://example.org/a/musiq-12345678.pth"})
    return asked


@pytest.mark.parametrize(("name", "file"), [("maniqa", "maniqa.pt"), ("musiq", "musiq-12345678.pth")])
def test_pyiqa_sees_the_8_bit_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, file: str
) -> None:
    asked = fake_pyiqa(monkeypatch, tmp_path)
    (tmp_path / file).touch()
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    sr = torch.full((1, 3, 8, 8), 0.5)
    sr[0, 0] = 1.7
    assert measure(name, sr) == pytest.approx((1 + 2 * 128 / 255) / 3, abs=1e-6)
    assert asked == [(name, CPU)]
    assert sys.modules["huggingface_hub.constants"].HF_HUB_OFFLINE, "timm asks the hub for a minute else"
    assert capsys.readouterr().out == "", "standard output is for the table"


@pytest.mark.parametrize("name", ["maniqa", "musiq"])
def test_what_pyiqa_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "pyiqa", None)
        with pytest.raises(MetricUnavailable, match=r"aesop-sr\[iqa\].*forbids commercial use"):
            measure(name, torch.zeros(1, 3, 8, 8))
    asked = fake_pyiqa(monkeypatch, tmp_path)
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(MetricUnavailable, match=rf"https://example.org/a/{name}.*could not be downloaded; put it into"):
        measure(name, torch.zeros(1, 3, 8, 8))
    assert not asked, "pyiqa itself would wait for the server"


def test_a_weight_file_is_fetched_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "from").mkdir()
    source = tmp_path / "from" / "weights-6ca13d52.pth"
    source.write_bytes(b"hello world 1")
    with pytest.raises(ModelError, match="invalid hash value"):
        fetch(source.as_uri(), tmp_path / "bad")
    assert list((tmp_path / "bad").iterdir()) == []
    plain = source.rename(source.with_name("weights.pth"))
    target = fetch(plain.as_uri(), tmp_path / "good")
    plain.unlink()
    assert fetch(plain.as_uri(), tmp_path / "good").read_bytes() == b"hello world 1"
    assert target == tmp_path / "good" / "weights.pth"


def test_clip_iqa_is_piqs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piq = pytest.importorskip("piq")
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(MetricUnavailable, match=r"https://.*RN50\.pt could not be downloaded; put it into"):
        measure("clip-iqa", torch.zeros(1, 3, 32, 32))

    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".cache" / "clip").mkdir(parents=True)
    for name in ("RN50.pt", "clipiqa_tokens.pt"):
        (tmp_path / ".cache" / "clip" / name).touch()
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(48, 6)).eval()
    clip = SimpleNamespace(
        parameters=network.parameters,
        to=lambda images: clip,
        logit_scale=torch.tensor(2.0),
        encode_text=lambda tokens: torch.eye(2, 6),
        encode_image=lambda images, pos_embedding: network(images) + pos_embedding,
    )
    monkeypatch.setattr("piq.clip_iqa.clip.load", lambda: SimpleNamespace(eval=lambda: clip))
    monkeypatch.setattr("piq.clip_iqa.download_tensor", lambda url, folder: torch.zeros(2, 77))
    sr = torch.rand(1, 3, 40, 40) * 1.5
    with torch.no_grad():
        expected = piq.CLIPIQA()((eight_bit(sr) / 255).float()).item()
    assert 0 < expected < 1
    assert measure("clip-iqa", sr) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(DataError, match="CLIP-IQA needs 32 pixels per side; this picture has 31x40"):
        measure("clip-iqa", sr[..., :31])


def test_the_best_is_by_a_metrics_direction() -> None:
    found = {name: (METRICS[name].arrow, METRICS[name].best([2.0, 1.0, 3.0])) for name in ("psnr", "se", "ve")}
    assert found == {"psnr": ("↑", 3), "se": ("↓", 1), "ve": ("", None)}
    assert METRICS["psnr"].best([]) is None


def test_the_help_of_evaluate_names_all_metrics() -> None:
    from typer.main import get_command

    parameters = get_command(app).commands["evaluate"].params  # type: ignore[attr-defined]
    (help,) = [parameter.help for parameter in parameters if parameter.name == "metrics"]
    usual, _, others = help.partition("(unset, these)")
    for name, metric in METRICS.items():
        assert f" {name}" in (usual if metric.by_default else others)


def test_a_metric_is_named_or_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mymetric.py").write_text(
        "from aesop.metrics import Metric\n"
        "class Brightness(Metric):\n"
        "    higher_is_better = None\n"
        "    def measure(self, sample):\n"
        "        return sample.sr.mean().item()\n"
        "class Undecided(Metric):\n"
        "    pass\n"
    )
    monkeypatch.chdir(tmp_path)
    assert metric_named("psnr") is METRICS["psnr"]
    own = metric_named("mymetric:Brightness")
    assert metric_named("mymetric:Brightness") is METRICS.pop("mymetric:Brightness") is own
    assert (own.name, own.title, own.arrow) == ("mymetric:Brightness", "Brightness", "")
    assert own.measure(Sample(torch.ones(1, 3, 2, 2), None, torch.ones(1, 3, 1, 1), 4)) == 1
    for text, message in {
        "psnrr": "unknown metric 'psnrr'; did you mean psnr",
        "zzz": "unknown metric 'zzz'; choose from psnr, ",
        "nosuchmodule:X": "nosuchmodule cannot be imported",
        "mymetric:Darkness": "mymetric has no class Darkness derived from Metric; see docs/extending.md",
        "mymetric:Undecided": "mymetric:Undecided: has no `higher_is_better`; set it to True",
    }.items():
        with pytest.raises(AesopError, match=message):
            metric_named(text)
