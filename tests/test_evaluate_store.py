"""What an evaluation keeps: nothing is computed twice, nothing out of date is shown, nothing that is done is lost."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from aesop.data.pictures import write_picture
from aesop.errors import RunError
from aesop.evaluation import code_key as code_module
from aesop.evaluation import evaluate as evaluate_module
from aesop.evaluation import plan as plan_module
from aesop.evaluation import store as store_module
from aesop.evaluation import worker as worker_module
from aesop.evaluation.evaluate import Evaluation, evaluate
from aesop.evaluation.keys import Code
from aesop.evaluation.store import Store, default_folder
from aesop.metrics import METRICS, Sample, Settings
from aesop.networks.state_dicts import write_state
from helpers import prepared_by, synthetic_pictures
from test_evaluate import write_model


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    synthetic_pictures(tmp_path / "bench/HR", 3, 48)
    return tmp_path / "bench"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "net.safetensors", plus=0.01)


class Counted:
    """Metrics `psnr` and `ssim` that count the pictures they see and give their mean brightness."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        self.stop_after: int | None = None
        for name in ("psnr", "ssim"):
            monkeypatch.setitem(METRICS, name, prepared_by(name, self.prepare(name)))

    def prepare(self, name: str) -> Callable[[Settings], Callable[[Sample], float]]:
        def measure(sample: Sample) -> float:
            if self.stop_after == len(self.seen):
                raise KeyboardInterrupt
            self.seen.append(name)
            return sample.sr.mean().item()

        return lambda settings: measure


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def forbid_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "load_generator", pytest.fail)
    monkeypatch.setattr(evaluate_module, "load_generator", pytest.fail)


def test_a_repeated_call_computes_and_loads_nothing(
    bench: Path, model: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
):
    first = evaluate([model, "bicubic"], [bench], metrics=["psnr"])
    assert counted.seen == ["psnr"] * 6
    forbid_networks(monkeypatch)
    monkeypatch.setattr(
        plan_module,
        "prepare_metrics",
        lambda names, settings: pytest.fail("a metric was loaded") if names else ({}, {}),
    )
    assert evaluate([model, "bicubic"], [bench], metrics=["psnr"]) == first


def test_one_more_metric_is_all_that_is_computed(
    bench: Path, model: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
):
    evaluate([model], [bench], metrics=["psnr"])
    counted.seen.clear()
    forbid_networks(monkeypatch)
    both = evaluate([model], [bench], metrics=["psnr", "ssim"])
    assert counted.seen == ["ssim"] * 3
    assert both.result("net", "bench", "ssim").pictures == both.result("net", "bench", "psnr").pictures


def test_values_belong_to_contents_not_to_names(bench: Path, model: Path, tmp_path: Path, counted: Counted):
    first = evaluate([model], [bench], metrics=["psnr"]).results[0]
    counted.seen.clear()
    shutil.copytree(bench, tmp_path / "copy")
    shutil.copy(model, tmp_path / "other.safetensors")
    again = evaluate([tmp_path / "other.safetensors"], [tmp_path / "copy"], metrics=["psnr"]).results[0]
    assert (counted.seen, again.pictures) == ([], first.pictures)

    pictures = sorted((bench / "HR").iterdir())
    write_picture(pictures[0], np.full((48, 48, 3), 9, np.uint8))
    changed = evaluate([model], [bench], metrics=["psnr"]).results[0]
    assert counted.seen == ["psnr"]
    assert changed.pictures[pictures[0].stem] == pytest.approx(9 / 255 + 0.01, abs=0.003)
    write_model(model, plus=0.5)
    assert evaluate([model], [bench], metrics=["psnr"]).results[0].mean != changed.mean
    assert len(counted.seen) == 4


def test_values_belong_to_the_code(bench: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch):
    evaluate(["bicubic"], [bench], metrics=["psnr"])
    monkeypatch.setattr(code_module, "PROTOCOL", code_module.PROTOCOL + 1)
    evaluate(["bicubic"], [bench], metrics=["psnr"])
    assert len(counted.seen) == 6


def test_a_run_that_was_interrupted_goes_on(bench: Path, model: Path, counted: Counted):
    counted.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        evaluate([model], [bench], metrics=["psnr"])
    counted.stop_after = None
    assert len(evaluate([model], [bench], metrics=["psnr"]).results[0].finite) == 3
    assert len(counted.seen) == 3


def test_without_cache_nothing_is_taken_and_nothing_kept(bench: Path, model: Path, counted: Counted):
    kept = evaluate([model], [bench], metrics=["psnr"])
    files = sorted(default_folder().rglob("*"))
    assert evaluate([model], [bench], metrics=["psnr"], cache=False).results == kept.results
    assert len(counted.seen) == 6
    assert sorted(default_folder().rglob("*")) == files


