"""Folders of SR pictures that another program made, evaluated beside networks."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from aesop.cli.evaluate import evaluate as evaluate_command
from aesop.data.bicubic import resize
from aesop.data.pictures import read_picture, to_picture, to_planes, write_picture
from aesop.errors import AesopError, DataError, ModelError, RunError
from aesop.evaluation.evaluate import evaluate
from aesop.evaluation.export import to_latex
from aesop.evaluation.pictures import pictures
from aesop.metrics import METRICS, Sample
from aesop.reports.report import report_text
from helpers import prepared_by, synthetic_picture, synthetic_pictures, write_model

NAMES = ("000", "001", "002")


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """Three pictures of 50 x 48, which is no multiple of 4."""
    synthetic_pictures(tmp_path / "bench/HR", 3, (48, 50))
    return tmp_path / "bench"


def hr(bench: Path, name: str) -> np.ndarray:
    return read_picture(bench / f"HR/{name}.png")[:48, :48]


def upscaled(bench: Path, folder: Path, name: str = "{}.png", names: Sequence[str] = NAMES) -> Path:
    """SR as another program might make it: every LR pixel repeated."""
    for one in names:
        low = to_picture(resize(to_planes(hr(bench, one)), 1 / 4))
        write_picture(folder / name.format(one), low.repeat(4, 0).repeat(4, 1))
    return folder


def run(*arguments: object) -> Any:
    app = Typer()
    app.command()(evaluate_command)
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_a_folder_stands_beside_networks_in_every_output(bench: Path, tmp_path: Path) -> None:
    """The folder holds the network's pictures, so it must get the network's values."""
    model, folder = write_model(tmp_path / "net.safetensors"), upscaled(bench, tmp_path / "other program/out")
    outputs = {kind: tmp_path / f"o.{kind}" for kind in ("json", "csv", "markdown", "latex", "report")}
    done = run(
        "bicubic", model, f"Other={folder}", folder, "--benchmark", bench, "--metrics", "psnr",
        "--processes", 1, *(part for kind, path in outputs.items() for part in (f"--{kind}", path)),
    )  # fmt: skip
    assert done.exit_code == 0, done.exception
    written = {kind: path.read_text() for kind, path in outputs.items()}
    document = json.loads(written["json"])
    values = {entry["model"]: entry["pictures"] for entry in document["results"]}
    assert values["Other"] == values["net"] == values["out"] != values["bicubic"]
    assert [d["model"] for d in document["differences"]] == ["net", "Other", "out"]
    assert document["files"]["Other"]["path"] == "out"
    assert document["files"]["Other"]["sha256"] == document["files"]["out"]["sha256"] != ""
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(written["csv"]))}
    assert rows["Other"]["mean"] == rows["net"]["mean"]
    for kind in ("markdown", "latex", "report"):
        assert "Other" in written[kind]
    # The page shows all versions of every picture: LR, bicubic, net, Other, out, HR.
    assert written["report"].count("data:image/webp") >= 3 * 6


@pytest.mark.parametrize(
    "habit",
    ["{}x4.png", "{}_x4.jpg", "{}_4x.png", "{}_SR.png", "{}-sr.png", "{}_x4_SR.webp", "{}_HR.png", "{}x4_out.png",
     "{}_SwinIR-M.png", "{}_rlt.bmp", "{}.PNG"],
)  # fmt: skip
def test_names_by_the_habits_of_programs(bench: Path, tmp_path: Path, habit: str) -> None:
    folder = upscaled(bench, tmp_path / "sr", habit)
    evaluation = evaluate([folder], [bench], metrics=["psnr"])
    assert evaluation.failures == []
    assert evaluation.results[0].count == 3
    assert not [note for note in evaluation.notes if "left out" in note.text]


def test_names_of_lr_pictures_and_ends_of_hr_pictures(bench: Path, tmp_path: Path) -> None:
    for name in NAMES:
        (bench / f"HR/{name}.png").rename(bench / f"HR/p{name}_gt.png")
        low = to_picture(resize(to_planes(read_picture(bench / f"HR/p{name}_gt.png")[:48, :48]), 1 / 4))
        write_picture(bench / f"LR/p{name}_gtx4.png", low)
        write_picture(tmp_path / f"by-lr/p{name}_gtx4_out.png", low.repeat(4, 0).repeat(4, 1))
        write_picture(tmp_path / f"by-end/p{name}-sr.png", low.repeat(4, 0).repeat(4, 1))
    found = evaluate([tmp_path / "by-lr", tmp_path / "by-end"], [bench], metrics=["psnr"])
    assert [result.count for result in found.results] == [3, 3]


def test_a_name_that_begins_with_another_is_not_taken_for_it(tmp_path: Path) -> None:
    for name in ("a", "a_b", "a_b_c"):
        write_picture(tmp_path / f"bench/HR/{name}.png", synthetic_picture(48, 48, len(name)))
        write_picture(tmp_path / f"sr/{name}_net.png", synthetic_picture(48, 48, len(name)))
    found = evaluate([tmp_path / "sr"], [tmp_path / "bench"], metrics=["psnr"]).results[0]
    assert found.infinite == ["a", "a_b", "a_b_c"]  # each equals HR of its own name
    for name in ("a1_net", "a_b1_net"):  # 1 belongs to a name, not to what stands behind it
        write_picture(tmp_path / f"others/{name}.png", synthetic_picture(48, 48, 0))
    with pytest.raises(DataError, match="is named like one of bench"):
        evaluate([tmp_path / "others"], [tmp_path / "bench"], metrics=["psnr"])


def test_several_benchmarks_are_subfolders(bench: Path, tmp_path: Path) -> None:
    shutil.copytree(bench, tmp_path / "Set5")
    folder = tmp_path / "sr"
    upscaled(bench, folder / "SET5")
    upscaled(bench, folder / "bench", "{}_x4.png", NAMES[:2])
    found = evaluate([folder], [tmp_path / "Set5", bench], metrics=["psnr"])
    assert [(r.benchmark, r.count) for r in found.results] == [("Set5", 3), ("bench", 2)]
    alone = evaluate([folder], [tmp_path / "Set5"], metrics=["psnr"])
    assert alone.results == found.results[:1]
    # Pictures that the folder lacks are marked one by one.
    shutil.rmtree(folder / "bench")
    found = evaluate([folder], [tmp_path / "Set5", bench], metrics=["psnr"])
    assert [failure.benchmark for failure in found.failures] == ["bench"] * 3


def test_missing_wrong_and_unreadable_pictures_are_marked_and_extras_told(bench: Path, tmp_path: Path) -> None:
    synthetic_pictures(bench / "HR", 6, (48, 50))
    folder = upscaled(bench, tmp_path / "sr", "{}_SR.png", [*NAMES, "003", "004"])
    write_picture(folder / "001_SR.png", hr(bench, "001")[:40])
    write_picture(folder / "002_SR.png", hr(bench, "002")[:24, :24])
    (folder / "003_SR.png").write_bytes(b"nothing")
    write_picture(folder / "montage.png", hr(bench, "000"))
    done = run("bicubic", f"A={folder}", "--benchmark", bench, "--metrics", "psnr", "--processes", 1,
               "--json", tmp_path / "o.json")  # fmt: skip
    assert done.exit_code == 2
    assert done.exception is None or isinstance(done.exception, SystemExit)
    document = json.loads((tmp_path / "o.json").read_text())
    results = {entry["model"]: entry for entry in document["results"]}
    assert results["bicubic"]["count"] == 6
    assert [name for name, value in results["A"]["pictures"].items() if value is not None] == ["000", "004"]
    reasons = {failure["picture"]: failure["reason"] for failure in document["failures"] if failure["model"] == "A"}
    assert "has 48 x 40 pixels; HR's size, cropped to a multiple of 4, is 48 x 48" in reasons["001"]
    assert "is 2 times its LR picture, not 4 times" in reasons["002"]
    assert "003_SR.png" in reasons["003"]
    assert "has no picture for it" in reasons["005"]
    assert "A: montage left out: bench has no such pictures" in [note["text"] for note in document["notes"]]
    assert "(2 of 6)" in done.stdout
    evaluation = evaluate(["bicubic", f"A={folder}"], [bench], metrics=["psnr"], sr_folder=tmp_path / "kept")
    assert [set(one.sr) for one in pictures(evaluation)][:2] == [{"bicubic", "A"}, {"bicubic"}]
    assert "montage" in report_text(evaluation)
    assert "(2 of 6)" in to_latex(evaluation)


def test_what_cannot_be_evaluated_is_told_in_one_sentence(bench: Path, tmp_path: Path) -> None:
    def refused(model: Path, *benchmarks: Path) -> str:
        with pytest.raises(AesopError) as found:
            evaluate(["bicubic", model], benchmarks or [bench], metrics=["psnr"])
        assert isinstance(found.value, DataError | ModelError)
        assert str(found.value).startswith(str(model))
        assert str(found.value).endswith(".")
        return str(found.value)

    assert "no such model file or folder" in refused(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "has no pictures, and is not a run folder (no run.json)" in refused(tmp_path / "empty")
    synthetic_pictures(tmp_path / "others", 1, 48, seed=7)[0].rename(tmp_path / "others/tree.png")
    assert "none of its pictures (tree) is named like one of bench (000, 001, 002)" in refused(tmp_path / "others")
    flat = upscaled(bench, tmp_path / "flat")
    shutil.copytree(bench, tmp_path / "second")
    assert "no pictures in subfolders called bench and second" in refused(flat, bench, tmp_path / "second")
    for end in ("_x4", "_SR"):
        upscaled(bench, tmp_path / "twice", "{}" + end + ".png")
    assert "000_SR.png and 000_x4.png are all named like 000 of bench" in refused(tmp_path / "twice")


def test_a_run_folder_stays_a_run_folder_and_bicubic_bicubic(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    upscaled(bench, tmp_path / "bicubic")
    two = evaluate(["bicubic", "./bicubic"], [bench], metrics=["psnr"]).results
    assert two[0].pictures != two[1].pictures
    folder = tmp_path / "run"
    write_model(folder / "perceptual/generator.safetensors", plus=0.1)
    upscaled(bench, folder)
    network = evaluate([folder / "perceptual/generator.safetensors"], [bench], metrics=["psnr"]).results[0]
    assert evaluate([folder], [bench], metrics=["psnr"]).results[0].pictures == network.pictures
    (folder / "perceptual/generator.safetensors").unlink()
    (folder / "run.json").write_text('{"stages": ["perceptual"], "data": {}, "processes": 1}')
    with pytest.raises(ModelError, match="this run's last network is not finished"):
        evaluate([folder], [bench], metrics=["psnr"])


def test_scale_comes_from_networks_or_is_given(bench: Path, tmp_path: Path) -> None:
    for name in NAMES:
        write_picture(tmp_path / f"sr/{name}.png", read_picture(bench / f"HR/{name}.png"))  # 50 x 48: x2
    twice = write_model(tmp_path / "x2.safetensors", 2)
    for models, scale in (([tmp_path / "sr", twice], None), ([tmp_path / "sr"], 2)):
        found = evaluate(models, [bench], metrics=["ssim"], scale=scale)
        assert found.results[0].pictures == dict.fromkeys(NAMES, 1.0)
        assert found.results[0].scale == 2
    assert len(evaluate([tmp_path / "sr"], [bench], metrics=["ssim"]).failures) == 3


def test_values_are_kept_by_the_pictures_contents(bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(sample: Sample) -> float:
        seen.append(sample)
        return sample.sr.mean().item()

    seen: list[Sample] = []
    monkeypatch.setitem(METRICS, "niqe", prepared_by("niqe", lambda _: measure))
    folder = upscaled(bench, tmp_path / "sr")
    first = evaluate([folder], [bench], metrics=["niqe"])
    shutil.copytree(folder, tmp_path / "copy")
    assert evaluate([tmp_path / "copy"], [bench], metrics=["niqe"]).results[0].pictures == first.results[0].pictures
    assert len(seen) == 3
    write_picture(folder / "001.png", np.full((48, 48, 3), 51, np.uint8))
    changed = evaluate([folder], [bench], metrics=["niqe"])
    assert len(seen) == 4
    assert changed.results[0].pictures["001"] == pytest.approx(0.2)
    assert changed.files["sr"].sha256 != first.files["sr"].sha256


def test_given_pictures_are_never_written(bench: Path, tmp_path: Path) -> None:
    model, folder = write_model(tmp_path / "net.safetensors"), tmp_path / "out/bench/net"
    before = {path: path.read_bytes() for path in upscaled(bench, folder).iterdir()}
    with pytest.raises(RunError, match="is measured itself; name another folder with --sr, or give net a title"):
        evaluate([model, f"before={folder}"], [bench], metrics=["psnr"], sr_folder=tmp_path / "out")
    evaluate([folder], [bench], metrics=["psnr"], sr_folder=tmp_path / "out")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_report_leads_with_a_network_not_with_a_folder(bench: Path, tmp_path: Path) -> None:
    model, folder = write_model(tmp_path / "ours.safetensors"), upscaled(bench, tmp_path / "theirs")
    evaluation = evaluate(["bicubic", model, folder], [bench], metrics=["psnr", "ssim"])
    message = report_text(evaluation).partition('<div class="message">')[2].partition("</div>")[0]
    assert "ours" in message
    assert "theirs" not in message
    message = report_text(evaluate([model, folder], [bench], metrics=["psnr", "ssim"]))
    assert "theirs" in message.partition('<div class="message">')[2].partition("</div>")[0]
