"""Exported files, read by other libraries."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from spandrel import ModelLoader
from torch import Tensor, nn
from typer import Typer
from typer.testing import CliRunner

from aesop import export
from aesop.cli.export import export as export_command
from aesop.errors import AesopError, MissingExtraError, ModelError
from aesop.networks.loading import load_generator
from aesop.networks.rrdb import RRDBNet
from aesop.networks.state_dicts import read_metadata, read_state, write_state
from aesop.networks.upconv import UpConvNet
from aesop.upscaling.export import LEAST, SUFFIXES, compare

SIZES = ((23, 40), (16, 17))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    write_state(path, UpConvNet(2, 8, 1, 4).state_dict(), {"stage": "fidelity"})
    return path


def needs(*packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


def assert_agrees(images: Tensor, output: Tensor, path: Path) -> None:
    with torch.no_grad():
        torch.testing.assert_close(output, load_generator(path).model(images), rtol=1e-3, atol=1e-4)


def test_onnx_runtime_runs_what_was_written(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    needs("onnx", "onnxruntime")
    monkeypatch.chdir(tmp_path)
    written = export(model, "onnx")
    assert written.files == (Path("small.onnx"),)
    assert written.agreement > 100
    session = import_module("onnxruntime").InferenceSession("small.onnx", providers=["CPUExecutionProvider"])
    for height, width in SIZES:
        images = torch.rand(2, 3, height, width)
        assert_agrees(images, torch.from_numpy(session.run(["sr"], {"lr": images.numpy()})[0]), model)
    said = session.get_modelmeta().custom_metadata_map
    assert (said["scale"], said["architecture"], len(said["sha256"])) == ("2", "UpConv", 64)


def test_openvino_runs_what_was_written(model: Path, tmp_path: Path):
    needs("openvino")
    written = export(model, "openvino", tmp_path / "new" / "x2.xml")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"x2.xml", "x2.bin"}
    network = (
        import_module("openvino").Core().compile_model(written.files[0], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    )
    for height, width in SIZES:
        images = torch.rand(2, 3, height, width)
        assert_agrees(images, torch.from_numpy(network([images.numpy()])[0]), model)


def test_ncnn_runs_what_was_written(model: Path, tmp_path: Path):
    needs("ncnn", "pnnx")
    ncnn = import_module("ncnn")
    written = export(model, "ncnn", tmp_path / "x2.param")
    network = ncnn.Net()
    network.opt.use_fp16_storage = network.opt.use_fp16_packed = network.opt.use_fp16_arithmetic = False
    assert network.load_param(str(written.files[0])) == network.load_model(str(written.files[1])) == 0
    for height, width in SIZES:
        images = torch.rand(1, 3, height, width)
        extractor = network.create_extractor()
        extractor.input("in0", ncnn.Mat(images[0].numpy()))
        assert_agrees(images, torch.from_numpy(np.array(extractor.extract("out0")[1]))[None], model)


def test_safetensors_keep_what_the_file_says_and_load_in_spandrel(tmp_path: Path):
    network = RRDBNet(4, 8, 1, 32)
    said = {"author": "somebody", "modelspec.title": "4x-Small", "number": "4"}
    save_file(network.state_dict(), tmp_path / "given.safetensors", said)
    torch.save({"params_ema": network.state_dict()}, tmp_path / "given.pth")
    for suffix in ("safetensors", "pth"):
        target = tmp_path / f"to-{suffix}.safetensors"
        written = export(tmp_path / f"given.{suffix}", "safetensors", target)
        assert (written.agreement, written.spandrel) == (200, True)
        read = ModelLoader().load_from_file(target)
        assert (read.architecture.name, read.scale) == ("ESRGAN", 4)
        images = torch.rand(1, 3, 20, 12)
        with torch.no_grad():
            torch.testing.assert_close(read.model(images), network(images))
        with safe_open(target, "pt") as file:
            metadata = file.metadata()
        assert len(metadata.pop("aesop_sha256")) == 64
        assert metadata == (said if suffix == "safetensors" else {})
        assert all(torch.equal(value, network.state_dict()[key]) for key, value in read_state(target).items())


def test_what_spandrel_does_not_know_is_told(model: Path, tmp_path: Path):
    written = export(model, "safetensors", tmp_path / "copy.safetensors")
    assert written.spandrel is False
    assert read_metadata(tmp_path / "copy.safetensors") == {"stage": "fidelity"}
    command = Typer()
    command.command()(export_command)
    target = tmp_path / "again.safetensors"
    result = CliRunner().invoke(command, [str(model), "--to", "safetensors", "--output", str(target)])
    assert result.exit_code == 0
    assert result.output.replace("\n", "").endswith(
        "again.safetensors: equalspandrel, which other programs use, has no such network"
    )


def test_what_does_not_agree_is_not_written(model: Path):
    network = load_generator(model).model

    def fixed(images: Tensor) -> Tensor:
        """A network that is right at one of the sizes only."""
        with torch.no_grad():
            return network(images) + (0.01 if images.shape[-1] % 2 else 0)

    def failing(images: Tensor) -> Tensor:
        raise RuntimeError("shapes")

    assert compare(lambda images: network(images), network) > LEAST
    assert compare(fixed, network) == pytest.approx(40, abs=0.5)
    assert compare(failing, network) == 0


class Sized(nn.Module):
    """A network whose output depends on the size, which tracing turns into a constant."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, lr: Tensor) -> Tensor:
        return lr.repeat_interleave(2, -1).repeat_interleave(2, -2) * self.gain * int(lr.shape[-1]) / 100


def test_a_network_that_a_trace_breaks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    needs("onnx", "onnxruntime")
    (tmp_path / "sized_network.py").write_text(
        "from aesop.networks.section import GeneratorSection\nfrom test_export import Sized\n"
        "class Config(GeneratorSection):\n    type: str\n    def build(self, scale): return Sized(scale)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import_module("sized_network")
    path, target = tmp_path / "sized.safetensors", tmp_path / "sized.onnx"
    recipe = {"generator": {"type": "sized_network:Config"}, "scale": 2}
    write_state(path, {"gain": torch.ones(1)}, {"stage": "fidelity", "recipe": recipe})
    target.write_text("what was there")
    with pytest.raises(ModelError, match=r"sized.safetensors: as onnx, .* than in torch \(\d+ dB .*\); nothing was"):
        export(path, "onnx", target)
    assert target.read_text() == "what was there"


def test_mistakes_are_told_in_a_sentence(model: Path, tmp_path: Path):
    for to, output, message in (
        ("tflite", None, "--to tflite: no such format; there are onnx, safetensors, ncnn, openvino"),
        ("onnx", tmp_path / "x.bin", "x.bin: is no name for onnx; end it in .onnx"),
        ("safetensors", model, "is the model itself; name another --output"),
        ("onnx", tmp_path, "is no name for onnx"),
    ):
        with pytest.raises(AesopError, match=message):
            export(model, to, output)
    with pytest.raises(ModelError, match="no such model file"):
        export(tmp_path / "none.pth", "onnx")


def test_a_missing_extra_is_named(model: Path, monkeypatch: pytest.MonkeyPatch):
    for package, to in (("onnxruntime", "onnx"), ("openvino", "openvino"), ("pnnx", "ncnn")):
        monkeypatch.setitem(sys.modules, package, None)  # as Python marks what is not to be found
        with pytest.raises(MissingExtraError, match=rf"pip install 'aesop-sr\[{to}\]'"):
            export(model, to, model.parent / f"x{SUFFIXES[to]}")