def test_a_damaged_store_only_costs_time(bench: Path, model: Path, counted: Counted):
    first = evaluate([model], [bench], metrics=["psnr"])
    for path in default_folder().rglob("*.*"):
        path.write_bytes(b"{")
    assert evaluate([model], [bench], metrics=["psnr"]) == first


def test_values_that_two_add_at_once_are_all_kept(tmp_path: Path):
    """One reads before the other has written: neither may write the other's away."""
    one, other = Store(tmp_path), Store(tmp_path)
    one.add("key", {"psnr": 1.5})
    other.values = lambda key: {}  # type: ignore[method-assign]
    other.add("key", {"ssim": float("inf")})
    with (tmp_path / "ke/key.jsonl").open("ab") as file:
        file.write(b'{"lpips": 0.')  # the machine went down
    one.add("key", {"niqe": 4.0})
    assert one.values("key") == {"psnr": 1.5, "ssim": float("inf"), "niqe": 4.0}


def test_what_was_used_lately_is_not_removed(bench: Path, model: Path, monkeypatch: pytest.MonkeyPatch):
    """Another evaluation may be about to read it."""
    monkeypatch.setattr(store_module, "KEPT_BYTES", 0)
    evaluate([model], [bench], metrics=["psnr"])
    found = list(default_folder().rglob("*.png"))
    assert len(found) == 3
    for path in found[:2]:
        os.utime(path, (0, 0))
    Store(default_folder()).tidy()
    assert list(default_folder().rglob("*.png")) == found[2:]


def test_damaged_features_are_made_again(tmp_path: Path, of_sets: list[Settings]):
    folder = flat(tmp_path / "flat", {"a": 10, "b": 30})
    first = evaluate(["bicubic"], [folder], metrics=["fid"])
    features, *_ = default_folder().rglob("*.npy")
    values = [path for path in default_folder().rglob("*.jsonl") if b'"value"' in path.read_bytes()]
    assert len(values) == 1
    for damage in (b"", features.read_bytes()[:-8], b"nothing"):
        values[0].unlink()
        features.write_bytes(damage)
        assert evaluate(["bicubic"], [folder], metrics=["fid"]) == first


