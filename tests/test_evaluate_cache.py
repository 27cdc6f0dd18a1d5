"""The evaluation's cache: nothing is measured twice, no outdated value is shown, no finished work is lost."""

from __future__ import annotations

import pickle
import shutil
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from aesop.data.bicubic import resize
from aesop.data.pictures import write_picture
from aesop.errors import AesopError, ModelError, RunError
from aesop.evaluation.cache import Cache, cache_file, digest
from aesop.evaluation.evaluate import Evaluation, evaluate
from aesop.evaluation.network import find_model
from aesop.evaluation.pictures import pictures
from aesop.metrics import METRICS, Metric, Sample, SetMeasure, SetMetric, Settings
from aesop.networks.state_dicts import write_state
from helpers import synthetic_pictures, write_model


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    synthetic_pictures(tmp_path / "bench/HR", 3, 48)
    return tmp_path / "bench"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "net.safetensors", plus=0.01)


class Brightness(Metric):
    """Mean brightness; counts the pictures that it measures and can interrupt the evaluation after some."""

    name = title = "brightness"
    higher_is_better = None

    def __init__(self) -> None:
        self.seen = 0
        self.stop_after: int | None = None

    def measure(self, sample: Sample) -> float:
        if self.stop_after == self.seen:
            raise KeyboardInterrupt
        self.seen += 1
        return sample.sr.mean().item()


class ColourDistance(SetMetric):
    """A metric of sets: features are mean colours, the value is the distance between their means."""

    name = title = "colours"
    higher_is_better = False

    def __init__(self) -> None:
        self.seen = 0

    def prepare(self, settings: Settings) -> SetMeasure:
        return SetMeasure(self.features, self.distance)

    def features(self, images: Tensor) -> np.ndarray:
        if images.mean() > 0.999:
            raise ValueError("too bright")
        self.seen += 1
        return images.mean(dim=(2, 3)).double().numpy()

    def distance(self, sr: np.ndarray, hr: np.ndarray) -> float:
        if len(sr) < 2:
            raise ValueError("needs two pictures")
        return float(np.abs(sr.mean(0) - hr.mean(0)).sum())


@pytest.fixture
def brightness(monkeypatch: pytest.MonkeyPatch) -> Brightness:
    metric = Brightness()
    monkeypatch.setitem(METRICS, metric.name, metric)
    return metric


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> ColourDistance:
    metric = ColourDistance()
    monkeypatch.setitem(METRICS, metric.name, metric)
    return metric


def test_only_what_is_new_is_measured(bench: Path, model: Path, brightness: Brightness):
    first = evaluate([model, "bicubic"], [bench], metrics=["brightness"])
    assert brightness.seen == 6
    assert evaluate([model, "bicubic"], [bench], metrics=["brightness"]) == first
    both = evaluate([model, "bicubic"], [bench], metrics=["psnr", "brightness"])
    assert brightness.seen == 6
    assert both.result("net", "bench", "brightness") == first.results[0]
    brightness.version = 2  # type: ignore[misc]
    assert evaluate([model], [bench], metrics=["brightness"]).results == first.results[:1]
    assert brightness.seen == 9


def test_values_belong_to_contents_not_to_names(bench: Path, model: Path, tmp_path: Path, brightness: Brightness):
    first = evaluate([model], [bench], metrics=["brightness"]).results[0]
    shutil.copytree(bench, tmp_path / "copy")
    shutil.copy(model, tmp_path / "other.safetensors")
    again = evaluate([tmp_path / "other.safetensors"], [tmp_path / "copy"], metrics=["brightness"]).results[0]
    assert (brightness.seen, again.pictures) == (3, first.pictures)

    changed = sorted((bench / "HR").iterdir())[0]
    write_picture(changed, np.full((48, 48, 3), 9, np.uint8))
    found = evaluate([model], [bench], metrics=["brightness"]).results[0]
    assert brightness.seen == 4
    assert found.pictures[changed.stem] == pytest.approx(9 / 255 + 0.01, abs=0.003)
    write_model(model, plus=0.5)
    assert evaluate([model], [bench], metrics=["brightness"]).results[0].mean != found.mean
    assert brightness.seen == 7


def test_an_interrupted_evaluation_goes_on(bench: Path, model: Path, brightness: Brightness, colours: ColourDistance):
    brightness.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        evaluate([model], [bench], metrics=["colours", "brightness"])
    brightness.stop_after = None
    assert (brightness.seen, colours.seen) == (2, 6)
    found = evaluate([model], [bench], metrics=["colours", "brightness"])
    assert [result.count for result in found.results] == [3, 3]
    assert (brightness.seen, colours.seen) == (3, 8)


def test_without_cache_nothing_is_taken_and_nothing_kept(bench: Path, model: Path, brightness: Brightness):
    first = evaluate([model], [bench], metrics=["brightness"], cache=False)
    assert not cache_file().exists()
    assert evaluate([model], [bench], metrics=["brightness"]) == first
    assert evaluate([model], [bench], metrics=["brightness"], cache=False) == first
    assert brightness.seen == 9


