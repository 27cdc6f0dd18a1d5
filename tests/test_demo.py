"""`aesop demo`: its pictures, and a complete run at the smallest size."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from aesop.box import models, resolved
from aesop.data.pictures import find_pictures, read_picture, write_picture
from aesop.demos.demo import METRICS as MEASURED
from aesop.demos.demo import PACKAGES, PIXEL, QUICK, demo
from aesop.demos.photos import FEWEST, HELD_OUT, LONGEST, MOST, gather
from aesop.errors import AesopError, DataError, MissingExtraError, RunError
from aesop.evaluation.intervals import FEWEST as FEWEST_FOR_INTERVALS
from aesop.metrics import METRICS
from aesop.training.recipe_files import load_recipe
from helpers import synthetic_picture, synthetic_pictures
from sections import perceptual_of

MODELS = ("aesop", "pixel")


def ignore(line: str) -> None:
    """Say nothing."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_packages_photographs_need_no_download(tmp_path: Path):
    photos = gather(tmp_path / "run", None, 96, ignore)
    assert sorted(HELD_OUT) == names(photos.held_out)
    assert len(HELD_OUT) >= FEWEST_FOR_INTERVALS
    with (Path(__file__).parents[1] / "models/pictures.tsv").open(encoding="utf-8") as table:
        lines = list(csv.DictReader(table, delimiter="\t"))
    trained = {Path(line["path"]).name for line in lines if not line["held_out"]}
    assert not trained & {*HELD_OUT}, "the networks in the box were trained on it"
    assert len(names(photos.training)) == 11
    for path in (*photos.training.iterdir(), *photos.held_out.iterdir()):
        assert min(read_picture(path).shape[:2]) >= 300


