"""Loss scales and perception-distortion curves of runs, and the commands of all analyses."""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from aesop.analysis import measure_curves, measure_loss_scales
from aesop.analysis.curves import plotted
from aesop.cli.analyze import app
from aesop.data.pairs import Pair
from aesop.data.pictures import to_float, write_picture
from aesop.errors import AesopError
from aesop.evaluation.curves import Curve
from aesop.evaluation.evaluate import evaluate
from aesop.evaluation.intervals import mean_interval
from aesop.evaluation.results import Evaluation, Failure
from aesop.evaluation.results import Result as Measured
from aesop.losses.aesop import AESOPLoss
from aesop.upscaling.tiles import Upscaler
from analysis_cases import autoencoder, benchmark, generator, make_run
from helpers import synthetic_picture

# Loss scales


def test_recorded_losses_are_the_logs(tmp_path: Path):
    run = make_run(tmp_path / "run", [{"aesop": 0.02, "pixel": 0.04}, {"aesop": 0.01, "pixel": 0.03}])
    found = measure_loss_scales({"ours": run})
    assert [astuple(curve) for curve in found.runs["ours"]] == [
        ("pixel", 0.01, True, [2, 4], [0.04, 0.03]),
        ("aesop", 1.0, True, [2, 4], [0.02, 0.01]),
    ]
    assert found.summary()[0] == "ours: pixel 0.04000 to 0.03000, weighted 0.00030 (training crops)"


def test_all_runs_are_measured_on_the_same_pictures(tmp_path: Path):
    # One log has both losses, so it is not compared with the other's snapshots on other pictures.
    logged = make_run(tmp_path / "logged", [{"aesop": 0.02, "pixel": 0.04}])
    weight = "perceptual.fidelity_loss.weight=0.5"
    lacking = make_run(tmp_path / "lacking", [{"pixel": 0.04}], weight, recipe="laptop-pixel")
    folder, encoder = benchmark(tmp_path), logged / "autoencoder/autoencoder.safetensors"
    pairs = [Pair("", path).read(4) for path in sorted((folder / "HR").iterdir())]
    (folder / "HR/broken.png").write_bytes(b"no picture")
    found = measure_loss_scales({"logged": logged, "lacking": lacking}, [folder], encoder)
    assert len(found.failures) == 1
    assert found.failures[0].startswith("set/broken: ")
    expected: dict[str, list[float]] = {"pixel": [], "aesop": []}
    for seed in (0, 5, 10, 15):
        upscale = Upscaler(generator(seed), 4)  # to 8 bit, as a picture file
        images = [(to_float(upscale(lr))[None], to_float(hr)[None]) for hr, lr in pairs]
        expected["pixel"].append(sum(float((sr - hr).abs().mean()) for sr, hr in images) / 2)
        expected["aesop"].append(sum(float(AESOPLoss(autoencoder())(sr, hr)) for sr, hr in images) / 2)
    for title, weights in (("logged", (0.01, 1.0)), ("lacking", (0.5, 1.0))):
        for curve, name, weight in zip(found.runs[title], ("pixel", "aesop"), weights, strict=True):
            assert (curve.loss, curve.recorded, curve.weight) == (name, False, weight)
            assert curve.iterations == [0, 5, 10, 15]
            assert curve.values == pytest.approx(expected[name], rel=1e-5)


def test_what_loss_scales_lack_is_named(tmp_path: Path):
    run, double = make_run(tmp_path / "run", [{"aesop": 0.02}]), make_run(tmp_path / "double", [], "scale=2")
    folder = benchmark(tmp_path)
    calls: Any = (
        (({"a": run},), r"has no pixel loss; name a benchmark and an auto-encoder"),
        (({"a": run}, [tmp_path]), "name an auto-encoder as well"),
        (({"a": run}, [], run), "name a benchmark as well"),
        (({"a": run}, [folder], double), "is an auto-encoder for scale 2"),
        (({"a": make_run(tmp_path / "other", [], "perceptual=null")},), "has no perceptual stage"),
        (({"a": tmp_path},), "is not a run folder"),
    )
    for arguments, message in calls:
        with pytest.raises(AesopError, match=message):
            measure_loss_scales(*arguments)
    for path in (folder / "HR").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(AesopError, match="No picture could be measured by all snapshots"):
        measure_loss_scales({"a": run}, [folder], run)


# Perception-distortion curves


