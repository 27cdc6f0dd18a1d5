"""What validations measure and show, which snapshot is the best, and which ones are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from aesop import evaluate
from aesop.autoencoder import AutoEncoder
from aesop.data.pictures import read_picture, to_float, to_planes
from aesop.data.sheet import GAP, LABEL
from aesop.networks.loading import load_generator
from aesop.run import Run
from aesop.training.recipe_files import load_recipe
from aesop.training.train import train
from aesop.training.validation import best_of
from helpers import synthetic_pictures
from stopping import SECTION, stop_at
from tiny_training import TINY, run_tiny, same_logs

SIDE = 192


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A run, and the folder of the pictures on which it is validated."""
    folder = tmp_path_factory.mktemp("validated")
    synthetic_pictures(folder / "photos", 2, 48)
    synthetic_pictures(folder / "held-out", 2, SIDE)
    options = {"validation": folder / "held-out", "store": folder / "store", "device": "cpu", "say": lambda _: None}
    return train(load_recipe("laptop", TINY), folder / "photos", folder / "run", **options), folder / "held-out"


def last_validation(run: Run, stage: str) -> dict[str, float]:
    return [line for line in run.stage(stage).read_log() if line["kind"] == "validation"][-1]


def test_validations_measure_what_an_evaluation_does(trained: tuple[Run, Path]):
    run, held_out = trained
    models = {stage: run.stage(stage).network for stage in ("fidelity", "perceptual")}
    metrics = {"psnr": "psnr", "lr_psnr": "lr-psnr", "niqe": "niqe", "ae_psnr": "ae-psnr"}
    found = evaluate(models, [held_out], metrics=list(metrics.values()), autoencoder=run.stage("autoencoder").network)
    for stage in models:
        line = last_validation(run, stage)
        for key, metric in metrics.items():
            assert (key in line) == (stage == "perceptual" or key != "ae_psnr")  # before its stage, there is no AE
            if key in line:
                assert line[key] == pytest.approx(found.result(stage, held_out.name, metric).mean, rel=1e-5), key


def test_an_auto_encoder_of_a_file_is_measured_with_and_changes_nothing_else(trained: tuple[Run, Path], tmp_path: Path):
    run, held_out = trained
    file = f"autoencoder.weights={run.stage('autoencoder').network}"
    options = {"validation": held_out, "device": "cpu", "until": "fidelity", "say": lambda _: None}
    own = train(load_recipe("laptop", [*TINY, file]), held_out.parent / "photos", tmp_path / "run", **options)
    with_it, without = (last_validation(each, "fidelity") for each in (own, run))
    assert with_it.keys() - without.keys() == {"ae_psnr"}
    assert with_it["psnr"] == without["psnr"]


def test_small_crops_have_no_niqe(photos: Path, tmp_path: Path):
    run_tiny(photos, tmp_path / "run", "autoencoder=null", "perceptual=null", "fidelity.iterations=1")
    assert "niqe" not in last_validation(Run(tmp_path / "run"), "fidelity")


def panels(picture: np.ndarray, columns: int) -> list[list[np.ndarray]]:
    """The images in a validation's picture, row by row."""
    height, width = (picture.shape[0] + GAP) // (SIDE + LABEL + GAP), (picture.shape[1] + GAP) // (SIDE + GAP)
    assert (height, width) == (2, columns)
    tops = [LABEL + row * (SIDE + LABEL + GAP) for row in range(height)]
    lefts = [column * (SIDE + GAP) for column in range(width)]
    return [[picture[top : top + SIDE, left : left + SIDE] for left in lefts] for top in tops]


