"""`aesop evaluate --report` and `--curve`: what the command passes to the report, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from typer import Typer
from typer.testing import CliRunner

from aesop.cli.evaluate import evaluate as evaluate_command
from aesop.data.bicubic import resize
from aesop.data.pictures import write_picture
from aesop.errors import AesopError
from aesop.evaluation.curves import open_curves
from aesop.evaluation.evaluate import evaluate
from aesop.evaluation.pictures import pictures
from aesop.networks.generators import SRVGGConfig
from aesop.networks.state_dicts import write_state
from report_samples import Parsed, noise


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a", "b")):
        write_picture(tmp_path / "bench/HR" / f"{name}.png", noise(24, 32, seed).permute(1, 2, 0).numpy())
    return tmp_path / "bench"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    network = SRVGGConfig(type="srvgg", features=4, convs=0).build(4)
    write_state(tmp_path / "net.safetensors", network.state_dict(), {})
    return tmp_path / "net.safetensors"


def test_pictures_are_handed_out_with_what_every_model_made_of_them(bench: Path, model: Path, tmp_path: Path):
    (bench / "HR/c.png").write_bytes(b"no picture")
    for cache in (True, True, False):
        found = evaluate(["bicubic", model], [bench], metrics=["psnr"], cache=cache, sr_folder=tmp_path / "sr")
        seen = list(pictures(found))
        assert [picture.name for picture in seen] == ["a", "b"]
        for picture in seen:
            assert torch.equal(picture.sr["bicubic"], resize(picture.lr, 4))
            assert picture.hr is not None
            assert picture.sr["net"].shape == picture.hr.shape
    with pytest.raises(AesopError, match="sr_folder"):
        list(pictures(evaluate(["bicubic"], [bench], metrics=["psnr"])))


def run(*arguments: object):
    app = Typer()
    app.command()(evaluate_command)
    return CliRunner().invoke(app, list(map(str, arguments)))


def curve_of(report: Path) -> dict[str, Any]:
    """The first line of the plot."""
    return Parsed(report.read_text(encoding="utf-8")).data["plot"]["traces"]["bench"][0]


def test_the_command_writes_a_report_with_a_curve(bench: Path, model: Path, tmp_path: Path):
    other = tmp_path / "other.safetensors"
    network = SRVGGConfig(type="srvgg", features=4, convs=0).build(4)
    write_state(other, network.state_dict(), {})
    report = tmp_path / "out" / "r.html"
    done = run(
        "bicubic", model, other, "--benchmark", bench, "--metrics", "psnr,ssim", "--report", report,
        "--curve", f"{model}:{other}", "--processes", 1,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    parsed = Parsed(report.read_text(encoding="utf-8"))
    assert len(parsed.of("img")) == 2 * 5
    assert str(tmp_path) not in report.read_text(encoding="utf-8")
    curve, *models = parsed.data["plot"]["traces"]["bench"]
    assert [trace["name"] for trace in (curve, *models)] == ["net to other", "bicubic", "net", "other"]
    ends = ["<b>net to other</b>, alpha 0: <b>net</b>", "<b>net to other</b>, alpha 1: <b>other</b>"]
    assert curve["notes"][::5] == ends
    for metric in ("psnr", "ssim"):
        assert curve["values"][metric][::5] == [models[1]["values"][metric][0], models[2]["values"][metric][0]]


def test_curves_that_nothing_can_be_made_of_are_refused(model: Path, tmp_path: Path):
    for text in ("net", f"{model}", f"{model}:missing"):
        with pytest.raises(AesopError, match="A:B"):
            open_curves([text], tmp_path)
    run_folder = tmp_path / "run"
    (run_folder / "perceptual").mkdir(parents=True)
    own = run_folder / "perceptual/generator.safetensors"
    own.write_bytes(model.read_bytes())
    for same in (f"{model}:{model}", f"{model}:{model.parent}/./{model.name}", f"{run_folder}:{own}"):
        with pytest.raises(AesopError, match="are one network; name two"):
            open_curves([same], tmp_path)
    with pytest.raises(AesopError, match="perceptual: has no snapshots"):
        open_curves([str(tmp_path)], tmp_path)
    other, *double = (model.with_name(f"{name}.safetensors") for name in ("other", "one", "two"))
    other.write_bytes(model.read_bytes())
    for path in double:
        write_state(path, SRVGGConfig(type="srvgg", features=4, convs=0).build(2).state_dict(), {})
    with pytest.raises(AesopError, match="draw each scale by itself"):
        open_curves([f"{model}:{other}", f"{double[0]}:{double[1]}"], tmp_path)
    with pytest.raises(AesopError, match="--report"):
        raise run("bicubic", "--benchmark", "none", "--curve", f"{model}:{other}").exception or AssertionError


def test_a_runs_checkpoints_are_a_curve(bench: Path, model: Path, tmp_path: Path):
    run_folder = tmp_path / "long"
    for name in ("fidelity/generator", "perceptual/snapshots/00000010", "perceptual/snapshots/00000020"):
        path = run_folder / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model.read_bytes())
    assert open_curves([f"Ours={run_folder}"], tmp_path)[0][0].title == "Ours's training"
    report = tmp_path / "r.html"
    done = run(
        "bicubic", "--benchmark", bench, "--metrics", "psnr,ssim", "--report", report, "--curve", f"{run_folder}/"
    )
    assert done.exit_code == 0, done.output
    curve = curve_of(report)
    assert curve["name"] == "long&#x27;s training"
    assert [note.rpartition(", ")[2] for note in curve["notes"]] == ["iteration 0", "iteration 10", "iteration 20"]


def test_what_goes_wrong_on_a_curve_is_told(bench: Path, model: Path, tmp_path: Path):
    run_folder = tmp_path / "long"
    good, bad = (run_folder / f"perceptual/snapshots/000000{n}0.safetensors" for n in (1, 2))
    good.parent.mkdir(parents=True)
    good.write_bytes(model.read_bytes())
    network = SRVGGConfig(type="srvgg", features=4, convs=0).build(4)
    write_state(bad, {name: value * float("nan") for name, value in network.state_dict().items()}, {})
    report = tmp_path / "r.html"
    command = ("bicubic", "--benchmark", bench, "--metrics", "psnr,ssim", "--report", report, "--curve", run_folder)
    done = run(*command)
    assert done.exit_code == 2
    assert "long's training, iteration 20: " in done.output
    assert [value is not None for value in curve_of(report)["values"]["psnr"]] == [True, False]
    assert "long's training, iteration 20: " in Parsed(report.read_text(encoding="utf-8")).text
    report.unlink()
    bad.write_bytes(b"half a file")
    done = run(*command)
    assert "20.safetensors" in str(done.exception)
    assert not report.exists()


@pytest.mark.parametrize(("megabytes", "sides"), [(0, 0), (1, 6)])
def test_the_command_takes_the_size(bench: Path, tmp_path: Path, megabytes: int, sides: int):
    report = tmp_path / "r.html"
    done = run(
        "bicubic", "--benchmark", bench, "--metrics", "psnr", "--report", report, "--report-size", megabytes
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert len(Parsed(report.read_text(encoding="utf-8")).of("img")) == sides