def test_a_model_that_changes_meanwhile_is_not_kept(
    bench: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its pictures would be kept as those of the file that was there at first."""
    content = model.read_bytes()
    right = evaluate([model], [bench], metrics=["psnr"], cache=False).results[0]
    load = worker_module.load_generator

    def load_another(path: Path) -> object:
        write_model(model, plus=0.5)
        return load(path)

    monkeypatch.setattr(worker_module, "load_generator", load_another)
    found = evaluate([model], [bench], metrics=["psnr"])
    assert found.results[0].finite == {}
    assert {failure.reason for failure in found.failures} == {
        f"{model}: has changed while it was evaluated; call again."
    }
    monkeypatch.undo()
    monkeypatch.setenv("AESOP_CACHE", str(tmp_path / "cache"))
    model.write_bytes(content)
    assert evaluate([model], [bench], metrics=["psnr"]).results[0].finite == right.finite


@pytest.mark.parametrize(("module", "part"), [("own", "own/part"), ("own.net", "own/part"), ("flat", "part")])
def test_a_users_modules_belong_to_their_models_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, part: str
):
    """All that a module has loaded from its package (with or without __init__.py) or its folder is its code.

    That is so whether or not somebody said which modules to import; what an environment in the folder holds is not.
    """
    name = part.replace("/", ".")
    own = tmp_path / (f"{module.replace('.', '/')}.py" if module != "own" else "own/__init__.py")
    library = tmp_path / ".venv/lib/site-packages/library.py"
    for file, text in (
        (own, f"import library\nfrom {name} import GAIN\n"),
        (tmp_path / f"{part}.py", "GAIN = 1\n"),
        (library, ""),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(library.parent))
    importlib.import_module(module)
    theirs, plain = tmp_path / "theirs.safetensors", write_model(tmp_path / "plain.safetensors")
    record = {"recipe": {"generator": {"type": f"{module}:Net"}, "scale": 4}, "stage": "fidelity"}
    write_state(theirs, {"weight": torch.zeros(1)}, record)

    def keys() -> tuple[str, str, str]:
        code = Code(torch.device("cpu"))
        return code.of_model(theirs), code.of_model(plain), code.of_metric("psnr")

    before = keys()
    library.write_text("another = 'version'\n")
    assert keys() == before
    (tmp_path / f"{part}.py").write_text("GAIN = 2\n")
    after = keys()
    for loaded in {module, name, "own", "library"}:
        sys.modules.pop(loaded, None)
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True, True]


def test_a_package_belongs_to_what_uses_it(monkeypatch: pytest.MonkeyPatch):
    """Another version of what LPIPS uses changes LPIPS, and neither SR pictures nor PSNR."""

    def keys() -> tuple[str, str, str]:
        code_module._installed.cache_clear()
        code = Code(torch.device("cpu"))
        return code.sr, code.of_metric("psnr"), code.of_metric("lpips")

    before = keys()
    real = code_module.version
    monkeypatch.setattr(code_module, "version", lambda name: "99" if name == "torchmetrics" else real(name))
    after = keys()
    monkeypatch.setattr(code_module, "version", lambda name: "99" if name == "torch" else real(name))
    other_torch = keys()
    monkeypatch.undo()
    code_module._installed.cache_clear()
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, True, False]
    assert [one == other for one, other in zip(before, other_torch, strict=True)] == [False] * 3


def test_pictures_beyond_the_limit_are_removed_values_are_not(
    bench: Path, model: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_module, "KEPT_BYTES", 0)
    monkeypatch.setattr(store_module, "IN_USE", -1)
    first = evaluate([model], [bench], metrics=["psnr"])
    assert not list(default_folder().rglob("*.png"))
    assert evaluate([model], [bench], metrics=["psnr"]) == first
    assert len(counted.seen) == 3


def test_a_folder_that_cannot_hold_anything_is_told(bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("AESOP_CACHE", str(tmp_path / "file"))
    with pytest.raises(RunError, match=r"cannot be made .* in \$AESOP_CACHE or call with --no-cache"):
        evaluate(["bicubic"], [bench], metrics=["psnr"])


class Brightness:
    """A metric of sets: features are mean colours, the distance is that of their means."""

    def features(self, images: Tensor) -> np.ndarray:
        if images.max() > 0.999:
            raise ValueError("too bright")
        return images.mean(dim=(2, 3)).double().numpy()

    def distance(self, sr: np.ndarray, hr: np.ndarray) -> float:
        if len(sr) < 2:
            raise ValueError("needs two pictures")
        return float(np.abs(sr.mean(0) - hr.mean(0)).sum())


@pytest.fixture
def of_sets(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Makes `fid` the distance of brightness; holds an entry for every time it was prepared."""
    prepared: list[Settings] = []

    def prepare(settings: Settings) -> Brightness:
        prepared.append(settings)
        return Brightness()

    monkeypatch.setitem(METRICS, "fid", prepared_by("fid", prepare))
    return prepared


def flat(folder: Path, levels: dict[str, int]) -> Path:
    for name, level in levels.items():
        write_picture(folder / f"{name}.png", np.full((16, 16, 3), level, np.uint8))
    return folder


def test_a_metric_of_sets_has_one_value(tmp_path: Path, of_sets: list[Settings]):
    folder = flat(tmp_path / "flat", {"a": 10, "b": 30, "bright": 255})
    model = write_model(tmp_path / "net.safetensors", plus=0.2)
    found = evaluate([model, "bicubic"], [folder], metrics=["fid", "psnr"])
    result = found.result("net", "flat", "fid")
    assert result.mean == pytest.approx(3 * 51 / 255, abs=1e-6)  # 0.2 is 51 levels
    assert (result.count, len(result.pictures), result.set_pictures, result.interval) == (2, 3, ("a", "b"), None)
    assert [(f.picture, f.metric, f.reason) for f in found.failures] == [
        ("bright", "fid", "too bright"),
        ("bright", "fid", "too bright"),
    ]
    by_metric = {difference.metric: difference for difference in found.differences()}
    assert by_metric["fid"].difference == pytest.approx(-3 * 0.2, abs=1e-6)
    (folder / "bright.png").unlink()
    of_sets.clear()
    evaluate([model, "bicubic"], [folder], metrics=["fid"])
    assert of_sets == []  # features of both pictures, and the distance of these two, were there


def test_a_set_too_small_for_its_metric_marks_the_column(tmp_path: Path, of_sets: list[Settings]):
    found = evaluate(["bicubic"], [flat(tmp_path / "one", {"a": 10})], metrics=["fid", "psnr"])
    result = found.result("bicubic", "one", "fid")
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


def test_a_process_that_cannot_begin_says_why(bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "fussy.py").write_text(
        "import multiprocessing\nif multiprocessing.parent_process() is not None:\n    raise SystemExit('no licence')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RunError, match="could not begin: no licence"):
        evaluate(["bicubic"], [bench], metrics=["psnr"], processes=2, imports=["fussy"])


def test_a_process_that_is_killed_is_told(bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "killed.py").write_text(
        "import multiprocessing, os\n"
        "if multiprocessing.parent_process() is not None:\n"
        "    import aesop.evaluation.worker as worker\n"
        "    worker.resize = lambda *arguments: os._exit(9)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RunError, match="was killed, perhaps for want of memory; call again with fewer --processes"):
        evaluate(["bicubic"], [bench], metrics=["psnr"], processes=2, imports=["killed"])
    sys.modules.pop("killed", None)