def test_pictures_show_the_average_network(trained: tuple[Run, Path]):
    run, held_out = trained
    assert [path.name for path in sorted((run.folder / "fidelity/validation").iterdir())] == [
        "00000004.png",
        "00000006.png",
    ]
    generator, autoencoder = load_generator(run.stage("perceptual").network).model, AutoEncoder.load(run.folder)
    drawn = {
        stage: panels(read_picture(run.stage(stage).picture(6)), n)
        for stage, n in {"fidelity": 3, "autoencoder": 4, "perceptual": 5}.items()
    }

    def images(picture: np.ndarray) -> torch.Tensor:
        return to_float(to_planes(picture))[None]

    def near(drawn: np.ndarray, image: torch.Tensor) -> bool:
        return bool((images(drawn) - image.clamp(0, 1)).abs().max() < 0.6 / 255)

    for row, path in enumerate(sorted(held_out.iterdir())):
        lr, sr, hr, ae_hr, ae_sr = drawn["perceptual"][row]
        assert np.array_equal(hr, read_picture(path))
        assert np.array_equal(lr, lr[::4, ::4].repeat(4, 0).repeat(4, 1))
        with torch.no_grad():
            assert near(sr, generator(images(lr[::4, ::4])))
            assert near(ae_hr, autoencoder(images(hr)))
            assert near(ae_sr, autoencoder(images(sr)))
        lr, squeezed, ae_hr, hr = drawn["autoencoder"][row]
        with torch.no_grad():
            assert near(squeezed[::4, ::4], autoencoder.encode(images(hr)))
            assert near(ae_hr, autoencoder(images(hr)))
        assert np.array_equal(drawn["fidelity"][row][2], hr)


def test_the_best_is_marked_in_the_log_and_the_last_of_equals_is_taken():
    log = [
        {"iteration": number, "kind": "validation", "psnr": value, "niqe": value}
        for number, value in ((1, 20.0), (2, 21.0), (3, float("nan")), (4, 21.0), (5, 20.0))
    ]
    log.append({"iteration": 6, "kind": "loss", "psnr": 99.0})
    assert (best_of(log, "psnr") or {})["iteration"] == 4
    assert (best_of(log, "niqe") or {})["iteration"] == 5
    assert best_of(log, "ae_psnr") is None


def test_the_last_snapshots_and_the_best_stay_after_a_kill_too(photos: Path, tmp_path: Path):
    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    settings = [
        SECTION, "autoencoder=null", "perceptual=null", "fidelity.validate_every=1", "fidelity.learning_rate=1.0",
        "fidelity.checkpoint_every=3",
    ]  # fmt: skip
    few = [*settings, "fidelity.keep_snapshots=2"]
    run_tiny(photos, tmp_path / "all", *settings)
    said = run_tiny(photos, tmp_path / "few", *few)
    with stop_at("fidelity", 6, die), pytest.raises(Killed):
        run_tiny(photos, tmp_path / "killed", *few)
    run_tiny(photos, tmp_path / "killed", *few)
    everything, kept, resumed = (Run(tmp_path / name) for name in ("all", "few", "killed"))
    assert list(everything.stage("fidelity").snapshots()) == [1, 2, 3, 4, 5, 6]
    log = kept.stage("fidelity").read_log()
    values = {line["iteration"]: line["psnr"] for line in log if line["kind"] == "validation"}
    best = max(values, key=lambda iteration: values[iteration])
    assert best < 5  # otherwise the test shows nothing
    assert list(kept.stage("fidelity").snapshots()) == [best, 5, 6]
    marked = {line["iteration"]: line["psnr"] for line in log if line["kind"] == "best"}
    assert list(marked) == [n for n in values if values[n] == max(list(values.values())[:n])]
    assert marked[best] == values[best]
    assert any(f"(best: psnr {values[best]:.2f} dB, {kept.stage('fidelity').snapshot(best)}" in line for line in said)
    assert same_logs(kept, resumed)
    for path in sorted(kept.folder.glob("fidelity/*/*")):
        assert (resumed.folder / path.relative_to(kept.folder)).read_bytes() == path.read_bytes(), path
    assert len(list(resumed.folder.glob("fidelity/*/*"))) == len(list(kept.folder.glob("fidelity/*/*"))) == 3 + 6


def test_all_snapshots_stay_where_the_best_is_not_measured(photos: Path, tmp_path: Path):
    few = ["fidelity.best=niqe", "fidelity.keep_snapshots=1", "fidelity.validate_every=2"]
    run_tiny(photos, tmp_path / "run", "autoencoder=null", "perceptual=null", *few)
    assert list(Run(tmp_path / "run").stage("fidelity").snapshots()) == [2, 4, 6]