def test_curves_hold_what_evaluate_measures(tmp_path: Path):
    run = make_run(tmp_path / "run", [])
    folder = benchmark(tmp_path)
    fidelity = run / "fidelity/generator.safetensors"
    methods = [f"along={run}", f"between={fidelity}:{run}", "alone=bicubic"]
    found = measure_curves(methods, [folder], "psnr", "lr-psnr", alphas=(0, 0.5, 1), points=1)
    curves = {curve.method: curve for curve in found.curves}
    assert [(len(curve.points), curve.benchmark) for curve in found.curves] == [(2, "set"), (3, "set"), (1, "set")]
    direct = evaluate([run, "bicubic"], [folder], metrics=["psnr", "lr-psnr"])
    for model, point in (("run", curves["between"].points[2]), ("bicubic", curves["alone"].points[0])):
        assert point.x == direct.result(model, "set", "psnr").mean
        assert point.y == direct.result(model, "set", "lr-psnr").mean
    # Both begin at the fidelity network and end at the perceptual one.
    assert astuple(curves["along"].points[0])[2:] == astuple(curves["between"].points[0])[2:]
    assert astuple(curves["along"].points[1])[2:] == astuple(curves["between"].points[2])[2:]
    assert curves["between"].points[1].note == "alpha 0.5"
    assert found.failures == []
    found.to_json(tmp_path / "curves.json")
    document = json.loads((tmp_path / "curves.json").read_text(encoding="utf-8"))
    assert document["curves"][2]["points"][0] == {
        "note": "",
        "model": "bicubic",
        "x": curves["alone"].points[0].x,
        "y": curves["alone"].points[0].y,
        "x_interval": None,
        "y_interval": None,
        "count": 2,
    }


def test_both_means_are_over_the_pictures_that_all_could_measure():
    values = {
        ("m", "psnr"): [1.0, 2.0, None, 4.0, 5.0, 6.0, 7.0],
        ("m", "lpips"): [0.1, 0.2, 0.3, None, 0.5, 0.6, 0.7],
        ("n", "psnr"): [9.0, 8.0, 7.0, 6.0, float("inf"), 4.0, 3.0],
        ("n", "lpips"): [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3],
        ("dead", "psnr"): [None] * 7,
        ("dead", "lpips"): [None] * 7,
    }
    results = [
        Measured(model, "set", 4, metric, {str(i): value for i, value in enumerate(found)})
        for (model, metric), found in values.items()
    ]
    failure = Failure("set", "2", "m", "psnr", "too odd")
    given = Evaluation(["m", "n", "dead"], ["set"], ["psnr", "lpips"], results, [failure])
    curves = [
        Curve("ours", {"start": "m", "end": "n"}),
        Curve("theirs", {"": "dead"}),
    ]
    found = plotted(curves, given, "psnr", "lpips")
    first, second = found.curves[0].points
    common = [0, 1, 5, 6]
    assert (first.count, second.count) == (4, 4)
    assert first.x == pytest.approx(sum(values["m", "psnr"][i] or 0 for i in common) / 4)
    assert second.x == pytest.approx((9 + 8 + 4 + 3) / 4)
    assert second.y == pytest.approx((0.9 + 0.8 + 0.4 + 0.3) / 4)
    assert first.x_interval is None  # of four
    assert found.curves[1].points[0].x is None
    assert found.failures == ["set/2 (ours, start; psnr): too odd"]
    for result in results:
        result.pictures = {str(i): float(i) for i in range(6)}
    point = plotted(curves, given, "psnr", "lpips").curves[0].points[0]
    assert point.x_interval == point.y_interval == mean_interval([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])


def test_a_metric_of_sets_may_be_an_axis():
    psnr = Measured("m", "set", 4, "psnr", {"a": 1.0, "b": 3.0})
    fid = Measured("m", "set", 4, "fid", {"a": None, "b": None}, set_value=7.0)
    given = Evaluation(["m"], ["set"], ["psnr", "fid"], [psnr, fid])
    (curve,) = plotted([Curve("ours", {"": "m"})], given, "psnr", "fid").curves
    assert astuple(curve.points[0])[2:] == (2.0, 7.0, None, None, 2)


def test_a_metric_that_cannot_be_had_is_named(tmp_path: Path):
    with pytest.raises(AesopError, match=r"ae-psnr: could not be measured on any picture .*auto-encoder"):
        measure_curves(["bicubic"], [benchmark(tmp_path)], "psnr", "ae-psnr")


# Commands


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", [{"aesop": 0.02, "pixel": 0.04}, {"aesop": 0.01, "pixel": 0.03}])


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    write_picture(tmp_path / "picture.png", synthetic_picture(66, 82, 1))
    return tmp_path / "picture.png"


def call(name: str, *arguments: str | Path, status: int = 0) -> Result:
    result = CliRunner().invoke(app, [name, *map(str, arguments)])
    assert result.exit_code == status, (result.output, result.exception)
    return result


def drawn(name: str, *arguments: str | Path, status: int = 0) -> tuple[str, list[str]]:
    """Call a command; return the text of its figure and the lines that it printed."""
    with TemporaryDirectory() as folder:
        output = Path(folder) / "figure.svg"
        lines = call(name, *arguments, "--output", output, status=status).output.splitlines()
        assert str(output) in lines
        return output.read_text(encoding="utf-8"), lines


def refusal(name: str, *arguments: str | Path) -> str:
    error = CliRunner().invoke(app, [name, *map(str, arguments)]).exception
    assert isinstance(error, AesopError)
    return str(error)


