"""`aesop analyze`: every option reaches the function that it is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from aesop import analysis
from aesop.cli.analyze import app
from aesop.cli.interpolate import interpolate as interpolate_command
from aesop.data.pictures import read_picture, to_float, to_planes, write_picture
from aesop.errors import AesopError
from aesop.evaluation.results import Evaluation
from analysis_cases import benchmark, make_run
from helpers import synthetic_picture

DRAWINGS = ("spectra", "loss_maps", "loss_scales", "crops", "curves")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each command hands to its drawing, which is not made."""
    found: dict[str, Any] = {}
    for name in DRAWINGS:
        monkeypatch.setattr(
            f"aesop.analysis.{name}.draw_{name}", lambda what, *_, name=name: found.__setitem__(name, what)
        )
    return found


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", [{"aesop": 0.02, "pixel": 0.04}])


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    write_picture(path, synthetic_picture(66, 82, 1))
    return path


def call(name: str, *arguments: str | Path, status: int = 0) -> Result:
    result = CliRunner().invoke(app, [name, *map(str, arguments)])
    assert result.exit_code == status, (result.output, result.exception)
    return result


def refusal(name: str, *arguments: str | Path) -> str:
    error = CliRunner().invoke(app, [name, *map(str, arguments)]).exception
    assert isinstance(error, AesopError)
    return str(error)


def test_public_names_are_sorted_and_there():
    assert analysis.__all__ == sorted(analysis.__all__)
    assert all(getattr(analysis, name) is not None for name in analysis.__all__)
    homes = [name for names in analysis._HOMES.values() for name in names]
    assert sorted(homes) == analysis.__all__
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = analysis.nothing


def test_spectra(run: Path, picture: Path, tmp_path: Path, seen: dict[str, Any]):
    result = call("spectra", picture, "--autoencoder", run, "--output", tmp_path / "a.png", "--sigma", "3")
    network = analysis.load_autoencoder(run)
    hr, _ = analysis.read_pair(picture, 4)
    expected = analysis.measure_spectra(to_float(hr), network, 4, 3)
    assert hr.shape == (3, 64, 80)
    assert torch.equal(seen["spectra"].low_passed.image, expected.low_passed.image)
    assert torch.equal(seen["spectra"].autoencoded.spectrum, expected.autoencoded.spectrum)
    assert result.output.splitlines() == [*expected.summary(), str(tmp_path / "a.png")]


def test_loss_maps(run: Path, picture: Path, tmp_path: Path, seen: dict[str, Any]):
    lr = tmp_path / "lr.png"
    write_picture(lr, synthetic_picture(16, 20, 5))
    options = ("--autoencoder", run, "--output", tmp_path / "a.png", "--sigma", "3", "--lr", lr)
    call("loss-maps", picture, "bicubic", f"Ours={run}", *options)
    models = analysis.load_models(analysis.parse_models(["bicubic", f"Ours={run}"]))
    expected = analysis.measure_loss_maps(
        models, *analysis.read_pair(picture, 4, lr), analysis.load_autoencoder(run), 3
    )
    assert list(seen["loss_maps"].models) == ["bicubic", "Ours"]
    for title, maps in expected.models.items():
        assert torch.equal(seen["loss_maps"].models[title].aesop, maps.aesop)
        assert torch.equal(seen["loss_maps"].models[title].high_pass, maps.high_pass)


def test_loss_scales(run: Path, tmp_path: Path, seen: dict[str, Any]):
    output = ("--output", tmp_path / "a.png")
    call("loss-scales", f"Ours={run}", *output)
    assert seen["loss_scales"] == analysis.measure_loss_scales({"Ours": run})
    benchmark(tmp_path, 1, "Set5")
    options = ("--benchmark", "Set5", "--benchmarks-folder", tmp_path, "--autoencoder", run)
    call("loss-scales", f"Ours={run}", *output, *options)
    network = analysis.load_autoencoder(run)
    assert seen["loss_scales"] == analysis.measure_loss_scales({"Ours": run}, [tmp_path / "Set5"], network)
    assert not seen["loss_scales"].runs["Ours"][0].recorded
    (tmp_path / "Set5/HR/broken.png").write_bytes(b"no picture")
    assert "Set5/broken: " in call("loss-scales", run, *output, *options, status=2).output