def test_own_pictures_nested_large_small_broken_and_of_strange_names(tmp_path: Path):
    source = tmp_path / "mine"
    synthetic_pictures(source / "a", 3, 100)
    synthetic_pictures(source / "b/c", 3, 100, seed=1)
    (source / "a/000.png").rename(source / ("<b>\n" + "x" * 200 + ".png"))
    write_picture(source / "large.png", synthetic_picture(120, 2 * LONGEST + 8, 2))
    write_picture(source / "small.png", synthetic_picture(30, 200, 3))
    (source / "broken.jpg").write_bytes(b"no picture")
    (source / "text.txt").write_text("no picture either")
    said: list[str] = []
    photos = gather(tmp_path / "run", source, 32, said.append)
    few, broken, small = sorted(said)
    assert few == "3 pictures are held out, too few for intervals; of 10 or more, 5 are."
    assert "broken.jpg" in broken
    assert "small.png: is only 200 x 30 pixels large, 32 a side are needed" in small
    taken = [*photos.training.iterdir(), *photos.held_out.iterdir()]
    assert (len(taken), len(names(photos.held_out))) == (7, 3)
    (large,) = (path for path in taken if "large" in path.name)
    assert read_picture(large).shape == (40, (2 * LONGEST + 8) // 3, 3)
    assert any(re.fullmatch(r"\d{3} <b>\?x{50,60}\.png", path.name) for path in taken)


@pytest.mark.parametrize("count", [9, 10])
def test_ten_pictures_are_enough_for_intervals(tmp_path: Path, count: int):
    synthetic_pictures(tmp_path / "mine", count, 32)
    said: list[str] = []
    held_out = names(gather(tmp_path / "run", tmp_path / "mine", 32, said.append).held_out)
    assert (len(held_out) >= FEWEST_FOR_INTERVALS) == (count == 10) == (said == [])


def test_of_many_pictures_a_spread_is_taken_and_the_same_ones_held_out(tmp_path: Path):
    synthetic_pictures(tmp_path / "mine", 2 * MOST, 32)
    first, second = (gather(tmp_path / run, tmp_path / "mine", 32, ignore) for run in ("one", "two"))
    assert (names(first.held_out), len(names(first.held_out))) == (names(second.held_out), 5)
    taken = [*names(first.training), *names(first.held_out)]
    assert sorted(int(Path(name).stem.split()[1]) for name in taken) == list(range(0, 2 * MOST, 2))


def test_too_few_or_none(tmp_path: Path):
    with pytest.raises(DataError, match="nowhere"):
        gather(tmp_path / "run", tmp_path / "nowhere", 96, ignore)
    assert not (tmp_path / "run").exists()
    synthetic_pictures(tmp_path / "mine", FEWEST - 1, 96)
    with pytest.raises(DataError, match=f"mine: {FEWEST - 1} usable pictures are too few"):
        gather(tmp_path / "run", tmp_path / "mine", 96, ignore)
    synthetic_pictures(tmp_path / "mine", FEWEST, 96)
    assert names(gather(tmp_path / "run", tmp_path / "mine", 96, ignore).held_out)


def test_what_is_gathered_stays_and_folders_of_something_else_are_left_alone(tmp_path: Path):
    paths = synthetic_pictures(tmp_path / "mine", FEWEST, 96)
    photos = gather(tmp_path / "run", tmp_path / "mine", 96, ignore)
    before = names(photos.training)
    paths[0].unlink()
    assert gather(tmp_path / "run", tmp_path / "mine", 96, ignore) == photos
    assert names(photos.training) == before
    with pytest.raises(RunError, match=r"demo with the pictures of .*mine; name a new folder"):
        gather(tmp_path / "run", None, 96, ignore)
    with pytest.raises(RunError, match="not empty and not a demo"):
        gather(tmp_path / "mine", None, 96, ignore)
    assert names(tmp_path / "mine") == [path.name for path in paths[1:]]


def test_a_wrong_override_or_a_missing_package_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(AesopError, match="fidelity"):
        demo(str(tmp_path / "run"), str(tmp_path), overrides=["fidelity.iteratons=3"])
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(MissingExtraError, match=r"aesop-sr\[demo\]"):
        demo(tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.long
@pytest.mark.skipif(not all(find_spec(package) for package in PACKAGES), reason="the extra demo is missing")
@pytest.mark.parametrize("from_scratch", [False, True])
def test_from_pictures_to_a_report(tmp_path: Path, from_scratch: bool):
    mine, run = tmp_path / "it's <mine>: #1", tmp_path / "a: demo #1"
    synthetic_pictures(mine, 10, 128)
    environment = {**os.environ, "HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "aesop", "demo", "--quick", "--device", "cpu", "--photos", mine, "--run", run]
    command += ["--from-scratch"] * from_scratch
    first = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[-1] == str(run / "report.html")
    assert "minute" in first.stderr
    assert not (tmp_path / "home/.cache/aesop").exists(), "pictures belong into the demo's folder"

    page = (run / "report.html").read_text(encoding="utf-8")
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    shown = [r for r in results["results"] if r["model"] in ("bicubic", "fidelity", "pixel", "aesop")]
    assert len(shown) == 4 * len(MEASURED)
    assert {result["metric"] for result in shown if result["mean"] is None} == {"niqe"}, (
        "the pictures are too small for it"
    )
    for result in (result for result in shown if result["mean"] is not None):
        value = f"{result['mean']:.{METRICS[result['metric']].digits}f}"
        assert f">{value}<".replace("-", "\N{MINUS SIGN}") in page
        assert value in first.stdout
    assert all(difference["interval"] for difference in results["differences"])
    assert results["models"] == ["bicubic", "fidelity", "pixel", "aesop"]
    for path in find_pictures(run / "photos/validation"):
        assert path.stem in page

    # The twins start from the same network and end with different ones.
    start = run / "aesop/fidelity/generator.safetensors" if from_scratch else models()["clean-x4"]
    fidelity, aesop, pixel = (
        load_file(file) for file in (start, *(run / f"{name}/perceptual/generator.safetensors" for name in MODELS))
    )
    assert all(any(not torch.equal(a[key], b[key]) for key in a) for a, b in ((fidelity, aesop), (aesop, pixel)))
    assert "more of HR than LR allows" in page or "learned nothing beyond LR" in page
    record = load_recipe(str(run / "pixel/recipe.yaml"))
    assert resolved(str(record.fidelity.weights)) == start
    assert perceptual_of(record).fidelity_loss.type == PIXEL

    # A second call trains nothing.
    before = (run / "aesop/perceptual/generator.safetensors").stat().st_mtime_ns
    said: list[str] = []
    demo(run, mine, from_scratch=from_scratch, overrides=QUICK, device="cpu", say=said.append)
    assert (run / "aesop/perceptual/generator.safetensors").stat().st_mtime_ns == before
    assert not any("about" in line for line in said)
