"""Analyses of runs, networks between networks, and perception-distortion curves."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from dataclasses import astuple
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from aesop.analysis import curves as curves_module
from aesop.analysis.curves import measure_curves, open_methods
from aesop.analysis.loss_scales import measure_loss_scales
from aesop.data.pictures import to_float
from aesop.data.sources import find_sources
from aesop.errors import AesopError, ModelError, RunError
from aesop.evaluation.curves import CurvePoint, between, checkpoints
from aesop.evaluation.evaluate import evaluate
from aesop.evaluation.intervals import mean_interval
from aesop.evaluation.model_names import split_pair
from aesop.evaluation.results import Evaluation, Failure, Result
from aesop.losses.aesop import AESOPLoss
from aesop.networks.interpolate import interpolate, interpolate_files
from aesop.networks.loading import load_generator
from aesop.networks.rrdb import RRDBNet
from aesop.networks.section import GeneratorSection
from aesop.networks.srvgg import SRVGGConfig
from aesop.networks.state_dicts import read_metadata, read_state, write_state
from aesop.run import Run
from analysis_cases import autoencoder, benchmark, generator, make_run

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
    # One log has both losses; it is not compared with the other's snapshots on other pictures.
    logged = make_run(tmp_path / "logged", [{"aesop": 0.02, "pixel": 0.04}])
    weight = "perceptual.fidelity_loss.weight=0.5"
    lacking = make_run(tmp_path / "lacking", [{"pixel": 0.04}], weight, recipe="laptop-pixel")
    folder, encoder = benchmark(tmp_path), autoencoder()
    (folder / "HR/broken.png").write_bytes(b"no picture")
    found = measure_loss_scales({"logged": logged, "lacking": lacking}, [folder], encoder)
    assert list(found.failures) == ["set/broken"]
    pairs = [source.read(4) for source in find_sources(folder, 4)[0] if source.name != "broken.png"]
    expected: dict[str, list[float]] = {"pixel": [], "aesop": []}
    for seed in (5, 10, 15):
        images = [(generator(seed)(to_float(lr).unsqueeze(0)), to_float(hr).unsqueeze(0)) for hr, lr in pairs]
        expected["pixel"].append(sum(float((sr - hr).detach().abs().mean()) for sr, hr in images) / 2)
        expected["aesop"].append(sum(float(AESOPLoss(encoder)(sr, hr).detach()) for sr, hr in images) / 2)
    for title, weights in (("logged", (0.01, 1.0)), ("lacking", (0.5, 1.0))):
        for curve, name, weight in zip(found.runs[title], ("pixel", "aesop"), weights, strict=True):
            assert (curve.loss, curve.recorded, curve.weight) == (name, False, weight)
            assert curve.iterations == [5, 10, 15]
            assert curve.values == pytest.approx(expected[name], rel=1e-5)


def test_what_loss_scales_lack_is_named(tmp_path: Path):
    run = make_run(tmp_path / "run", [{"aesop": 0.02}])
    with pytest.raises(RunError, match=r"has no pixel loss; name a benchmark and an auto-encoder"):
        measure_loss_scales({"a": run})
    with pytest.raises(AesopError, match="name an auto-encoder as well"):
        measure_loss_scales({"a": run}, [tmp_path])
    with pytest.raises(AesopError, match="name a benchmark as well"):
        measure_loss_scales({"a": run}, [], autoencoder())
    folder = benchmark(tmp_path)
    with pytest.raises(ModelError, match=r"is for scale 4, the auto-encoder for 2; name an auto-encoder of scale 4"):
        measure_loss_scales({"a": run}, [folder], autoencoder(2))
    (folder / "HR/000.png").write_bytes(b"no picture")
    (folder / "HR/001.png").unlink()
    with pytest.raises(AesopError, match="no picture could be measured"):
        measure_loss_scales({"a": run}, [folder], autoencoder())
    only_fidelity = make_run(tmp_path / "other", [], "perceptual=null")
    with pytest.raises(RunError, match="has no perceptual stage"):
        measure_loss_scales({"a": only_fidelity})


# Networks between networks


def test_files_are_the_same_bytes_every_time(tmp_path: Path):
    said: dict[str, object] = {f"key {number}": {"täxt": number} for number in range(20)}
    digests = set()
    for number in range(3):
        path = tmp_path / f"{number}.safetensors"
        write_state(path, generator(0).state_dict(), said)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1
    content = (tmp_path / "0.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    assert length % 8 == 0
    assert list(json.loads(content[8 : 8 + length])["__metadata__"]) == sorted(said)
    assert {key: json.loads(value) for key, value in read_metadata(tmp_path / "0.safetensors").items()} == said
    state = read_state(tmp_path / "0.safetensors")
    assert all(torch.equal(state[name], value) for name, value in generator(0).state_dict().items())


def test_interpolation_is_linear_and_exact_at_its_ends():
    first, second = generator(0).state_dict(), generator(1).state_dict()
    first["counter"], second["counter"] = torch.tensor(3), torch.tensor(8)
    for alpha in (0.0, 0.3, 1.0):
        mixed = interpolate(first, second, alpha)
        assert mixed["counter"] == (8 if alpha == 1 else 3)
        for name, value in mixed.items():
            expected = (1 - alpha) * first[name].double() + alpha * second[name].double()
            if value.is_floating_point():
                torch.testing.assert_close(value, expected.float(), rtol=1e-6, atol=1e-7)
    assert all(torch.equal(value, first[name]) for name, value in interpolate(first, second, 0.0).items())
    assert all(torch.equal(value, second[name]) for name, value in interpolate(first, second, 1.0).items())
    half = {name: value.half() if value.is_floating_point() else value for name, value in second.items()}
    assert interpolate(first, half, 0.5)["body.0.weight"].dtype == torch.float32
    for one, other in ((first, second), (second, first)):
        with pytest.raises(ValueError, match="they differ in counter"):
            interpolate(one, other | {"counter": torch.tensor(1.0)}, 0.5)


def test_a_network_in_between_loads_as_its_parents_do(tmp_path: Path):
    run = make_run(tmp_path / "run", [])
    output = tmp_path / "between.safetensors"
    interpolate_files(run / "fidelity/generator.safetensors", run, 0.25, output)
    assert load_generator(output).scale == 4
    metadata = {name: json.loads(value) for name, value in read_metadata(output).items()}
    files = {"first": run / "fidelity/generator.safetensors", "second": run / "perceptual/generator.safetensors"}
    assert metadata["interpolation"] == {
        "first": {"path": str(files["first"]), "sha256": hashlib.sha256(files["first"].read_bytes()).hexdigest()},
        "second": {"path": str(run), "sha256": hashlib.sha256(files["second"].read_bytes()).hexdigest()},
        "alpha": 0.25,
    }
    # Of its parents only how the network is built: it was not trained as they were.
    assert metadata.keys() == {"recipe", "stage", "interpolation"}
    assert metadata["recipe"].keys() == {"scale", "generator"}
    assert metadata["stage"] == "interpolation"
    first, second = generator(0).state_dict(), generator(15).state_dict()
    for name, value in read_state(output).items():
        torch.testing.assert_close(value, 0.75 * first[name] + 0.25 * second[name])


class Scaling(nn.Module):
    """A network whose shapes tell nothing."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale, self.gain = scale, nn.Parameter(torch.ones(1))

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return self.gain * lr.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)