@pytest.mark.parametrize("trouble", ["damaged", "no folder", "read-only"])
def test_a_cache_that_cannot_be_used_is_no_failure(
    bench: Path, tmp_path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    cache_file().parent.mkdir(parents=True)
    if trouble == "damaged":
        cache_file().write_bytes(b"no database" * 1000)
    elif trouble == "no folder":
        (tmp_path / "file").touch()
        monkeypatch.setenv("AESOP_CACHE", str(tmp_path / "file"))
    else:
        monkeypatch.setenv("AESOP_CACHE", "/proc")
    found = evaluate(["bicubic"], [bench], metrics=["psnr"])
    assert (found.results[0].count, found.failures) == (3, [])
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "cache" in line]
    assert line.startswith(f"{cache_file()}: ")
    assert "Errno" not in line
    assert "Measuring without a cache; name another folder in $AESOP_CACHE" in line


def test_values_that_two_put_at_once_are_all_kept(tmp_path: Path):
    one, other = (Cache(tmp_path / "values.sqlite") for _ in range(2))
    features = np.arange(6.0).reshape(2, 3)
    one.put({"a": 0.1, "b": float("inf"), None: 1.0})
    other.put({"a": 0.1, "c": features})
    one.put({"d": 0.0})
    for cache in (one, other, Cache(tmp_path / "values.sqlite")):
        assert [cache.get(key) for key in ("a", "b", "d", "e", None)] == [0.1, float("inf"), 0.0, None, None]
        assert np.array_equal(np.asarray(cache.get("c")), features)
    other.forget(["a", None])
    assert one.get("a") is None
    assert digest("a", None) is None


def test_a_model_that_changes_meanwhile_is_refused(model: Path):
    found = find_model(str(model))
    elsewhere = pickle.loads(pickle.dumps(found))  # as another process gets it
    write_model(model, plus=0.25)
    assert found.loaded.sha256 == found.sha256  # it was read as it was found
    with pytest.raises(ModelError, match=r"net\.safetensors: has changed while it was evaluated; try again"):
        _ = elsewhere.loaded


def test_what_is_of_the_users_own_code_is_measured_anew(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brightness: Brightness
):
    (tmp_path / "own_metric.py").write_text(
        "from aesop.metrics import Metric\n\n\nclass Always(Metric):\n    higher_is_better = True\n    number = 1.0\n\n"
        "    def measure(self, sample):\n        return self.number\n"
    )
    monkeypatch.chdir(tmp_path)
    first = evaluate(["bicubic"], [bench], metrics=["own_metric:Always"])
    METRICS["own_metric:Always"].number = 2.0  # type: ignore[union-attr]
    second = evaluate(["bicubic"], [bench], metrics=["own_metric:Always"])
    assert (first.results[0].mean, second.results[0].mean) == (1.0, 2.0)
    METRICS.pop("own_metric:Always")
    record = {"recipe": {"generator": {"type": "own:Net"}, "scale": 4}, "stage": "fidelity"}
    write_state(tmp_path / "own.safetensors", {"weight": torch.zeros(1)}, record)
    assert find_model(str(tmp_path / "own.safetensors")).key is None


def test_sr_pictures_are_kept_where_the_user_names(bench: Path, model: Path, tmp_path: Path, brightness: Brightness):
    def times() -> list[int]:
        return [path.stat().st_mtime_ns for path in sorted((tmp_path / "sr/bench/Net").glob("*.png"))]

    (bench / "HR/broken.png").write_bytes(b"no picture")
    how = {"metrics": ["brightness"], "sr_folder": tmp_path / "sr"}
    found = evaluate(["bicubic", f"Net={model}"], [bench], **how)
    first = list(pictures(found))
    assert [picture.name for picture in first] == ["000", "001", "002"]
    for picture in first:
        assert torch.equal(picture.sr["bicubic"], resize(picture.lr, 4))
        expected = found.result("Net", "bench", "brightness").pictures[picture.name]
        assert picture.sr["Net"].float().mean().item() / 255 == pytest.approx(expected, abs=1e-6)
    before = times()
    assert len(before) == 3
    evaluate([f"Net={model}"], [bench], **how)
    assert times() == before
    # A missing or damaged picture, or one of another LR picture, is made again even if its values are in the cache.
    (tmp_path / "sr/bench/Net/000.png").unlink()
    (tmp_path / "sr/bench/Net/001.png").write_bytes(b"half a file")
    again = list(pictures(evaluate([f"Net={model}"], [bench], **how)))
    assert brightness.seen == 6
    assert all(torch.equal(a.sr["Net"], b.sr["Net"]) for a, b in zip(first, again, strict=True))
    write_model(model, plus=0.3)
    other = list(pictures(evaluate([f"Net={model}"], [bench], **how)))
    assert not any(torch.equal(a.sr["Net"], b.sr["Net"]) for a, b in zip(first, other, strict=True))
    write_model(model, plus=float("nan"))
    assert [dict(picture.sr) for picture in pictures(evaluate([f"Net={model}"], [bench], **how))] == [{}] * 3
    with pytest.raises(AesopError, match="sr_folder"):
        list(pictures(evaluate(["bicubic"], [bench], metrics=["psnr"])))


