"""Known benchmarks: found in every layout in which they are published, checked, and without ground truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aesop.data.benchmarks import notes_on, open_benchmark, open_sets
from aesop.data.known_benchmarks import KNOWN, recognise
from aesop.data.layouts import named_folders
from aesop.data.pictures import write_picture
from aesop.errors import DataError
from aesop.evaluation.evaluate import evaluate
from aesop.evaluation.published import published
from aesop.metrics import METRICS

MADE = "LR pictures made by bicubic downscaling (the folder has none)"


def write(*paths: Path, side: int = 32) -> None:
    for path in paths:
        write_picture(path, np.full((side, side, 3), 90, np.uint8))


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("Set5", "Set5"), ("set14", "Set14"), ("B100", "BSD100"), ("BSDS100", "BSD100"), ("Urban100", "Urban100"),
        ("General-100", "General100"), ("manga109", "Manga109"), ("DIV2K_valid_HR", "DIV2K"), ("div2k-val", "DIV2K"),
        ("LSDIR", "LSDIR"), ("RealSR(V3)", "RealSRv3"), ("DRealSR", "DRealSR"), ("RealSRSet", "RealSRSet"),
        *((unknown, None) for unknown in ("Set55", "mine", "DIV2K_train_HR", "RealSRSet2")),
    ],
)  # fmt: skip
def test_folders_are_recognised_by_name(folder: str, name: str | None):
    assert getattr(recognise(folder), "name", None) == name


@pytest.mark.parametrize(
    ("folder", "hr", "lr", "name"),
    [
        ("Set5", "HRx4/baby.png", "LRx4/baby.png", "baby"),
        ("Set5", "HR/sub/baby.png", "LR_bicubic/X4/sub/babyx4.PNG", "sub/baby"),
        ("mine", "gt/baby.png", "lq/baby.jpg", "baby"),
        ("mine", "original/baby.PNG", "x4/baby.png", "baby"),
        ("Set5", "GTmod12/baby.png", "LRbicx4/baby.png", "baby"),
        ("Set5", "image_SRF_4/img_001_SRF_4_HR.png", "image_SRF_4/img_001_SRF_4_LR.png", "img_001"),
        ("Set5/image_SRF_4", "img_001_SRF_4_HR.png", "img_001_SRF_4_LR.png", "img_001"),
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
    opened = open_benchmark(tmp_path / folder, 4)
    (pair,) = opened.pairs
    assert (pair.name, pair.hr.name, opened.remarks) == (name, Path(hr).name, ())
    assert pair.lr is not None
    assert pair.lr.resolve() == (tmp_path / folder / lr).resolve()
    assert [tuple(image.shape[-2:]) for image in pair.read(4)] == [(32, 32), (8, 8)]


@pytest.mark.parametrize(
    ("scale", "hr", "lr"), [(4, "GTmod12", "LRbicx4"), (3, "GTmod12", "LRbicx3"), (8, "original", "")]
)
def test_basicsr_folder_at_every_scale(tmp_path: Path, scale: int, hr: str, lr: str):
    for name in ("GTmod12", "original", "LRbicx2", "LRbicx3", "LRbicx4"):
        write(tmp_path / "Set5" / name / "baby.png")
    opened = open_benchmark(tmp_path / "Set5", scale)
    (pair,) = opened.pairs
    assert pair.hr.parent.name == hr
    assert (pair.lr.parent.name if pair.lr else "") == lr
    made = MADE[:-1] + " for this scale; LRbicx2, LRbicx3, LRbicx4 not taken)"
    assert [text for _, text in notes_on(opened) if "LR pictures" in text] == ([] if lr else [made])


@pytest.mark.parametrize("folder", ["RealSR(V3)", "RealSR(V3)/Canon", "RealSR(V3)/Canon/Test/4"])
def test_realsr_takes_the_test_pictures_of_one_scale(tmp_path: Path, folder: str):
    for part in ("Train/4", "Test/4", "Test/3"):
        number, scale = len(part), part[-1]
        write(*(tmp_path / f"RealSR(V3)/Canon/{part}/Canon_{number}_{end}.png" for end in ("HR", f"LR{scale}")))
    assert [(pair.name, pair.lr and pair.lr.name) for pair in open_benchmark(tmp_path / folder, 4).pairs] == [
        ("Canon_6", "Canon_6_LR4.png")
    ]


def test_other_pictures_of_div2k_and_lsdir_stay_out(tmp_path: Path):
    for part in ("train", "valid"):
        write(tmp_path / f"DIV2K/DIV2K_{part}_HR/{part}.png", tmp_path / f"LSDIR/HR/{part[:5]}/{part}.png")
        write(tmp_path / f"DIV2K/DIV2K_{part}_LR_bicubic/X4/{part}x4.png")
    write(tmp_path / "LSDIR/HR/val/1.png", tmp_path / "LSDIR/X4/val/1x4.png")
    assert [pair.name for pair in open_benchmark(tmp_path / "DIV2K", 4).pairs] == ["valid"]
    assert [pair.name for pair in open_benchmark(tmp_path / "LSDIR", 4).pairs] == ["1"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["HRx2/a.png"], "has HRx2, which is no known layout for scale 4; .* --hr DIR and --lr DIR, or choose another"),
        (["LRbicx3/a.png", "GTmod3/a.png"], "has GTmod3 and LRbicx3, which is no known layout for scale 4"),
        (["a.png", "LR/a.png"], "has LR, which is no known layout"),
        (["image_SRF_2/a_SRF_2_HR.png", "image_SRF_3/a_SRF_3_LR.png"], "has image_SRF_2 and image_SRF_3, which is no"),
        (["a.png", "photos/b.png"], "has pictures in folders of no known layout; .* with --hr DIR and --lr DIR"),
        (["large/a.png", "small/ax4.png"], "has pictures in folders of no known layout"),
        (["mine/HRx4/a.png", "other/HRx4/b.png"], "has pictures in folders of no known layout"),
        (["HR/a.png", "HR/a.tif"], r"a\.png and .*a\.tif have one name; remove one of them"),
    ],
)
def test_pictures_that_may_be_hr_or_lr_are_not_guessed(tmp_path: Path, files: list[str], message: str):
    write(*(tmp_path / "set" / name for name in files))
    with pytest.raises(DataError, match=message):
        open_benchmark(tmp_path / "set", 4)


def test_any_other_layout_is_named(tmp_path: Path):
    write(tmp_path / "large/set/a.png", tmp_path / "large/b.png")
    write(tmp_path / "small/set/ax4.png", tmp_path / "small/b.jpg", side=8)
    large, small = tmp_path / "large", tmp_path / "small"
    (opened,) = open_sets([named_folders(large, small)], 4)
    assert opened.name == "large"
    assert [(pair.name, pair.lr) for pair in opened.pairs] == [("b", small / "b.jpg"), ("set/a", small / "set/ax4.png")]
    (hr_alone,) = open_sets([named_folders(large)], 4)
    assert ([pair.lr for pair in hr_alone.pairs], hr_alone.remarks) == ([None, None], (MADE,))
    (lr_alone,) = open_sets([named_folders(None, small)], 4)
    assert ([one.name for one in lr_alone.pictures], lr_alone.pairs) == (["b", "set/ax4"], [])


def test_a_folder_of_lr_pictures_is_not_taken_for_hr(tmp_path: Path):
    write(tmp_path / "Set5/LRx4/a.png", tmp_path / "Set5/._a.png")
    assert [picture.name for picture in open_benchmark(tmp_path / "Set5", 4).pictures] == ["a"]
    with pytest.raises(DataError, match=r"LRx4: has the name of an LR folder; name the folders of HR and LR"):
        open_benchmark(tmp_path / "Set5/LRx4", 4)


def test_of_two_lr_pictures_of_one_name_that_of_hrs_format_is_taken(tmp_path: Path):
    write(tmp_path / "HR/a.png", tmp_path / "HR/b.bmp")
    write(*(tmp_path / "LR" / name for name in ("a.jpg", "a.png", "b.jpg", "b.png", "._b.png")), side=8)
    one, other = open_benchmark(tmp_path, 4).pairs
    assert one.lr == tmp_path / "LR/a.png"
    with pytest.raises(DataError, match=r"b\.bmp: has no LR picture b in"):
        other.read(4)


@pytest.mark.parametrize("layout", [("HRx4/{}.png", "LRx4/{}.png"), ("Test/4/{}_HR.png", "Test/4/{}_LR4.png")])
def test_pictures_that_do_not_pair_are_named_and_the_others_measured(tmp_path: Path, layout: tuple[str, str]):
    hr, lr = (str(tmp_path / "mine" / pattern) for pattern in layout)
    write(*(Path(hr.format(name)) for name in "ab"), side=32)
    write(*(Path(lr.format(name)) for name in "acdefgh"), side=8)
    found = evaluate(["bicubic"], [tmp_path / "mine"], metrics=["psnr"])
    assert [found.results[0].pictures[name] is None for name in "ab"] == [False, True]
    (failure,) = found.failures
    assert (failure.picture, failure.model) == ("b", None)
    assert f"has no LR picture {Path(lr.format('b')).stem} in {Path(lr).parent}" in failure.reason
    names = ", ".join(Path(layout[1].format(name)).stem for name in "cdefg")
    assert [note.text for note in found.notes] == [f"LR pictures without HR: {names} and 1 more, not measured"]
    Path(lr.format("a")).unlink()
    with pytest.raises(DataError, match="none of its pictures has an LR picture in"):
        open_benchmark(tmp_path / "mine", 4)


def test_photographed_sets_need_their_lr(tmp_path: Path):
    write(tmp_path / "RealSR/HR/a.png")
    with pytest.raises(DataError, match=r"RealSRv3 needs its LR pictures; get it from https://github\.com"):
        open_benchmark(tmp_path / "RealSR", 4)


def test_by_name_in_a_folder_of_benchmarks(tmp_path: Path):
    every = tmp_path / "all"
    write(every / "Set5/a.png", every / "b100/HR/a.png", every / "mine/GT/a.png", every / "photos/a.png")
    opened = open_sets([every, every, every / "mine"], 4)
    assert [found.name for found in opened] == ["Set5", "BSD100", "mine"]
    assert notes_on(opened[1])[1] == (None, "mine, photos beside it left out: no known benchmark; name it by itself")
    assert [found.name for found in open_sets(["BSD100"], 4, every)] == ["BSD100"]
    with pytest.raises(DataError, match=r"Urban100: is not in .*all; get it from https:.* folder called Urban100 "):
        open_sets(["Urban100"], 4, every)
    with pytest.raises(DataError, match=r"Set14 with --benchmarks-folder, or get it from https"):
        open_sets(["Set14"], 4)
    with pytest.raises(DataError, match=r"no such benchmark folder; check the path \(known by name are Set5, "):
        open_sets(["Set15"], 4)
    with pytest.raises(DataError, match="two of them are called Set5; evaluate them one at a time"):
        open_sets([every, every / "Set5"], 4)


def test_what_a_reader_must_know_of_the_pictures(tmp_path: Path):
    folder = tmp_path / "Set5"
    write(folder / "a.png", side=256)
    write(folder / "small.png")
    Image.new("L", (300, 256), 80).save(folder / "grey.png")
    Image.new("RGBA", (300, 256)).save(folder / "alpha.png")
    Image.fromarray(np.full((256, 256), 999, np.uint16)).save(folder / "deep.png")
    (folder / "broken.png").write_bytes(b"nothing")
    found = set(notes_on(open_benchmark(folder, 4)))
    assert found == {
        (None, MADE),
        (None, "6 pictures instead of 5; not comparable with others"),
        ("small", "has 32 x 32 pixels, unlike Set5's"),
        ("grey", "is greyscale among colour; measured as RGB"),
        ("deep", "is greyscale among colour; measured as RGB"),
        ("deep", "has 16 bit; rounded to 8"),
        ("alpha", "has an alpha channel, which is dropped"),
    }
    (tmp_path / "all grey").mkdir()
    Image.new("L", (64, 64), 80).save(tmp_path / "all grey/a.png")
    assert notes_on(open_benchmark(tmp_path / "all grey", 4)) == [(None, MADE)]


def test_lr_pictures_are_looked_at_too(tmp_path: Path):
    folder = tmp_path / "mine"
    write(*(folder / f"HR/{name}.png" for name in ("plain", "alpha", "deep", "broken")))
    write(folder / "LR/plain.png", side=8)
    Image.new("L", (32, 32), 80).save(folder / "HR/grey.png")
    Image.new("L", (8, 8), 80).save(folder / "LR/grey.png")
    Image.new("RGBA", (8, 8)).save(folder / "LR/alpha.png")
    Image.fromarray(np.full((8, 8), 999, np.uint16)).save(folder / "LR/deep.png")
    (folder / "LR/broken.png").write_bytes(b"nothing")
    assert set(notes_on(open_benchmark(folder, 4))) == {
        ("grey", "is greyscale among colour; measured as RGB"),
        ("alpha", "its LR picture has an alpha channel, which is dropped"),
        ("deep", "its LR picture is greyscale among colour; measured as RGB"),
        ("deep", "its LR picture has 16 bit; rounded to 8"),
    }


def test_a_set_without_ground_truth_is_not_compared_with_hr_sizes(tmp_path: Path):
    write(*(tmp_path / f"Set5/LRx4/{name}.png" for name in "abcde"))
    opened = open_benchmark(tmp_path / "Set5", 4)
    assert (opened.pairs, len(opened.pictures)) == ([], 5)
    assert notes_on(opened) == []


def test_the_sets_that_are_here_are_whole(shared_data: Path):
    for name, scales, noted in (("Set5", (2, 3, 4), 0), ("Set14", (2, 3, 4), 1), ("BSD100", (4,), 0)):
        for scale in scales:
            opened = open_benchmark(shared_data / "benchmarks" / name, scale)
            assert all(pair.lr is not None for pair in opened.pairs)
            assert len(notes_on(opened)) == noted, notes_on(opened)  # Set14 has a greyscale picture
    assert notes_on(open_benchmark(shared_data / "RealSRSet", 4)) == []


@pytest.mark.parametrize("place", ["RealSRSet", "mine/LR"])
def test_without_ground_truth_only_what_needs_none_is_measured(tmp_path: Path, place: str):
    write(tmp_path / place / "a.png", tmp_path / place / "sub/b.png", side=40)
    no_reference = next(name for name, metric in METRICS.items() if not metric.needs_hr)
    found = evaluate(["bicubic"], [tmp_path / place.split("/")[0]], metrics=["psnr", no_reference])
    psnr, other = (found.result("bicubic", found.benchmarks[0], name) for name in ("psnr", no_reference))
    assert (psnr.no_ground_truth, psnr.mean, list(psnr.pictures)) == (True, None, ["a", "sub/b"])
    assert other.mean is not None or other.unavailable not in (None, psnr.unavailable)


def test_every_published_number_is_of_a_known_benchmark_and_metric():
    assert {number.benchmark for number in published()} <= {known.name for known in KNOWN}
    assert {number.metric for number in published()} <= METRICS.keys()
