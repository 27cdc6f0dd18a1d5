"""Benchmarks known by name: found in every layout they are published in, checked, without ground truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aesop.data.pictures import write_picture
from aesop.errors import DataError
from aesop.evaluation.benchmarks import look_at, open_benchmark, open_benchmarks
from aesop.evaluation.evaluate import evaluate
from aesop.evaluation.known_benchmarks import KNOWN, recognise
from aesop.evaluation.published import published
from aesop.metrics import METRICS


def write(*paths: Path, side: int = 32) -> None:
    for path in paths:
        write_picture(path, np.full((side, side, 3), 90, np.uint8))


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("Set5", "Set5"), ("set14", "Set14"), ("B100", "BSD100"), ("BSDS100", "BSD100"), ("Urban100", "Urban100"),
        ("General-100", "General100"), ("manga109", "Manga109"), ("DIV2K_valid_HR", "DIV2K"), ("div2k-val", "DIV2K"),
        ("LSDIR", "LSDIR"), ("RealSR(V3)", "RealSRv3"), ("DRealSR", "DRealSR"), ("RealSRSet", "RealSRSet"),
    ],
)  # fmt: skip
def test_folders_are_recognised_by_name(folder: str, name: str):
    known = recognise(folder)
    assert known is not None
    assert known.name == name


def test_unknown_folders_are_not():
    assert [recognise(name) for name in ("Set55", "mine", "DIV2K_train_HR", "RealSRSet2")] == [None] * 4


@pytest.mark.parametrize(
    ("folder", "hr", "lr", "name"),
    [
        ("Set5", "HRx4/baby.png", "LRx4/baby.png", "baby"),
        ("Set5", "HR/baby.png", "LR_bicubic/X4/babyx4.png", "baby"),
        ("Set5", "GTmod12/baby.png", "LRbicx4/baby.png", "baby"),
        ("Set5", "image_SRF_4/img_001_SRF_4_HR.png", "image_SRF_4/img_001_SRF_4_LR.png", "img_001"),
        ("DIV2K", "DIV2K_valid_HR/0801.png", "DIV2K_valid_LR_bicubic/X4/0801x4.png", "0801"),
        ("DIV2K_valid_HR", "0801.png", "../DIV2K_valid_LR_bicubic/X4/0801x4.png", "0801"),
        ("LSDIR", "val1/HR/val/0000001.png", "val1/X4/val/0000001x4.png", "0000001"),
        ("RealSR(V3)", "Nikon/Test/4/Nikon_001_HR.png", "Nikon/Test/4/Nikon_001_LR4.png", "Nikon_001"),
        ("DRealSR", "Test_x4/test_HR/sony_1_x1.png", "Test_x4/test_LR/sony_1_x4.png", "sony_1"),
    ],
)
def test_published_layouts(tmp_path: Path, folder: str, hr: str, lr: str, name: str):
    write(tmp_path / folder / hr)
    write(tmp_path / folder / lr, side=8)
    (pair,) = open_benchmark(tmp_path / folder, 4).pairs
    assert (pair.name, pair.hr.name) == (name, Path(hr).name)
    assert pair.lr is not None
    assert pair.lr.resolve() == (tmp_path / folder / lr).resolve()
    assert [tuple(image.shape[-2:]) for image in pair.read(4)] == [(32, 32), (8, 8)]


def test_a_picture_without_its_partner_is_told(tmp_path: Path):
    write(tmp_path / "Set5/GTmod12/a.png", tmp_path / "Set5/GTmod12/b.png", tmp_path / "Set5/LRbicx4/a.png")
    with pytest.raises(DataError, match="Set5: b has no LR picture"):
        open_benchmark(tmp_path / "Set5", 4)
    write(tmp_path / "RealSR/HR/a.png")
    with pytest.raises(
        DataError, match=r"RealSRv3 is nothing without its LR pictures; get it from https://github\.com"
    ):
        open_benchmark(tmp_path / "RealSR", 4)


def test_by_name_in_a_folder_of_benchmarks(tmp_path: Path):
    write(tmp_path / "all/Set5/a.png", tmp_path / "all/b100/HR/a.png", tmp_path / "all/other/HR/a.png")
    assert [found.name for found in open_benchmarks(tmp_path / "all", 4)] == ["Set5", "BSD100"]
    assert [found.name for found in open_benchmarks("BSD100", 4, tmp_path / "all")] == ["BSD100"]
    with pytest.raises(DataError, match=r"Urban100: is not in .*all; get it from https:.* folder called Urban100 "):
        open_benchmarks("Urban100", 4, tmp_path / "all")
    with pytest.raises(DataError, match=r"Set14 with --benchmarks-folder, or get it from https"):
        open_benchmarks("Set14", 4)
    with pytest.raises(DataError, match=r"no such benchmark folder; check the path \(known by name are Set5, "):
        open_benchmarks("Set15", 4)


def test_what_a_reader_must_know_of_the_pictures(tmp_path: Path):
    folder = tmp_path / "Set5"
    write(folder / "a.png", side=256)
    write(folder / "small.png")
    Image.new("L", (300, 256), 80).save(folder / "grey.png")
    Image.new("RGBA", (300, 256)).save(folder / "alpha.png")
    Image.fromarray(np.full((256, 256), 999, np.uint16)).save(folder / "deep.png")
    (folder / "broken.png").write_bytes(b"nothing")
    found = {(note.picture, note.text) for note in look_at(open_benchmark(folder, 4))}
    assert found == {
        (None, "6 pictures instead of 5; not comparable with others"),
        ("small", "has 32 pixels a side, unlike Set5's"),
        ("grey", "is greyscale among colour; measured as RGB"),
        ("deep", "is greyscale among colour; measured as RGB"),
        ("deep", "has 16 bit; rounded to 8"),
        ("alpha", "has an alpha channel, which is dropped"),
    }
    Image.new("L", (64, 64), 80).save(tmp_path / "grey.png")
    (tmp_path / "all").mkdir()
    (tmp_path / "grey.png").rename(tmp_path / "all/grey.png")
    assert look_at(open_benchmark(tmp_path / "all", 4)) == []  # all grey: nothing to wonder at


def test_the_sets_that_are_here_are_whole(shared_data: Path):
    for name, noted in (("Set5", 0), ("Set14", 1), ("BSD100", 0)):
        opened = open_benchmark(shared_data / "benchmarks" / name, 4)
        assert all(pair.lr is not None for pair in opened.pairs)
        assert len(look_at(opened)) == noted, look_at(opened)  # Set14 has a greyscale picture
    assert look_at(open_benchmark(shared_data / "RealSRSet", 4)) == []


@pytest.mark.parametrize("place", ["RealSRSet", "mine/LR"])
def test_without_ground_truth_only_what_needs_none_is_measured(tmp_path: Path, place: str):
    write(tmp_path / place / "a.png", tmp_path / place / "sub/b.png", side=40)
    if not any(not metric.needs_hr for metric in METRICS.values()):
        pytest.skip("no such metric")
    no_reference = next(name for name, metric in METRICS.items() if not metric.needs_hr)
    found = evaluate(["bicubic"], [tmp_path / place.split("/")[0]], metrics=["psnr", no_reference])
    psnr, other = (found.result("bicubic", found.benchmarks[0], name) for name in ("psnr", no_reference))
    assert psnr.no_ground_truth
    assert psnr.mean is None
    assert list(psnr.pictures) == ["a", "sub/b"]
    assert other.mean is not None or other.unavailable not in (None, psnr.unavailable)


def test_every_published_number_is_of_a_known_benchmark_and_metric():
    assert {number.benchmark for number in published()} <= {known.name for known in KNOWN}
    assert {number.metric for number in published()} <= METRICS.keys()