def test_spectra_and_loss_maps_draw_what_their_options_say(run: Path, picture: Path):
    figures = {}
    for sigma in ("1", "3"):
        figures[sigma], lines = drawn("spectra", picture, "--autoencoder", run, "--sigma", sigma)
        assert lines[0].startswith("of what the picture has beyond LR's band, the auto-encoder keeps")
    assert figures["1"] != figures["3"]
    low = picture.with_name("low.png")
    write_picture(low, synthetic_picture(16, 20, 5))
    told = []
    for options in ((), ("--lr", low), ("--sigma", "3")):
        text, lines = drawn("loss-maps", picture, "bicubic", f"Ours={run}", "--autoencoder", run, *options)
        assert ">Ours<" in text
        told.append(tuple(lines[:2]))
    assert len(set(told)) == 3


def test_loss_scales_of_logs_and_of_snapshots(run: Path, tmp_path: Path):
    text, lines = drawn("loss-scales", f"Ours={run}")
    assert ">Ours<" in text
    assert lines[0] == "Ours: pixel 0.04000 to 0.03000, weighted 0.00030 (training crops)"
    benchmark(tmp_path, 1, "Set5")
    (tmp_path / "Set5/HR/broken.png").write_bytes(b"no picture")
    options = ("--benchmark", "Set5", "--benchmarks-folder", tmp_path, "--autoencoder", run, "--processes", "1")
    text, lines = drawn("loss-scales", f"Ours={run}", *options, status=2)
    assert any(line.startswith("Ours: pixel ") and line.endswith("(snapshots)") for line in lines)
    assert any(line.startswith("Set5/broken: ") for line in lines)


def test_crops_hold_what_their_options_say(run: Path, picture: Path):
    text, lines = drawn("crops", picture, "bicubic", f"Ours={run}", "--boxes", "3", "--side", "17")
    assert all(f">{title}<" in text for title in ("bicubic", "Ours", "HR", "picture"))
    assert "PSNR " in text
    (boxes,) = [line.split()[1:] for line in lines if line.startswith("boxes: ")]
    assert len(boxes) == 3
    assert all(box.endswith(",16") for box in boxes)
    options = ("--box", "8,16,24", "--box", "0,4,12", "--metrics", "lr-psnr, ae-psnr", "--autoencoder", run)
    text, lines = drawn("crops", picture, run, *options)
    assert "boxes: 8,16,24 0,4,12" in lines
    assert ">LR-PSNR " in text
    assert ">AE-PSNR " in text
    text, _ = drawn("crops", picture, "bicubic", "--without-hr", "--scale", "2")
    assert ">HR<" not in text


def test_curves_hold_what_their_options_say(run: Path, tmp_path: Path):
    benchmark(tmp_path, 2, "Set5")
    options = ("--x", "lr-psnr", "--y", "ae-psnr", "--autoencoder", run, "--points", "2", "--alphas", "0.5,1")
    options += ("--json", tmp_path / "a.json", "--benchmark", "Set5", "--benchmarks-folder", tmp_path)
    pair = f"mix={run / 'fidelity/generator.safetensors'}:{run}"
    text, _ = drawn("curves", run, pair, "bicubic", *options, "--processes", "1", "--no-cache")
    assert all(f">{label}<" in text for label in ("run", "mix", "alpha 0.5", "iteration 0", "AE-PSNR (dB) ↑"))
    document = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert {curve["method"]: [point["note"] for point in curve["points"]] for curve in document["curves"]} == {
        "run": ["iteration 0", "iteration 10", "iteration 15"],
        "mix": ["alpha 0.5", "alpha 1"],
        "bicubic": [""],
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("curves", "a", "--benchmark", "b"), "a: is neither a run folder, nor a model file, nor A:B"),
        (("curves", "a:b", "--benchmark", "b", "--alphas", "0,x"), "--alphas 0,x: must be numbers"),
        (("curves", "a:b", "--benchmark", "b", "--alphas", "0,1.5"), "--alphas 0,1.5: 1.5 is not between 0 and 1"),
        (("curves", "a:b", "--benchmark", "b", "--alphas", "0.5,0.50"), "--alphas 0.5,0.5: 0.5 is given twice"),
        (("loss-scales", "a"), "is not a run folder"),
        (("loss-scales", "a", "--import", "no_such_module"), "--import no_such_module"),
        (("crops", "a.png", "bicubic", "--box", "1,2"), "box 1,2: is not TOP,LEFT,SIDE"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, arguments: tuple[str, ...], message: str):
    assert message in refusal(*arguments, "--output", tmp_path / "figure.png")


def test_figures_that_cannot_be_are_refused_first(tmp_path: Path):
    for name, arguments in {
        "spectra": ("none.png", "--autoencoder", "none"),
        "loss-maps": ("none.png", "none", "--autoencoder", "none"),
        "loss-scales": ("none",),
        "crops": ("none.png", "none"),
        "curves": ("none", "--benchmark", "none"),
    }.items():
        assert "cannot draw .jpg files; choose a name that ends in .png, .svg or .pdf" in refusal(
            name, *arguments, "--output", tmp_path / "figure.jpg"
        )
