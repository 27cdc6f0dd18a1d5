"""Crops are aligned, uniform, and the same however a stream is read."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from aesop.data.bicubic import resize
from aesop.data.crops import Crops, batches
from aesop.data.pictures import write_picture
from aesop.data.prepare import prepare
from aesop.data.prepared import PreparedData
from aesop.errors import DataError
from helpers import synthetic_pictures

SCALE, CROP = 4, 16
HEIGHT, WIDTH, COUNT = 48, 64, 3


@pytest.fixture(scope="module")
def coordinates(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """Pictures whose pixels hold (row, column, number of the picture); LR is every fourth pixel."""
    folder = tmp_path_factory.mktemp("coordinates")
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.uint8)
    for number in range(COUNT):
        hr = np.dstack([rows, columns, np.full_like(rows, number)])
        write_picture(folder / "HR" / f"{number}.png", hr)
        write_picture(folder / "LR" / f"{number}.png", hr[::SCALE, ::SCALE])
    return prepare(folder, folder / "store", SCALE, minimum=CROP)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    folder = tmp_path_factory.mktemp("synthetic")
    synthetic_pictures(folder / "a", 2, (80, 96), seed=1)
    synthetic_pictures(folder / "b", 2, (72, 64), seed=2)
    return prepare(folder, folder / "store", SCALE, minimum=48)


def test_without_augmentation_a_crop_is_a_piece_of_its_picture(coordinates: PreparedData) -> None:
    crops = Crops(coordinates, CROP, seed=3, augment=False)
    for k in range(50):
        lr, hr = crops[k]
        assert lr.dtype == hr.dtype == torch.uint8
        assert lr.shape == (3, CROP // SCALE, CROP // SCALE)
        top, left, number = hr[:, 0, 0].tolist()
        assert top % SCALE == left % SCALE == 0
        whole_hr, whole_lr = coordinates.read(number)
        np.testing.assert_array_equal(hr.permute(1, 2, 0), whole_hr[top : top + CROP, left : left + CROP])
        top, left, side = top // SCALE, left // SCALE, CROP // SCALE
        np.testing.assert_array_equal(lr.permute(1, 2, 0), whole_lr[top : top + side, left : left + side])


def test_pictures_and_positions_are_uniform(coordinates: PreparedData) -> None:
    count = 6000
    corners = Crops(coordinates, CROP, seed=0, augment=False).__getitems__(range(count))[1][:, :, 0, 0].numpy()
    rows, columns = (HEIGHT - CROP) // SCALE + 1, (WIDTH - CROP) // SCALE + 1
    for values, step, kinds in zip(corners.T, (SCALE, SCALE, 1), (rows, columns, COUNT), strict=True):
        histogram = np.bincount(values // step)
        assert len(histogram) == kinds
        # Five standard deviations of a binomial count.
        assert np.abs(histogram - count / kinds).max() < 5 * np.sqrt(count / kinds)
    # ... and independent of each other.
    assert np.abs(np.corrcoef(corners.T.astype(float)) - np.eye(3)).max() < 5 / np.sqrt(count)


def test_augmentation_draws_all_eight_symmetries_evenly(coordinates: PreparedData) -> None:
    count = 4000
    hr = Crops(coordinates, CROP, seed=1).__getitems__(range(count))[1].int()
    # How the original row and column change along the crop's two axes tells which symmetry it is.
    down = hr[:, :2, 1, 0] - hr[:, :2, 0, 0]
    right = hr[:, :2, 0, 1] - hr[:, :2, 0, 0]
    kinds, counts = np.unique(torch.cat([down, right], dim=1).numpy(), axis=0, return_counts=True)
    assert len(kinds) == 8
    assert np.abs(counts - count / 8).max() < 5 * np.sqrt(count / 8)


def test_lr_and_hr_are_turned_alike(synthetic: PreparedData) -> None:
    # Bicubic downscaling commutes with the square's symmetries; two LR pixels from the border it sees no border.
    lr, hr = Crops(synthetic, 48, seed=5).__getitems__(range(64))
    inside = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(lr[inside], resize(hr, 1 / SCALE)[inside], rtol=0, atol=0)


def test_the_stream_is_what_it_was(coordinates: PreparedData) -> None:
    """Golden values: a change breaks resuming of every existing run."""
    crops = Crops(coordinates, CROP, seed=7)
    golden = [(4, 12, 2), (31, 48, 1), (8, 20, 0), (19, 59, 1)]
    assert [tuple(crops[k][1][:, 0, 0].tolist()) for k in (0, 1, 2, 1_000_000_000)] == golden
    assert not torch.equal(Crops(coordinates, CROP, seed=8).__getitems__(range(8))[1], crops.__getitems__(range(8))[1])


def stream(data: PreparedData, first: int, last: int, workers: int = 0, **where: int) -> list[torch.Tensor]:
    crops = Crops(data, CROP, seed=2)
    return [t for pair in batches(crops, 4, first, last, workers=workers, **where) for t in pair]


def same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
    return len(ours) == len(theirs) and all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_resumed_stream_continues_the_straight_one(synthetic: PreparedData) -> None:
    straight = stream(synthetic, 0, 9)
    assert len(straight) == 18
    assert same(straight, stream(synthetic, 0, 4) + stream(synthetic, 4, 9))
    crops = Crops(synthetic, CROP, seed=2)
    assert torch.equal(straight[2][1], crops[5][0])
    assert torch.equal(straight[3][1], crops[5][1])


def test_ranks_share_the_stream_of_one_process(synthetic: PreparedData) -> None:
    ranks = [stream(synthetic, 0, 3, rank=rank, world=2) for rank in range(2)]
    interleaved = [t for i in range(3) for rank in ranks for t in rank[2 * i : 2 * i + 2]]
    assert same(interleaved, stream(synthetic, 0, 6))


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_and_random_generators_do_not_matter(synthetic: PreparedData, workers: int) -> None:
    before = torch.get_rng_state()
    stream(synthetic, 0, 3, workers=workers)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(1)
    np.random.seed(1)
    assert same(stream(synthetic, 3, 12), stream(synthetic, 3, 12, workers=workers))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_lost_store_is_told_in_one_sentence(tmp_path: Path, workers: int) -> None:
    synthetic_pictures(tmp_path / "pictures", 1, 32)
    data = prepare(tmp_path / "pictures", tmp_path / "store", SCALE, minimum=CROP)
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(DataError, match=r"^\S+\.safetensors: the prepared picture is gone; [^\n]+$"):
        stream(data, 0, 1, workers=workers)


def test_a_stream_that_is_not_read_to_its_end_does_not_keep_python_from_ending(synthetic: PreparedData) -> None:
    code = (
        "import sys; from pathlib import Path; from aesop.data.crops import Crops, batches; "
        "from aesop.data.prepare import prepare; "
        f"data = prepare(Path(sys.argv[1]), Path(sys.argv[2]), {SCALE}, minimum={CROP}); "
        f"stream = batches(Crops(data, {CROP}, 0), 2, 0, 100, workers=1); next(stream); raise LookupError"
    )
    command = [sys.executable, "-c", code, str(synthetic.folder.parent), str(synthetic.folder)]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith("LookupError")


def test_a_long_stream_starts_at_once(synthetic: PreparedData) -> None:
    lr, _ = next(batches(Crops(synthetic, CROP, seed=2), 4, 10**12, 10**13, workers=0))
    assert lr.shape == (4, 3, 4, 4)


def test_the_largest_crop_is_the_picture(synthetic: PreparedData, coordinates: PreparedData) -> None:
    square = PreparedData(synthetic.folder, SCALE, synthetic.entries[2:])
    assert Crops(square, 64, seed=0, augment=False)[0][1].shape == (3, 64, 64)
    with pytest.raises(DataError, match="a crop of 18 pixels is not a multiple of the scale"):
        Crops(coordinates, 18, seed=0)
    with pytest.raises(DataError, match=r"0\.png: 64 x 48 pixels, too small for crops of 64"):
        Crops(coordinates, 64, seed=0)