class ScalingConfig(GeneratorSection):
    type: str

    def build(self, scale: int) -> nn.Module:
        return Scaling(scale)


def test_networks_of_a_users_own_class_are_mixed_and_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module: Any = ModuleType("scaling")
    module.ScalingConfig = ScalingConfig
    monkeypatch.setitem(sys.modules, "scaling", module)
    recipe = {"generator": {"type": "scaling:ScalingConfig"}, "scale": 3, "name": "own"}
    for name, gain in (("a", 1.0), ("b", 3.0)):
        state = {"gain": torch.tensor([gain])}
        write_state(tmp_path / f"{name}.safetensors", state, {"stage": "fidelity", "recipe": recipe})
    mixed = tmp_path / "mixed.safetensors"
    interpolate_files(tmp_path / "a.safetensors", tmp_path / "b.safetensors", 0.25, mixed)
    loaded = load_generator(mixed)
    assert loaded.scale == 3
    assert float(loaded.model(torch.ones(1, 3, 2, 2)).detach().mean()) == 1.5
    # ... and can be mixed again.
    interpolate_files(mixed, tmp_path / "b.safetensors", 0.5, tmp_path / "again.safetensors")
    assert float(read_state(tmp_path / "again.safetensors")["gain"]) == 2.25


def test_metadata_of_other_tools_does_no_harm(tmp_path: Path):
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for seed, path in enumerate(paths):
        save_file(generator(seed).state_dict(), path, {"format": "pt", "recipe": "not JSON"})
    interpolate_files(paths[0], paths[1], 0.5, tmp_path / "c.safetensors")
    assert load_generator(tmp_path / "c.safetensors").scale == 4


