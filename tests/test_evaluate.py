"""Evaluation: published baselines, faulty benchmarks, results as JSON and as tables."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from typer import Typer
from typer.testing import CliRunner

from aesop.cli import main
from aesop.cli.evaluate import evaluate as evaluate_command
from aesop.data.bicubic import resize
from aesop.data.pictures import read_picture, to_float, to_planes, write_picture
from aesop.errors import AesopError, DataError, ModelError
from aesop.evaluation.evaluate import Evaluation, evaluate
from aesop.evaluation.terminal import print_tables
from aesop.metrics import METRICS, MetricUnavailable, Sample, Settings
from aesop.metrics.metric import Measure
from aesop.metrics.protocol import eight_bit
from aesop.metrics.psnr import psnr
from aesop.networks.generators import SRVGGConfig
from aesop.networks.state_dicts import write_state
from helpers import prepared_by, write_model


def picture(height: int = 48, width: int = 40, seed: int = 0) -> np.ndarray:
    """A random picture with low frequencies."""
    coarse = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, height // 4, width // 4), np.uint8))
    return resize(coarse, 4).permute(1, 2, 0).numpy()


def half(image: np.ndarray, scale: int = 4) -> np.ndarray:
    return resize(torch.from_numpy(image).permute(2, 0, 1), 1 / scale).permute(1, 2, 0).numpy()


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """A benchmark of two pictures, without LR."""
    for seed, name in enumerate(("a", "b")):
        write_picture(tmp_path / "bench/HR" / f"{name}.png", picture(seed=seed))
    return tmp_path / "bench"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_model(tmp_path / "models/good.safetensors")


@pytest.mark.parametrize(
    ("name", "psnr", "ssim"),
    [
        ("Set5", 28.432, 0.8113),
        ("Set14", 26.093, 0.7049),
        pytest.param("BSD100", 25.963, 0.6682, marks=pytest.mark.long),
    ],
)
def test_bicubic_reaches_the_papers_baseline(shared_data: Path, name: str, psnr: float, ssim: float) -> None:
    evaluation = evaluate(["bicubic"], [shared_data / "benchmarks" / name], metrics=["psnr", "ssim"])
    assert evaluation.failures == []
    assert evaluation.result("bicubic", name, "psnr").mean == pytest.approx(psnr, abs=0.005)
    assert evaluation.result("bicubic", name, "ssim").mean == pytest.approx(ssim, abs=0.0002)


def test_values_are_those_of_the_pictures_that_a_user_gets(bench: Path, good: Path) -> None:
    """PSNR is computed here in numpy, from the 8-bit SR picture and from LR rounded as in a file."""
    evaluation = evaluate([good, "bicubic"], [bench], metrics=["psnr"])
    assert evaluation.models == ["good", "bicubic"]
    result = evaluation.result("good", "bench", "psnr")
    assert result.scale == 4
    for seed, name in enumerate(("a", "b")):
        hr = picture(seed=seed)
        sr = half(hr).repeat(4, 0).repeat(4, 1)
        y = [image.astype(float) @ np.array([65.481, 128.553, 24.966]) / 255 + 16 for image in (sr, hr)]
        expected = 10 * np.log10(255**2 / np.mean((y[0] - y[1])[4:-4, 4:-4] ** 2))
        assert result.pictures[name] == pytest.approx(expected, abs=1e-9)
    assert result.mean == pytest.approx(np.mean([v for v in result.pictures.values() if v is not None]))


def test_lr_pictures_that_are_made_equal_lr_pictures_that_are_there(bench: Path, tmp_path: Path) -> None:
    made = evaluate(["bicubic"], [bench], metrics=["psnr", "ssim", "lr-psnr"])
    for seed, name in enumerate(("a", "b")):
        write_picture(tmp_path / "bench/LR/X4" / f"{name}x4.png", half(picture(seed=seed)))
    assert evaluate(["bicubic"], [bench], metrics=["psnr", "ssim", "lr-psnr"]).results == made.results
    for name in ("a", "b"):
        write_picture(tmp_path / "bench/LR/X4" / f"{name}x4.png", half(picture(seed=5)))
    assert evaluate(["bicubic"], [bench], metrics=["psnr"]).results != made.results


def test_a_bad_picture_costs_nothing_but_itself(bench: Path, good: Path) -> None:
    before = evaluate(["bicubic", good], [bench], metrics=["psnr"])
    (bench / "HR/broken.png").write_bytes(b"nothing")
    write_picture(bench / "HR/tiny.png", picture(16, 16))
    evaluation = evaluate(["bicubic", good], [bench], metrics=["psnr", "ssim"])
    for model in ("bicubic", "good"):
        result = evaluation.result(model, "bench", "psnr")
        assert result.pictures["broken"] is None
        assert {name: result.pictures[name] for name in "ab"} == before.result(model, "bench", "psnr").pictures
        ssim = evaluation.result(model, "bench", "ssim")
        assert (len(ssim.finite), len(result.finite)) == (2, 3)
    failures = [(failure.picture, failure.model, failure.metric) for failure in evaluation.failures]
    assert failures == [("broken", None, None), ("tiny", "bicubic", "ssim"), ("tiny", "good", "ssim")]
    assert "broken.png" in evaluation.failures[0].reason
    assert "11 pixels" in evaluation.failures[1].reason


def test_an_lr_picture_of_the_wrong_size_is_marked(bench: Path) -> None:
    write_picture(bench / "LRx4/a.png", half(picture(seed=0)))
    write_picture(bench / "LRx4/b.png", half(picture(seed=1), 2))
    evaluation = evaluate(["bicubic"], [bench], metrics=["psnr"])
    assert evaluation.result("bicubic", "bench", "psnr").pictures["a"] is not None
    assert [failure.picture for failure in evaluation.failures] == ["b"]
    assert "b.png: 40 x 48 pixels are not 4 times those of its LR picture, 20 x 24" in evaluation.failures[0].reason


def test_a_model_that_fails_leaves_the_others_alone(bench: Path, tmp_path: Path, good: Path) -> None:
    nan = write_model(tmp_path / "nan.safetensors", plus=float("nan"))
    evaluation = evaluate([nan, good], [bench], metrics=["psnr"])
    assert evaluation.result("nan", "bench", "psnr").mean is None
    assert len(evaluation.result("good", "bench", "psnr").finite) == 2
    assert {failure.model for failure in evaluation.failures} == {"nan"}
    assert "not a number" in evaluation.failures[0].reason


def test_a_metric_that_cannot_be_had_says_why(bench: Path, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(settings: Settings) -> Measure:
        raise MetricUnavailable("no weights: alexnet.pth could not be downloaded")

    monkeypatch.setitem(METRICS, "lpips", prepared_by("lpips", prepare))
    evaluation = evaluate(["bicubic", good], [bench], metrics=["psnr", "lpips", "ae-psnr"])
    assert evaluation.failures == []
    assert evaluation.result("good", "bench", "lpips").unavailable
    shown = table(evaluation)
    assert "LPIPS: no weights: alexnet.pth could not be downloaded" in shown
    assert "AE-PSNR: needs an auto-encoder; name one with --autoencoder FILE" in shown
    assert shown.count("no weights") == 1
    # To ask for one of them is a failure.
    arguments = ["bicubic", "--benchmark", bench, "--metrics"]
    assert [run(*arguments, names).exit_code for names in ("psnr,ae-psnr", "psnr")] == [2, 0]


def table(evaluation: Evaluation) -> str:
    console = Console(file=io.StringIO(), width=160)
    print_tables(evaluation, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_equal_pictures_are_infinite_and_still_json(tmp_path: Path, good: Path) -> None:
    write_picture(tmp_path / "flat/a.png", np.full((48, 48, 3), 90, np.uint8))
    evaluation = evaluate([good], [tmp_path / "flat"], metrics=["psnr", "ssim"])
    evaluation.to_json(tmp_path / "out/values.json")
    document = json.loads((tmp_path / "out/values.json").read_text(), parse_constant=pytest.fail)
    assert document["models"] == ["good"]
    assert document["benchmarks"] == ["flat"]
    assert document["failures"] == []
    assert "torch" in document["versions"]
    assert document["results"] == [
        {"model": "good", "benchmark": "flat", "scale": 4, "metric": metric, "mean": value,
         "interval": None, "count": 1, "pictures": {"a": value}, "unavailable": None, "set_value": None,
         "set_pictures": []}
        for metric, value in (("psnr", "inf"), ("ssim", 1.0))
    ]  # fmt: skip


def test_scale_comes_from_the_models(bench: Path, tmp_path: Path, good: Path) -> None:
    twice = write_model(tmp_path / "x2.safetensors", 2)
    evaluation = evaluate(["bicubic", twice], [bench], metrics=["psnr"])
    assert {result.scale for result in evaluation.results} == {2}
    assert evaluate(["bicubic"], [bench], scale=3, metrics=["psnr"]).results[0].scale == 3
    for _ in range(2):  # from the file, then from what an earlier call kept
        with pytest.raises(ModelError, match=r"good\.safetensors: is for scale 4, not 2 as .*x2\.safetensors"):
            evaluate([twice, good], [bench])
        with pytest.raises(ModelError, match=r"good\.safetensors: is for scale 4, not 3; evaluate each"):
            evaluate([good], [bench], scale=3)


def test_mistakes_are_named_before_work_starts(bench: Path, tmp_path: Path) -> None:
    with pytest.raises(AesopError, match=r"'pnsr'; did you mean psnr\?"):
        evaluate(["bicubic"], [bench], metrics=["pnsr"])
    with pytest.raises(ModelError, match=r"none\.pth"):
        evaluate(["none.pth"], [bench])
    with pytest.raises(DataError, match="no such benchmark folder"):
        evaluate(["bicubic"], [tmp_path / "none"])
    with pytest.raises(DataError, match=r"has pictures in folders of no known layout; name"):
        evaluate(["bicubic"], [tmp_path])
    (tmp_path / "x2/HRx2").mkdir(parents=True)
    with pytest.raises(DataError, match=r"has HRx2, which is no known layout for scale 4; .* choose another scale"):
        evaluate(["bicubic"], [tmp_path / "x2"])
    write_picture(bench / "LRx4/c.png", half(picture()))
    with pytest.raises(DataError, match=r"none of its pictures has an LR picture in .*LRx4 \(a, for instance\)"):
        evaluate(["bicubic"], [bench])
    with pytest.raises(AesopError, match="Nothing to evaluate"):
        evaluate([], [bench])


def test_a_metric_that_fails_on_one_picture_marks_it_alone(
    bench: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(settings: Settings) -> Measure:
        def measure(sample: Sample) -> float:
            calls.append(sample)
            raise (TypeError("no float64 here") if len(calls) == 1 else MemoryError)

        return measure

    calls: list[Sample] = []
    monkeypatch.setitem(METRICS, "lpips", prepared_by("lpips", prepare))
    evaluation = evaluate([good], [bench], metrics=["lpips", "psnr"])
    assert len(evaluation.result("good", "bench", "psnr").finite) == 2
    found = [(failure.picture, failure.metric, failure.reason) for failure in evaluation.failures]
    assert found == [("a", "lpips", "no float64 here"), ("b", "lpips", "MemoryError")]


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX systems only")
def test_names_may_be_any_bytes(bench: Path) -> None:
    write_picture(bench / "HR" / os.fsdecode(b"caf\xe9.png"), picture(seed=3))
    evaluation = evaluate(["bicubic"], [bench], metrics=["psnr"])
    assert "caf\\xe9" in evaluation.result("bicubic", "bench", "psnr").finite
    assert evaluation.failures == []
    (table(evaluation) + evaluation.to_json()).encode()


def run(*arguments: object) -> Any:
    app = Typer()
    app.command()(evaluate_command)
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_outputs_are_tried_before_the_work(bench: Path, tmp_path: Path) -> None:
    same, pipe = tmp_path / "out", tmp_path / "pipe"
    os.mkfifo(pipe)
    for options, reason in (
        (["--json", tmp_path], f"{tmp_path}: is a folder; a file is expected here"),
        (["--json", bench / "HR/a.png/x/o.json"], "not a folder"),
        (["--json", same, "--csv", same], "named for two outputs"),
        (["--latex", pipe], "not a regular file"),
        (["--report", "/proc/o.html"], "/proc/o.html: "),
    ):
        found = run("no-such-model", "--benchmark", bench, *options).exception
        assert isinstance(found, AesopError)
        assert reason in str(found)


def test_the_table_is_printed_even_if_the_json_file_cannot_be_written(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "o.json"

    def prepare(settings: Settings) -> Measure:
        target.mkdir()
        return lambda sample: 1.0

    monkeypatch.setitem(METRICS, "psnr", prepared_by("psnr", prepare))
    result = run("bicubic", "--benchmark", bench, "--metrics", "psnr", "--json", target)
    assert str(target) in str(result.exception)
    assert "bench, x4, 2 pictures" in result.stdout


def test_a_terminal_without_arrows_costs_nothing(bench: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aesop", "evaluate", "bicubic", "--benchmark", str(bench), "--metrics", "psnr"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    shown = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    assert b"PSNR ? dB" in shown
    command += ["--json", str(tmp_path / "o.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()  # as `| true` does
        assert b"Traceback" not in run.stderr.read()
    assert json.loads((tmp_path / "o.json").read_text())["metrics"] == ["psnr"]


def test_run_folders_from_training_to_pictures(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`aesop evaluate RUN --autoencoder RUN` and `aesop upscale --model RUN` work on the files of a training."""
    from aesop.autoencoder import AutoEncoder

    run = tmp_path / "run"
    generator = SRVGGConfig(type="srvgg", features=8, convs=1).build(4)
    autoencoder = AutoEncoder(SRVGGConfig(type="srvgg", features=16, convs=1).build(4), 4, growth=4, blocks=1).eval()
    stored, encoded_by = run / "perceptual/generator.safetensors", run / "autoencoder/autoencoder.safetensors"
    write_state(stored, generator.state_dict(), {})
    write_state(encoded_by, autoencoder.state_dict(), {})

    def aesop(*arguments: object) -> str:
        monkeypatch.setattr("sys.argv", ["aesop", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 0, capsys.readouterr().err
        return capsys.readouterr().out

    aesop("upscale", bench / "HR", "--model", run, "--output", tmp_path / "large")
    aesop(
        "evaluate", run, "--autoencoder", run, "--benchmark", bench, "--metrics", "psnr,ae-psnr",
        "--json", tmp_path / "o.json",
    )  # fmt: skip
    document = json.loads((tmp_path / "o.json").read_text())
    for path, found in ((stored, document["files"]["run"]), (encoded_by, document["autoencoder"])):
        assert found == {"path": run.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    with pytest.raises(ModelError, match="is an auto-encoder for scale 4; one for scale 2"):
        evaluate(["bicubic"], [bench], scale=2, autoencoder=run)
    results = {entry["metric"]: entry["pictures"] for entry in document["results"]}
    with torch.no_grad():
        for seed, name in enumerate("ab"):
            hr = to_float(to_planes(picture(seed=seed)))[None]
            large = generator(hr).clamp(0, 1)[0] * 255
            assert (to_planes(read_picture(tmp_path / f"large/{name}.png")) - large).abs().max() <= 0.5 + 1e-3
            sr = generator(to_float(to_planes(half(picture(seed=seed))))[None])
            assert results["psnr"][name] == pytest.approx(psnr(sr, hr, scale=4).item(), abs=0.01)
            encoded = [autoencoder(eight_bit(images).float() / 255) for images in (sr, hr)]
            assert results["ae-psnr"][name] == pytest.approx(psnr(*encoded, scale=4).item(), abs=0.01)
