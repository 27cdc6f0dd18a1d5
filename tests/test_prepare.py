"""Preparation: what is stored, what is left out, and that no work is repeated."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aesop.data.bicubic import resize
from aesop.data.pictures import read_picture, write_picture
from aesop.data.prepare import default_store, prepare
from aesop.errors import DataError, RunError
from aesop.files import atomic_path
from helpers import synthetic_picture, synthetic_pictures, without_access


def bicubic(picture: np.ndarray, factor: float) -> np.ndarray:
    return resize(torch.tensor(picture).permute(2, 0, 1), factor).permute(1, 2, 0).numpy()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Six pictures of 50 x 70, one of them in a subfolder."""
    folder = tmp_path / "pictures"
    synthetic_pictures(folder, 5, (50, 70))
    write_picture(folder / "more" / "a.tif", synthetic_picture(50, 70, seed=9))
    return folder


@pytest.mark.parametrize(("scale", "shrink"), [(2, 1), (3, 1), (4, 1), (8, 1), (4, 3)])
def test_hr_is_cropped_and_lr_made(pictures: Path, tmp_path: Path, scale: int, shrink: int) -> None:
    data = prepare(pictures, tmp_path / "store", scale, minimum=16, shrink=shrink)
    assert [e.name for e in data.entries] == ["000.png", "001.png", "002.png", "003.png", "004.png", "more/a.tif"]
    assert data.left_out == ()
    for index, entry in enumerate(data.entries):
        expected = read_picture(pictures / entry.name)
        if shrink > 1:
            expected = bicubic(expected[: 50 // shrink * shrink, : 70 // shrink * shrink], 1 / shrink)
        expected = expected[: len(expected) // scale * scale, : expected.shape[1] // scale * scale]
        hr, lr = data.read(index)
        assert (entry.height, entry.width) == expected.shape[:2]
        np.testing.assert_array_equal(hr, expected)
        np.testing.assert_array_equal(lr, bicubic(expected, 1 / scale))
        assert not hr.flags.writeable


def written(store: Path) -> dict[str, int]:
    """The files of a store and their modification times."""
    return {path.name: path.stat().st_mtime_ns for path in store.iterdir()}


def test_only_what_changed_is_prepared_again(pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (pictures / "bad.png").write_bytes(b"bad")
    first = prepare(pictures, tmp_path / "store", 4, minimum=16)
    assert "Preparing pictures: 7/7" in capfd.readouterr().err
    old, before = first.read(1)[0].copy(), written(tmp_path / "store")
    assert prepare(pictures, tmp_path / "store", 4, minimum=16) == first
    assert (capfd.readouterr().err, written(tmp_path / "store")) == ("", before)
    write_picture(pictures / "001.png", synthetic_picture(60, 60, seed=77))
    (pictures / "002.png").unlink()
    write_picture(pictures / "new.png", synthetic_picture(40, 40, seed=78))
    second = prepare(pictures, tmp_path / "store", 4, minimum=16)
    after = written(tmp_path / "store")
    assert {name: after[name] for name in before} == before
    new = {entry.file for entry in second.entries if entry.name in ("001.png", "new.png")}
    assert after.keys() - before.keys() == new
    assert [e.name for e in second.entries] == ["000.png", "001.png", "003.png", "004.png", "more/a.tif", "new.png"]
    np.testing.assert_array_equal(second.read(1)[0], read_picture(pictures / "001.png"))
    np.testing.assert_array_equal(first.read(1)[0], old)  # a training that still runs keeps its pictures
    assert second.fingerprint != first.fingerprint


@pytest.mark.parametrize("size", [None, 0, 60, 500, -1])
def test_what_is_lost_or_cut_short_is_prepared_again(pictures: Path, tmp_path: Path, size: int | None) -> None:
    store = tmp_path / "store"
    data = prepare(pictures, store, 4, minimum=16)
    path = store / data.entries[2].file
    whole, before = path.read_bytes(), written(store)
    path.unlink()
    if size is not None:
        path.write_bytes(whole[:size])
    if size in (None, 0):
        with pytest.raises(DataError, match="is gone"):
            data.read(2)
    assert prepare(pictures, store, 4, minimum=16) == data
    assert path.read_bytes() == whole
    assert {name for name, time in written(store).items() if time != before[name]} == {path.name}


def test_temporary_files_of_the_living_are_left_alone(pictures: Path, tmp_path: Path) -> None:
    data = prepare(pictures, tmp_path / "store", 4, minimum=16)
    dead = tmp_path / f"store/.{'0' * 32}.part"
    dead.write_bytes(b"half")
    with atomic_path(tmp_path / "store/mine") as mine:
        assert prepare(pictures, tmp_path / "store", 4, minimum=16) == data
        assert mine.exists()
    assert dead.exists() == (os.name != "posix")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file here whose reading fails")
def test_what_the_system_refuses_is_not_remembered(pictures: Path, tmp_path: Path) -> None:
    whole = prepare(pictures, tmp_path / "other", 4, minimum=16)
    picture = (pictures / "001.png").rename(tmp_path / "elsewhere.png")
    (pictures / "001.png").symlink_to("/proc/self/mem")
    data = prepare(pictures, tmp_path / "store", 4, minimum=16)
    ((name, reason),) = data.left_out
    assert (name, reason.split(";")[0]) == ("001.png", "cannot be read (Input/output error)")
    (pictures / "001.png").unlink()
    picture.rename(pictures / "001.png")
    assert prepare(pictures, tmp_path / "store", 4, minimum=16).entries == whole.entries


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX systems only")
def test_names_may_be_any_bytes(pictures: Path, tmp_path: Path) -> None:
    whole = prepare(pictures, tmp_path / "other", 4, minimum=16)
    (pictures / "001.png").rename(pictures / os.fsdecode(b"caf\xe9.png"))
    (pictures / "002.png").rename(pictures / f"n{'o' * 250}.png")
    folder = pictures.rename(tmp_path / os.fsdecode(b"\xe9"))
    for _ in range(2):
        data = prepare(folder, default_store(folder, 4), 4, minimum=16)
        names = [entry.name for entry in data.entries]
        assert names == ["000.png", "003.png", "004.png", "caf\\xe9.png", "more/a.tif", f"n{'o' * 250}.png"]
        np.testing.assert_array_equal(data.read(3)[0], whole.read(1)[0])
        data.split(2)


def test_bad_pictures_are_named_and_the_rest_goes_on(pictures: Path, tmp_path: Path) -> None:
    whole = (pictures / "000.png").read_bytes()
    (pictures / "000.png").write_bytes(whole[: len(whole) // 2])
    (pictures / "001.png").write_bytes(b"")
    write_picture(pictures / "small.png", synthetic_picture(31, 90, seed=3))
    write_picture(pictures / "tiny.png", synthetic_picture(3, 90, seed=3))
    for _ in range(2):
        data = prepare(pictures, tmp_path / "store", 4, minimum=32)
        reasons = dict(data.left_out)
        assert sorted(reasons) == ["000.png", "001.png", "small.png", "tiny.png"]
        assert all(reasons[name].startswith("no complete picture") for name in ("000.png", "001.png"))
        assert reasons["small.png"] == "88 x 28 pixels, where at least 32 a side are needed"
        assert "too few" in reasons["tiny.png"]
        assert [e.name for e in data.entries] == ["002.png", "003.png", "004.png", "more/a.tif"]
    assert len(prepare(pictures, tmp_path / "store", 4, minimum=16)) == 5  # another crop, nothing made anew


def test_nothing_usable_is_an_error_with_reasons(tmp_path: Path) -> None:
    synthetic_pictures(tmp_path / "pictures", 7, 24)
    with pytest.raises(DataError, match=r"none of the 7 pictures is usable \(000\.png: 24 x 24 pixels.+and 2 more"):
        prepare(tmp_path / "pictures", tmp_path / "store", 4, minimum=128)


def test_given_lr_pictures_are_taken(tmp_path: Path) -> None:
    """In the layouts of benchmarks; the tests of benchmarks cover all of them."""
    for number in range(3):
        hr = synthetic_picture(40, 41, seed=number)
        write_picture(tmp_path / f"pictures/HR/sub/{number}.png", hr)
        write_picture(tmp_path / f"pictures/LR/X2/sub/{number}x2.webp", hr[:40:2, :40:2])
    data = prepare(tmp_path / "pictures", tmp_path / "store", 2, minimum=16)
    assert [e.name for e in data.entries] == ["sub/0.png", "sub/1.png", "sub/2.png"]
    for index in range(3):
        hr, lr = data.read(index)
        np.testing.assert_array_equal(lr, hr[::2, ::2])


def test_lr_of_another_folder_and_pairs_that_do_not_fit(tmp_path: Path) -> None:
    hr, lr = tmp_path / "hr", tmp_path / "lr"
    for number in range(3):
        picture = synthetic_picture(40, 40, seed=number)
        write_picture(hr / f"{number}.png", picture)
        write_picture(lr / f"{number}.png", picture[::4, ::4])
    write_picture(lr / "1.png", synthetic_picture(9, 10, seed=1))
    (lr / "2.png").unlink()
    data = prepare(hr, tmp_path / "store", 4, minimum=16, lr=lr)
    assert [e.name for e in data.entries] == ["0.png"]
    reasons = dict(data.left_out)
    assert reasons["1.png"] == "40 x 40 pixels are not 4 times those of its LR picture, 10 x 9"
    assert reasons["2.png"] == f"has no LR picture 2 in {lr}"
    with pytest.raises(DataError, match="set shrink to 1"):
        prepare(hr, tmp_path / "store", 4, minimum=16, lr=lr, shrink=2)
    made = prepare(hr, tmp_path / "store", 4, minimum=16)  # the same store without LR does not mix them up
    np.testing.assert_array_equal(made.read(0)[1], bicubic(read_picture(hr / "0.png"), 1 / 4))


def test_an_lr_picture_of_something_else_is_named(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    hr, lr = tmp_path / "hr", tmp_path / "lr"
    for number, shown in enumerate((0, 2, 2, 3)):
        write_picture(hr / f"{number}.png", synthetic_picture(64, 96, seed=number))
        partner = synthetic_picture(64, 96, seed=shown)[::4, ::4]
        noisy = np.clip(partner + generator.normal(0, 25, partner.shape), 0, 255)
        write_picture(lr / f"{number}.png", noisy.astype(np.uint8))
    write_picture(hr / "flat.png", np.full((64, 96, 3), 90, np.uint8))
    write_picture(lr / "flat.png", np.full((16, 24, 3), 91, np.uint8))
    data = prepare(hr, tmp_path / "store", 4, minimum=16, lr=lr)
    assert [e.name for e in data.entries] == ["0.png", "2.png", "3.png", "flat.png"]
    assert data.left_out == (("1.png", f"its LR picture {lr / '1.png'} shows something else; pair them anew"),)


def test_pictures_of_one_name_in_two_folders_are_refused(tmp_path: Path) -> None:
    """RealSR's layout has a folder for each camera."""
    for seed, camera in enumerate(("Canon", "Nikon")):
        picture = synthetic_picture(64, 64, seed=seed)
        write_picture(tmp_path / "data" / camera / "Test/4/a_HR.png", picture)
        write_picture(tmp_path / "data" / camera / "Test/4/a_LR4.png", bicubic(picture, 1 / 4))
    with pytest.raises(DataError, match=r"Canon.*a_HR\.png and .*Nikon.*a_HR\.png have one name"):
        prepare(tmp_path / "data", tmp_path / "store", 4, minimum=16)


def test_too_little_disk_space_is_told_before_anything_is_written(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1000))
        with pytest.raises(DataError, match=r"need [\d,]+ bytes, but 1,000 are free") as refusal:
            prepare(pictures, tmp_path / "store", 4, minimum=16)
    assert not (tmp_path / "store").exists()
    prepare(pictures, tmp_path / "store", 4, minimum=16)
    asked = int(str(refusal.value).split(" need ")[1].split(" bytes")[0].replace(",", ""))
    taken = sum(path.stat().st_size for path in (tmp_path / "store").rglob("*.safetensors"))
    assert taken <= asked <= taken + 8192 * 6 + 3 * 50 * 70 * 6 // 10


def test_a_store_that_cannot_be_written_is_named(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="file"):
        prepare(pictures, tmp_path / "file" / "store", 4, minimum=16)


def test_two_processes_may_prepare_one_store_at_once(pictures: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from aesop.data.prepare import prepare; "
        "print(prepare(Path(sys.argv[1]), Path(sys.argv[2]), 4, minimum=16).fingerprint)"
    )
    command = [sys.executable, "-c", code, str(pictures), str(tmp_path / "store")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert printed == {prepare(pictures, tmp_path / "other", 4, minimum=16).fingerprint}
    assert not list((tmp_path / "store").rglob("*.part"))


def test_fingerprint_follows_names_and_pixels_only(pictures: Path, tmp_path: Path) -> None:
    def fingerprint(source: Path, store: str, scale: int = 4) -> str:
        return prepare(source, tmp_path / store, scale, minimum=16).fingerprint

    copy, before = tmp_path / "copy", fingerprint(pictures, "a")
    shutil.copytree(pictures, copy, copy_function=shutil.copyfile)
    assert fingerprint(copy, "b") == before != fingerprint(pictures, "c", scale=2)
    changed = read_picture(pictures / "003.png")
    changed[10, 10, 0] ^= 1
    write_picture(copy / "003.png", changed)
    assert fingerprint(copy, "b") != before
    (copy / "003.png").unlink()
    shutil.copyfile(pictures / "003.png", copy / "003b.png")
    assert fingerprint(copy, "b") != before


def test_split_is_fixed_and_never_holds_out_what_was_trained_on(tmp_path: Path) -> None:
    synthetic_pictures(tmp_path / "pictures", 12, 16)
    data = prepare(tmp_path / "pictures", tmp_path / "store", 4, minimum=16)
    train, held_out = data.split(3)
    assert (len(train), len(held_out)) == (9, 3)
    assert sorted([*train.entries, *held_out.entries], key=lambda e: e.name) == list(data.entries)
    assert data.split(3) == (train, held_out)
    assert [e.name for e in held_out.entries] != ["000.png", "001.png", "002.png"]  # no regular choice of a series
    assert held_out.read(0)[0].shape == (16, 16, 3)
    fewer = data.split(2)[1]
    assert set(fewer.entries) < set(held_out.entries)
    for number in range(12, 40):
        write_picture(tmp_path / "pictures" / f"{number:03d}.png", synthetic_picture(16, 16, seed=number))
    later = prepare(tmp_path / "pictures", tmp_path / "store", 4, minimum=16).split(3)[1]
    assert not set(later.entries) & set(train.entries)
    assert data.split(0) == (data, held_out.__class__(data.folder, 4, ()))
    with pytest.raises(DataError, match="leave none to train on"):
        data.split(12)


def test_default_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AESOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    store = default_store(Path("photos"), 4)
    assert store.parent == tmp_path / "cache"
    assert store.name.startswith("photos-x4-")
    assert store == default_store(tmp_path / "photos", 4, 1)
    others = [default_store(Path("photos"), 2), default_store(Path("photos"), 4, 2), default_store(Path("b/photos"), 4)]
    assert len({store, *others}) == 4
    monkeypatch.delenv("AESOP_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_store(Path("photos"), 4).parent == tmp_path / ".cache" / "aesop"


def test_odd_pictures_are_taken_as_rgb_or_left_out_and_counted(tmp_path: Path) -> None:
    photos, store = tmp_path / "photos", tmp_path / "store"
    plain = synthetic_pictures(photos, 2, 32)
    grey = read_picture(plain[0])[..., 0]
    Image.fromarray(grey).save(photos / "grey.png")
    Image.fromarray(grey).save(photos / "grey.bmp")
    rgba = np.dstack([read_picture(plain[1]), np.full((32, 32), 255, np.uint8)])
    write_picture(photos / "opaque.png", rgba)
    rgba[5, 5, 3] = 254
    write_picture(photos / "glass.png", rgba)
    data = prepare(photos, store, 4, minimum=16)
    names = [entry.name for entry in data.entries]
    assert names == ["000.png", "001.png", "grey.bmp", "grey.png", "opaque.png"]
    np.testing.assert_array_equal(data.read(3)[0], np.dstack([grey] * 3))
    np.testing.assert_array_equal(data.read(4)[0], data.read(1)[0])
    assert (data.left_out, data.transparent) == ((), ("glass.png",))
    for again in (data, prepare(photos, store, 4, minimum=16)):
        assert again == data
        assert again.not_rgb == (
            "2 greyscale pictures become RGB, 1 opaque picture loses its alpha channel, "
            "1 transparent picture is left out: grey.bmp, grey.png; opaque.png; glass.png"
        )
    for path in (*photos.glob("grey*"), photos / "opaque.png", photos / "glass.png"):
        path.unlink()
    assert prepare(photos, store, 4, minimum=16).not_rgb is None
    (tmp_path / "lr").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "lr/000.png")
    Image.new("RGBA", (8, 8)).save(tmp_path / "lr/001.png")
    data = prepare(photos, store, 4, minimum=16, lr=tmp_path / "lr")
    assert ([(e.name, e.grey) for e in data.entries], data.transparent) == ([("000.png", True)], ("001.png",))


def test_folders_that_cannot_be_listed_are_told(pictures: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    store.chmod(0o777)
    with without_access(pictures / "more"):
        data = prepare(pictures, store, 4, minimum=16)
    ((line,), count) = data.unreadable, len(data)
    assert count == 5
    assert line.startswith(f"{pictures / 'more'}: the folder cannot be read")
    with (
        without_access(pictures / "more"),
        pytest.raises(DataError, match=r"none of the 5 pictures is usable.*more: the folder cannot be read"),
    ):
        prepare(pictures, store, 4, minimum=128)