def test_networks_that_cannot_be_mixed_are_refused(tmp_path: Path):
    run = make_run(tmp_path / "run", [])
    small = run / "fidelity/generator.safetensors"
    wide, rrdb = tmp_path / "wide.safetensors", tmp_path / "rrdb.safetensors"
    write_state(wide, SRVGGConfig(type="srvgg", features=6, convs=1).build(4).state_dict(), {})
    write_state(rrdb, RRDBNet(4, features=4, growth=4, blocks=1).state_dict(), {})
    output = tmp_path / "between.safetensors"
    before = small.read_bytes()
    for first, second, alpha, target, message in (
        (small, wide, 0.5, output, r"are of two architectures, they differ in body\.0\.\w+ and \d more; name two"),
        (small, rrdb, 0.5, output, "are of two architectures, .* and RRDB x4; name two of one"),
        (small, run, 1.5, output, "alpha 1.5: is not between 0"),
        (small, run, float("nan"), output, "alpha nan: is not between 0"),
        (small, run, 0.5, tmp_path / "x.pth", "end the name in .safetensors"),
        (small, run, 0.5, small, "is one of the two networks"),
        (small, tmp_path / "none.safetensors", 0.5, output, "no such model file"),
    ):
        with pytest.raises(ModelError, match=message):
            interpolate_files(first, second, alpha, target)
    assert not output.exists()
    assert small.read_bytes() == before


# Perception-distortion curves


def test_checkpoints_are_evenly_spaced_after_the_start(tmp_path: Path):
    run = make_run(tmp_path / "run", [])
    start = CurvePoint("iteration 0", str(run / "fidelity/generator.safetensors"))
    assert [point.note for point in checkpoints(run)] == [f"iteration {number}" for number in (0, 5, 10, 15)]
    assert checkpoints(run)[0] == start
    assert [point.note for point in checkpoints(run, 2)[1:]] == ["iteration 10", "iteration 15"]
    assert [point.note for point in checkpoints(run, 1)[1:]] == ["iteration 15"]
    with pytest.raises(ModelError, match="perceptual: has no snapshots"):
        checkpoints(tmp_path)


def test_a_run_that_began_from_a_file_starts_there(tmp_path: Path):
    first = make_run(tmp_path / "first", []) / "fidelity/generator.safetensors"
    run = make_run(tmp_path / "run", [], f"fidelity.weights={first}")
    (run / "fidelity/generator.safetensors").unlink()
    assert Run(run).fidelity() == first
    assert Run(tmp_path / "none").fidelity() is None


def test_networks_between_stand_in_a_folder_of_their_own(tmp_path: Path):
    run = make_run(tmp_path / "run", [])
    start = run / "fidelity/generator.safetensors"
    alphas = (0, 0.5, 0.5000001, 1)
    found = [between(start, run, tmp_path / "mixed", name, alphas) for name in ("0", "1")]
    paths = [point.model for points in found for point in points[1:3]]
    assert len(set(paths)) == 4
    assert [point.note for point in found[0]] == ["alpha 0", "alpha 0.5", "alpha 0.5000001", "alpha 1"]
    assert (found[0][0].model, found[0][3].model) == (str(start), str(run / "perceptual/generator.safetensors"))
    assert Path(paths[0]).read_bytes() == Path(paths[2]).read_bytes()
    for wrong, message in (
        ((0, 0.5, 0.5), r"alphas 0,0\.5,0\.5: 0\.5 stands there twice"),
        ((0.5, 2), r"alphas 0\.5,2: 2 is not between 0 and 1"),
        ((float("nan"),), "nan is not between 0 and 1"),
        ((), "there are none"),
    ):
        with pytest.raises(ModelError, match=message):
            between(start, run, tmp_path / "none", "0", wrong)
    assert not (tmp_path / "none").exists()