def test_bias_variance(run: Path, tmp_path: Path):
    benchmark(tmp_path, 2, "Set5")
    options = ("--benchmark", "Set5", "--benchmarks-folder", tmp_path, "--autoencoder", run, "--against", "Ours")
    result = call("bias-variance", "bicubic", f"Ours={run}", *options, "--json", tmp_path / "a.json")
    models = analysis.load_models(analysis.parse_models(["bicubic", f"Ours={run}"]))
    expected = analysis.measure_bias_variance(
        models, [tmp_path / "Set5"], analysis.load_autoencoder(run), 4, against="Ours"
    )
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == json.loads(expected.to_json())
    assert expected.differences()[0].against == "Ours"
    assert "difference from Ours" in result.output
    assert str(tmp_path / "a.json") in result.output.replace("\n", "")
    (tmp_path / "Set5/HR/broken.png").write_bytes(b"no picture")
    assert "broken" in call("bias-variance", "bicubic", *options[:-2], status=2).output


def test_crops(run: Path, picture: Path, tmp_path: Path, seen: dict[str, Any]):
    output = ("--output", tmp_path / "a.png")
    result = call("crops", picture, "bicubic", f"Ours={run}", *output, "--boxes", "3", "--side", "17")
    assert len(seen["crops"].places) == 3
    assert {place.side for place in seen["crops"].places} == {16}
    assert list(seen["crops"].crops[0]) == ["bicubic", "Ours", "HR"]
    assert seen["crops"].captions["Ours"][0].startswith("PSNR ")
    assert result.output.splitlines()[0].startswith("boxes: ")
    lr = tmp_path / "lr.png"
    write_picture(lr, synthetic_picture(16, 20, 5))
    options = ("--box", "8,16,24", "--box", "0,4,12", "--metrics", "lr-psnr, ae-psnr", "--lr", lr)
    call("crops", picture, run, *output, *options, "--autoencoder", run)
    assert [(place.top, place.left, place.side) for place in seen["crops"].places] == [(8, 16, 24), (0, 4, 12)]
    assert [line.split()[0] for line in seen["crops"].captions["run"]] == ["LR-PSNR", "AE-PSNR"]
    model = analysis.load_models(analysis.parse_models([str(run)]))["run"]
    levels = (model(to_planes(read_picture(lr))).clamp(0, 1) * 255).round() / 255
    torch.testing.assert_close(seen["crops"].crops[0]["run"], levels[:, 8:32, 16:40], atol=1e-6, rtol=0)


def test_crops_know_the_scale(picture: Path, tmp_path: Path, seen: dict[str, Any]):
    double = make_run(tmp_path / "double", [], "scale=2")
    output = ("--output", tmp_path / "a.png")
    call("crops", picture, double, "bicubic", *output, "--metrics", "")
    assert seen["crops"].picture.shape == (3, 66, 82)
    assert seen["crops"].captions == {"double": [], "bicubic": []}
    call("crops", picture, "bicubic", *output, "--scale", "3")
    assert seen["crops"].picture.shape == (3, 66, 81)
    assert "is for scale 2, not 4" in refusal("crops", picture, double, *output, "--scale", "4")
    four = make_run(tmp_path / "four", [])
    message = refusal("crops", picture, double, *output, "--autoencoder", four)
    assert "is an auto-encoder for scale 4, not 2" in message


def test_crops_without_hr(run: Path, picture: Path, tmp_path: Path, seen: dict[str, Any]):
    arguments = ("crops", picture, "bicubic", f"HR={run}", "--without-hr", "--output", tmp_path / "a.png")
    call(*arguments)
    assert seen["crops"].picture.shape == (3, 4 * 66, 4 * 82)
    assert list(seen["crops"].captions.values()) == [[], []]
    assert "psnr compares with an HR picture" in refusal(*arguments, "--metrics", "psnr")
    assert "--lr and --without-hr" in refusal(*arguments, "--lr", picture)