def test_sr_pictures_stay_in_their_folder(bench: Path, model: Path, tmp_path: Path):
    folder = tmp_path / "deep/sr"
    found = evaluate({"../../out": model, "/abs": model}, [bench], metrics=["psnr"], sr_folder=folder)
    assert all(len(picture.sr) == 2 for picture in pictures(found))
    assert len(list(folder.rglob("*.png"))) == len(list(tmp_path.rglob("00?.png"))) - 3 == 6


def test_an_sr_folder_that_cannot_be_is_told_before_the_work(bench: Path, tmp_path: Path, brightness: Brightness):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="not a folder"):
        evaluate(["bicubic"], [bench], metrics=["brightness"], sr_folder=tmp_path / "file")
    with pytest.raises(RunError, match="name is too long"):
        evaluate({"x" * 300: "bicubic"}, [bench], metrics=["brightness"], sr_folder=tmp_path / "sr")
    assert brightness.seen == 0


def flat(folder: Path, levels: dict[str, int]) -> Path:
    for name, level in levels.items():
        write_picture(folder / f"{name}.png", np.full((16, 16, 3), level, np.uint8))
    return folder


def test_a_metric_of_sets_has_one_value(tmp_path: Path, colours: ColourDistance):
    folder = flat(tmp_path / "flat", {"a": 10, "b": 30, "bright": 255})
    model = write_model(tmp_path / "net.safetensors", plus=0.2)
    found = evaluate([model, "bicubic"], [folder], metrics=["colours", "psnr"])
    result = found.result("net", "flat", "colours")
    assert result.mean == pytest.approx(3 * 51 / 255, abs=1e-6)  # 0.2 is 51 levels
    assert (result.count, len(result.pictures), result.set_pictures, result.interval) == (2, 3, ("a", "b"), None)
    failures = [(failure.picture, failure.model, failure.metric, failure.reason) for failure in found.failures]
    assert failures == [("bright", model, "colours", "too bright") for model in ("net", "bicubic")]
    by_metric = {difference.metric: difference for difference in found.differences()}
    assert by_metric["colours"].difference == pytest.approx(-3 * 0.2, abs=1e-6)
    assert colours.seen == 6
    evaluate([model, "bicubic"], [folder], metrics=["colours"])
    assert colours.seen == 6
    (folder / "bright.png").unlink()
    both = evaluate([model, "bicubic"], [folder], metrics=["colours"])
    assert evaluate([model], [folder], metrics=["colours"]).results == both.results[:1]
    assert colours.seen == 6
    with sqlite3.connect(cache_file()) as file:  # features are not kept once their sets have values
        assert file.execute("SELECT count(*) FROM measured WHERE typeof(value) = 'blob'").fetchone() == (0,)


def test_a_set_too_small_for_its_metric_marks_the_column(tmp_path: Path, colours: ColourDistance):
    found = evaluate(["bicubic"], [flat(tmp_path / "one", {"a": 10})], metrics=["colours", "psnr"])
    result = found.result("bicubic", "one", "colours")
    assert (result.mean, result.unavailable) == (None, "needs two pictures")
    assert found.result("bicubic", "one", "psnr").mean is not None


def comparable(evaluation: Evaluation) -> tuple[object, ...]:
    return evaluation.results, evaluation.failures, evaluation.notes


def test_several_processes_find_what_one_finds(bench: Path, model: Path, tmp_path: Path):
    nan = write_model(tmp_path / "nan.safetensors", plus=float("nan"))
    (bench / "HR/broken.png").write_bytes(b"")
    arguments = {"metrics": ["psnr", "ssim", "lr-psnr"], "cache": False}
    threads = torch.get_num_threads()
    one = evaluate([model, nan, "bicubic"], [bench], **arguments)
    two = evaluate([model, nan, "bicubic"], [bench], **arguments, processes=2)
    assert comparable(two) == comparable(one)
    assert len(two.failures) == 4
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit('no licence')", "could not start: no licence"),
        ("import os\nos._exit(9)", "was killed, perhaps for lack of memory; try again with fewer --processes"),
    ],
)
def test_a_process_that_ends_says_why(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str
):
    (tmp_path / "fussy.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=message):
        evaluate(["bicubic"], [bench], metrics=["psnr"], processes=2, imports=["fussy"])
    assert "fussy" not in sys.modules