def test_methods_are_told_by_what_they_are(tmp_path: Path):
    run = make_run(tmp_path / "run", [])
    file = run / "fidelity/generator.safetensors"
    given = [str(run), f"AESOP∗={file}:{run}", f"AESOP†={run}:{file}", f"{file}:{run}", "bicubic", f"x={file}"]
    found = open_methods(given, tmp_path / "mixed", (0, 0.5, 1), points=1)
    assert list(found) == ["run", "AESOP∗", "AESOP†", "fidelity to run", "bicubic", "x"]
    assert found["run"] == checkpoints(run, 1)
    assert found["bicubic"] == [CurvePoint("", "bicubic")]
    assert found["x"] == [CurvePoint("", str(file))]
    # Titles that differ in symbols alone have networks of their own.
    one, other = (read_state(Path(found[title][1].model)) for title in ("AESOP∗", "AESOP†"))
    parents = read_state(file), read_state(run / "perceptual/generator.safetensors")
    for name, value in one.items():
        torch.testing.assert_close(value, (parents[0][name] + parents[1][name]) / 2)
        torch.testing.assert_close(other[name], value)
    assert found["AESOP∗"][1].model != found["AESOP†"][1].model
    with pytest.raises(AesopError, match="two methods are called run; name them apart"):
        open_methods([str(run), str(run)], tmp_path)
    with pytest.raises(AesopError, match="none: is neither a run folder, nor a model file, nor A:B"):
        open_methods(["none"], tmp_path)
    with pytest.raises(ModelError, match="perceptual: has no snapshots"):
        open_methods([str(tmp_path)], tmp_path)


def test_a_path_may_hold_colons(tmp_path: Path):
    odd = tmp_path / "a:b"
    odd.mkdir()
    assert split_pair(str(odd)) is None
    assert split_pair(f"{odd}:{tmp_path}") == (odd, tmp_path)


def test_curves_hold_what_evaluate_measures(tmp_path: Path):
    run = make_run(tmp_path / "run", [])
    folder = benchmark(tmp_path)
    fidelity = run / "fidelity/generator.safetensors"
    methods = {
        "along": checkpoints(run, 1),
        "between": between(fidelity, run, tmp_path / "mixed", "be tween", (0, 0.5, 1)),
        "alone": [CurvePoint("", "bicubic")],
    }
    found = measure_curves(methods, [folder], "psnr", "lr-psnr")
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


def test_both_means_are_over_the_pictures_that_all_could_measure(monkeypatch: pytest.MonkeyPatch):
    values = {
        ("m", "psnr"): [1.0, 2.0, None, 4.0, 5.0, 6.0, 7.0],
        ("m", "lpips"): [0.1, 0.2, 0.3, None, 0.5, 0.6, 0.7],
        ("n", "psnr"): [9.0, 8.0, 7.0, 6.0, float("inf"), 4.0, 3.0],
        ("n", "lpips"): [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3],
        ("dead", "psnr"): [None] * 7,
        ("dead", "lpips"): [None] * 7,
    }
    results = [
        Result(model, "set", 4, metric, {str(i): value for i, value in enumerate(found)})
        for (model, metric), found in values.items()
    ]
    failure = Failure("set", "2", "m", "psnr", "too odd")
    given = Evaluation(["m", "n", "dead"], ["set"], ["psnr", "lpips"], results, [failure])
    monkeypatch.setattr(curves_module, "evaluate", lambda *_, **__: given)
    methods = {"ours": [CurvePoint("start", "m"), CurvePoint("end", "n")], "theirs": [CurvePoint("", "dead")]}
    found = measure_curves(methods, ["set"], "psnr", "lpips")
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
    point = measure_curves(methods, ["set"], "psnr", "lpips").curves[0].points[0]
    assert point.x_interval == point.y_interval == mean_interval([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])


def test_a_metric_of_sets_may_be_an_axis(monkeypatch: pytest.MonkeyPatch):
    psnr = Result("m", "set", 4, "psnr", {"a": 1.0, "b": 3.0})
    fid = Result("m", "set", 4, "fid", {"a": None, "b": None}, set_value=7.0)
    given = Evaluation(["m"], ["set"], ["psnr", "fid"], [psnr, fid])
    monkeypatch.setattr(curves_module, "evaluate", lambda *_, **__: given)
    (curve,) = measure_curves({"ours": [CurvePoint("", "m")]}, ["set"], "psnr", "fid").curves
    assert astuple(curve.points[0])[2:] == (2.0, 7.0, None, None, 2)


def test_a_metric_that_cannot_be_had_is_named(tmp_path: Path):
    with pytest.raises(AesopError, match=r"ae-psnr: could not be measured on any picture .*auto-encoder"):
        measure_curves({"a": [CurvePoint("", "bicubic")]}, [benchmark(tmp_path)], "psnr", "ae-psnr")
