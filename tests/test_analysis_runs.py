"""Analyses of runs, networks between networks, and the commands."""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from aesop.analysis.curves import Waypoint, between, checkpoints, draw_curves, measure_curves, starting_network
from aesop.analysis.interpolate import interpolate, interpolate_files
from aesop.analysis.loss_scales import draw_loss_scales, loss_scales
from aesop.autoencoder import AutoEncoder
from aesop.cli_analyze import app as analyze
from aesop.data.pictures import to_float
from aesop.data.sources import find_sources
from aesop.errors import AesopError, ModelError, RunError
from aesop.evaluation.evaluate import evaluate
from aesop.losses.aesop import AESOPLoss
from aesop.networks.loading import load_generator
from aesop.networks.rrdb import RRDBNet
from aesop.networks.srvgg import SRVGGConfig
from aesop.networks.state_dicts import read_metadata, read_state, write_state
from aesop.training.recipe_files import dump_recipe, load_recipe
from helpers import synthetic_pictures

SMALL = ["generator.features=4", "generator.convs=1"]


def generator(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return SRVGGConfig(type="srvgg", features=4, convs=1).build(4)


def autoencoder() -> AutoEncoder:
    return AutoEncoder(generator(9), 4, growth=4, blocks=1).eval()


def make_run(folder: Path, losses: list[dict[str, Any]], *settings: str, recipe: str = "laptop") -> Path:
    """Write a run's files: three snapshots, a fidelity network and a log."""
    loaded = load_recipe(recipe, [*SMALL, *settings])
    metadata: dict[str, object] = {"stage": "perceptual", "recipe": loaded.model_dump(mode="json"), "iteration": 7}
    for number in (5, 10, 15):
        path = folder / f"perceptual/snapshots/{number:08d}.safetensors"
        write_state(path, generator(number).state_dict(), metadata)
    write_state(folder / "perceptual/generator.safetensors", generator(15).state_dict(), metadata)
    write_state(folder / "fidelity/generator.safetensors", generator(0).state_dict(), {**metadata, "stage": "fidelity"})
    (folder / "recipe.yaml").write_text(dump_recipe(loaded), encoding="utf-8")
    lines = [{"iteration": 2 * (i + 1), "kind": "loss", "seconds": 1.0, **line} for i, line in enumerate(losses)]
    lines.append({"iteration": 4, "kind": "validation", "seconds": 1.0, "psnr": 20.0})
    (folder / "perceptual/log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return folder


def pictures(folder: Path) -> tuple[Path, list[tuple[Tensor, Tensor]]]:
    synthetic_pictures(folder / "set/HR", 2, 32)
    pairs = [source.read(4) for source in find_sources(folder / "set", 4)[0]]
    return folder / "set", [(lr, hr) for hr, lr in pairs]


# Loss scales


def test_recorded_losses_are_the_logs(tmp_path: Path):
    run = make_run(tmp_path / "run", [{"aesop": 0.02, "pixel": 0.04}, {"aesop": 0.01, "pixel": 0.03}])
    found = loss_scales(run)
    assert [astuple(curve) for curve in found.curves] == [
        ("pixel", 0.01, True, [2, 4], [0.04, 0.03]),
        ("aesop", 1.0, True, [2, 4], [0.02, 0.01]),
    ]
    draw_loss_scales([found, found], tmp_path / "scales.svg")
    assert "0.01 x pixel loss" in (tmp_path / "scales.svg").read_text(encoding="utf-8")


def test_what_the_log_lacks_comes_from_snapshots_both_losses_of_it(tmp_path: Path):
    weight = "perceptual.fidelity_loss.weight=0.5"
    run = make_run(tmp_path / "run", [{"pixel": 0.04}], weight, recipe="laptop-pixel")
    _, pairs = pictures(tmp_path)
    encoder = autoencoder()
    curves = loss_scales(run, pairs, encoder).curves
    assert [(curve.loss, curve.recorded, curve.weight) for curve in curves] == [
        ("pixel", True, 0.5),
        ("pixel", False, 0.5),
        ("aesop", False, 1.0),
    ]
    assert curves[1].iterations == curves[2].iterations == [5, 10, 15]
    expected = {"pixel": [], "aesop": []}
    for seed in (5, 10, 15):
        images = [(generator(seed)(to_float(lr).unsqueeze(0)), to_float(hr).unsqueeze(0)) for lr, hr in pairs]
        expected["pixel"].append(sum(float((sr - hr).detach().abs().mean()) for sr, hr in images) / 2)
        expected["aesop"].append(sum(float(AESOPLoss(encoder)(sr, hr).detach()) for sr, hr in images) / 2)
    assert curves[1].values == pytest.approx(expected["pixel"], rel=1e-5)
    assert curves[2].values == pytest.approx(expected["aesop"], rel=1e-5)


def test_what_the_log_lacks_is_named(tmp_path: Path):
    run = make_run(tmp_path / "run", [{"aesop": 0.02}])
    with pytest.raises(RunError, match=r"has no pixel loss; name pictures \(--benchmark\)"):
        loss_scales(run)
    only_fidelity = make_run(tmp_path / "other", [], "perceptual=null")
    with pytest.raises(RunError, match="has no perceptual stage"):
        loss_scales(only_fidelity)


# Networks between networks


def test_interpolation_is_linear_and_exact_at_its_ends():
    first, second = generator(0).state_dict(), generator(1).state_dict()
    first["counter"], second["counter"] = torch.tensor(3), torch.tensor(8)
    for share in (0.0, 0.3, 1.0):
        mixed = interpolate(first, second, share)
        assert mixed["counter"] == (8 if share == 1 else 3)
        for name, value in mixed.items():
            expected = (1 - share) * first[name].double() + share * second[name].double()
            if value.is_floating_point():
                torch.testing.assert_close(value, expected.float(), rtol=1e-6, atol=1e-7)
    assert all(torch.equal(value, first[name]) for name, value in interpolate(first, second, 0.0).items())
    assert all(torch.equal(value, second[name]) for name, value in interpolate(first, second, 1.0).items())
    half = {name: value.half() if value.is_floating_point() else value for name, value in second.items()}
    assert interpolate(first, half, 0.5)["body.0.weight"].dtype == torch.float32


def test_a_network_in_between_loads_as_its_parents_do(tmp_path: Path):
    run = make_run(tmp_path / "run", [])
    output = tmp_path / "between.safetensors"
    interpolate_files(run / "fidelity/generator.safetensors", run, 0.25, output)
    assert load_generator(output).scale == 4
    metadata = {name: json.loads(value) for name, value in read_metadata(output).items()}
    assert metadata["recipe"]["name"] == "laptop"
    assert metadata["stage"] == "perceptual"
    assert metadata["interpolation"]["share"] == 0.25
    assert "iteration" not in metadata
    first, second = generator(0).state_dict(), generator(15).state_dict()
    for name, value in read_state(output).items():
        torch.testing.assert_close(value, 0.75 * first[name] + 0.25 * second[name])


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
    for first, second, share, target, message in (
        (small, wide, 0.5, output, r"are of two architectures, they differ in body\.0\.\w+ and \d more; name two"),
        (small, rrdb, 0.5, output, "are of two architectures, .* and RRDB x4; name two of one"),
        (small, run, 1.5, output, "--share 1.5: is not between 0"),
        (small, run, float("nan"), output, "--share nan: is not between 0"),
        (small, run, 0.5, tmp_path / "x.pth", "end the name in .safetensors"),
        (small, run, 0.5, small, "is one of the two networks"),
        (small, tmp_path / "none.safetensors", 0.5, output, "no such model file"),
    ):
        with pytest.raises(ModelError, match=message):
            interpolate_files(first, second, share, target)
    assert not output.exists()
    assert small.read_bytes() == before


# Perception-distortion curves


def test_checkpoints_are_evenly_spaced_after_the_start(tmp_path: Path):
    run = make_run(tmp_path / "run", [])
    start = Waypoint("iteration 0", str(run / "fidelity/generator.safetensors"))
    assert [waypoint.note for waypoint in checkpoints(run)] == [f"iteration {number}" for number in (0, 5, 10, 15)]
    assert checkpoints(run)[0] == start
    assert [waypoint.note for waypoint in checkpoints(run, 2)[1:]] == ["iteration 10", "iteration 15"]
    assert [waypoint.note for waypoint in checkpoints(run, 1)[1:]] == ["iteration 15"]
    with pytest.raises(ModelError, match="has no perceptual/snapshots"):
        checkpoints(tmp_path)


def test_a_run_that_began_from_a_file_starts_there(tmp_path: Path):
    first = make_run(tmp_path / "first", []) / "fidelity/generator.safetensors"
    run = make_run(tmp_path / "run", [], f"fidelity.weights={first}")
    (run / "fidelity/generator.safetensors").unlink()
    assert starting_network(run) == first
    assert starting_network(tmp_path / "none") is None


def test_curves_hold_what_evaluate_measures(tmp_path: Path):
    run = make_run(tmp_path / "run", [])
    folder, _ = pictures(tmp_path)
    fidelity = run / "fidelity/generator.safetensors"
    methods = {
        "along": checkpoints(run, 1),
        "between": between(fidelity, run, tmp_path / "mixed", "be tween", (0, 0.5, 1)),
        "alone": [Waypoint("", "bicubic")],
    }
    found = measure_curves(methods, [folder], "psnr", "lr-psnr")
    curves = {curve.method: curve for curve in found.curves}
    assert [(len(curve.points), curve.benchmark) for curve in found.curves] == [(2, "set"), (3, "set"), (1, "set")]
    direct = evaluate([run, "bicubic"], [folder], metrics=["psnr", "lr-psnr"])
    for model, point in (("run", curves["between"].points[2]), ("bicubic", curves["alone"].points[0])):
        assert point.x == direct.result(model, "set", "psnr").mean
        assert point.y == direct.result(model, "set", "lr-psnr").mean
    # Both begin at the fidelity network and end at the perceptual one.
    assert astuple(curves["along"].points[0])[1:] == astuple(curves["between"].points[0])[1:]
    assert astuple(curves["along"].points[1])[1:] == astuple(curves["between"].points[2])[1:]
    assert curves["between"].points[1].note == "share 0.5"
    draw_curves(found, tmp_path / "curves.svg")
    text = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    assert all(word in text for word in ("along", "between", "alone", "PSNR (dB) ↑", "LR-PSNR (dB) ↑", "set"))
    found.to_json(tmp_path / "curves.json")
    assert json.loads((tmp_path / "curves.json").read_text(encoding="utf-8"))["curves"][2]["points"][0]["note"] == ""


def test_a_metric_that_cannot_be_had_is_named(tmp_path: Path):
    folder, _ = pictures(tmp_path)
    with pytest.raises(AesopError, match=r"ae-psnr: could not be measured on any picture .*auto-encoder"):
        measure_curves({"a": [Waypoint("", "bicubic")]}, [folder], "psnr", "ae-psnr")


# Commands


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(analyze, [str(argument) for argument in arguments])


def test_commands_write_their_figures(tmp_path: Path):
    run = make_run(tmp_path / "run", [{"aesop": 0.02, "pixel": 0.04}])
    folder, _ = pictures(tmp_path)
    write_state(run / "autoencoder/autoencoder.safetensors", autoencoder().state_dict(), {})
    picture, ours = folder / "HR/000.png", f"Ours={run}"
    both = ("--benchmark", folder, "--autoencoder", run)
    for name, arguments in {
        "spectra": (picture, "--autoencoder", run),
        "loss-maps": (picture, "bicubic", ours, "--autoencoder", run),
        "loss-scales": (run,),
        "crops": (picture, "bicubic", ours, "--box", "0,4,16", "--metrics", "psnr,lr-psnr"),
        "curves": (ours, *both, "--along", "weights", "--shares", "0,1", "--y", "ae-psnr", "--point", "bicubic"),
    }.items():
        output = tmp_path / f"{name}.svg"
        result = call(name, *arguments, "--output", output)
        assert result.exit_code == 0, (name, result.output, result.exception)
        assert output.is_file()
        assert str(output) in result.output
    result = call("bias-variance", "bicubic", ours, *both, "--json", tmp_path / "values.json")
    assert result.exit_code == 0
    assert [found["model"] for found in json.loads((tmp_path / "values.json").read_text())] == ["bicubic", "Ours"]
    assert "Ours" in (tmp_path / "crops.svg").read_text(encoding="utf-8")


def test_pictures_without_hr_get_crops_and_no_metrics_that_need_it(tmp_path: Path):
    folder, _ = pictures(tmp_path)
    arguments = ("crops", folder / "HR/000.png", "bicubic", "--without-hr", "--output", tmp_path / "crops.svg")
    assert call(*arguments, "--metrics", "", "--side", "32").exit_code == 0
    assert ">HR<" not in (tmp_path / "crops.svg").read_text(encoding="utf-8")
    assert isinstance(call(*arguments, "--metrics", "psnr").exception, AesopError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("curves", "a", "--benchmark", "b", "--along", "time"), "--along time: choose"),
        (("curves", "a", "--benchmark", "b", "--along", "weights", "--shares", "0,x", "--start", "c"), "--shares 0,x"),
        (("curves", "a", "--benchmark", "b", "--along", "weights"), "has no fidelity network"),
        (("crops", "a.png", "bicubic", "--without-hr", "--lr", "b.png"), "--lr and --without-hr"),
        (("loss-scales", "a"), "is not a run folder"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, arguments: tuple[str, ...], message: str):
    error = call(*arguments, "--output", tmp_path / "figure.png").exception
    assert isinstance(error, AesopError)
    assert message in str(error)