def test_a_metric_that_fails_leaves_the_figure(
    run: Path, picture: Path, tmp_path: Path, seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr("aesop.metrics.lr_psnr.resize", fail)
    result = call("crops", picture, run, "--output", tmp_path / "a.png", "--metrics", "psnr,lr-psnr", status=2)
    assert seen["crops"].captions["run"][1] == "LR-PSNR –"
    assert "run, LR-PSNR: no memory" in result.output
    assert str(tmp_path / "a.png") in result.output


def test_curves(run: Path, tmp_path: Path, seen: dict[str, Any]):
    benchmark(tmp_path, 2, "Set5")
    options = ("--x", "lr-psnr", "--y", "ae-psnr", "--autoencoder", run, "--points", "2", "--alphas", "0.5,1")
    options += ("--json", tmp_path / "a.json", "--benchmark", "Set5", "--benchmarks-folder", tmp_path)
    options += ("--processes", "1")
    pair = f"mix={run / 'fidelity/generator.safetensors'}:{run}"
    call("curves", run, pair, "bicubic", *options, "--output", tmp_path / "a.png")
    found = seen["curves"]
    assert {curve.method: [point.note for point in curve.points] for curve in found.curves} == {
        "run": ["iteration 0", "iteration 10", "iteration 15"],
        "mix": ["alpha 0.5", "alpha 1"],
        "bicubic": [""],
    }
    direct = analysis.measure_curves(
        analysis.open_methods([str(run), pair, "bicubic"], tmp_path / "mixed", (0.5, 1), 2),
        [tmp_path / "Set5"],
        "lr-psnr",
        "ae-psnr",
        autoencoder=run,
    )
    assert [curve.places for curve in found.curves] == [curve.places for curve in direct.curves]
    document = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert document["curves"][1]["points"][0]["x"] == found.curves[1].points[0].x


def test_curves_measure_as_evaluate_is_told_to(
    run: Path, tmp_path: Path, seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    told: list[dict[str, Any]] = []

    def evaluate(models: list[str], benchmarks: list[str], **how: Any) -> Evaluation:
        told.append(how | {"benchmarks": benchmarks})
        raise AesopError("enough")

    monkeypatch.setattr("aesop.analysis.curves.evaluate", evaluate)
    output = ("--benchmark", "Set5", "--output", tmp_path / "a.png")
    refusal("curves", run, *output)
    refusal("curves", run, *output, "--no-cache", "--processes", "2", "--import", "json", "--device", "cpu")
    common = {"autoencoder": None, "device": "cpu", "benchmarks_folder": None, "benchmarks": ["Set5"]}
    common |= {"metrics": ["psnr", "lpips"]}
    assert told[0] == common | {"processes": None, "cache": True, "imports": ()}
    assert told[1] == common | {"processes": 2, "cache": False, "imports": ["json"]}
    assert not seen


@pytest.mark.parametrize(
    ("alphas", "message"),
    [
        ("0,x", "--alphas 0,x: are not numbers"),
        ("0,1.5", "--alphas 0,1.5: 1.5 is not between 0 and 1"),
        ("0.5,0.50", "--alphas 0.5,0.5: 0.5 stands there twice"),
    ],
)
def test_alphas_that_cannot_be_are_refused(tmp_path: Path, alphas: str, message: str):
    arguments = ("curves", "a:b", "--benchmark", "b", "--output", tmp_path / "a.png", "--alphas", alphas)
    assert message in refusal(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("curves", "a", "--benchmark", "b"), "a: is neither a run folder, nor a model file, nor A:B"),
        (("loss-scales", "a"), "is not a run folder"),
        (("loss-scales", "a", "--import", "no_such_module"), "--import no_such_module"),
        (("crops", "a.png", "bicubic", "--box", "1,2"), "box 1,2: is not TOP,LEFT,SIDE"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, arguments: tuple[str, ...], message: str):
    assert message in refusal(*arguments, "--output", tmp_path / "figure.png")


def test_figures_that_cannot_be_are_refused_first(tmp_path: Path):
    output = ("--output", tmp_path / "figure.jpg")
    for name, arguments in {
        "spectra": ("none.png", "--autoencoder", "none"),
        "loss-maps": ("none.png", "none", "--autoencoder", "none"),
        "loss-scales": ("none",),
        "crops": ("none.png", "none"),
        "curves": ("none", "--benchmark", "none"),
    }.items():
        assert "cannot draw .jpg files" in refusal(name, *arguments, *output)
    message = refusal("bias-variance", "none", "--benchmark", "none", "--autoencoder", "none", "--json", tmp_path)
    assert "is a folder; a file is expected here" in message


def test_every_command_draws(run: Path, picture: Path, tmp_path: Path):
    folder = benchmark(tmp_path)
    for name, arguments in {
        "spectra": (picture, "--autoencoder", run),
        "loss-maps": (picture, run, "--autoencoder", run),
        "loss-scales": (run,),
        "crops": (picture, run),
        "curves": (run, "bicubic", "--benchmark", folder, "--y", "lr-psnr", "--processes", "1"),
    }.items():
        output = tmp_path / f"{name}.svg"
        result = call(name, *arguments, "--output", output)
        assert str(output) in result.output
        assert "<svg" in output.read_text(encoding="utf-8")


def test_interpolate(run: Path, tmp_path: Path):
    from typer import Typer

    command = Typer()
    command.command()(interpolate_command)
    start, output = run / "fidelity/generator.safetensors", tmp_path / "between.safetensors"
    result = CliRunner().invoke(command, [str(start), str(run), "--alpha", "0.5", "--output", str(output)])
    assert result.exit_code == 0
    assert str(output) in result.output.replace("\n", "")
    assert output.is_file()
