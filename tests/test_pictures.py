"""Reading and writing pictures against Pillow, OpenCV and the formats' own promises."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from aesop.data.pictures import (
    PictureAccessError,
    find_pictures,
    is_transparent,
    read_header,
    read_picture,
    to_float,
    to_levels,
    to_picture,
    to_planes,
    write_picture,
)
from aesop.errors import DataError
from helpers import synthetic_picture, without_access


@pytest.fixture
def picture() -> np.ndarray:
    return synthetic_picture(60, 84, seed=1)


def test_png_of_every_8_bit_kind_equals_pillow(tmp_path: Path, picture: np.ndarray) -> None:
    image = Image.fromarray(picture)
    transparent = Image.fromarray(np.dstack([picture, picture[::-1, :, 1]]))
    kinds = {
        "rgb": image,
        "grey": image.convert("L"),
        "palette": image.quantize(40),
        "palette-alpha": image.quantize(40),
        "bits": image.convert("1"),
        "rgba": transparent,
        "grey-alpha": transparent.convert("LA"),
    }
    for name, kind in kinds.items():
        path = tmp_path / f"{name}.png"
        if name == "palette-alpha":
            kind.info["transparency"] = 3
        kind.save(path)
        with Image.open(path) as opened:
            np.testing.assert_array_equal(read_picture(path), np.asarray(opened.convert("RGBA"))[..., :3], name)
            expected = np.asarray(opened.convert("RGBA" if name.endswith(("rgba", "alpha")) else "RGB"))
        np.testing.assert_array_equal(read_picture(path, alpha=True), expected, name)
        header = read_header(path)
        assert (header.height, header.width, header.deep) == (60, 84, False)
        assert header.grey == (name.startswith("grey") or name == "bits")
        assert header.alpha == is_transparent(path) == name.endswith(("rgba", "alpha"))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_is_rounded_to_8(tmp_path: Path, suffix: str) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (40, 50, 4), dtype=np.uint16)
    deep[0, :3] = [[0] * 4, [65535] * 4, [257 * 100] * 4]
    expected = np.rint(deep / 65535 * 255).astype(np.uint8)
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), deep[..., 0])
    np.testing.assert_array_equal(read_picture(path), np.repeat(expected[..., :1], 3, axis=2))
    cv2.imwrite(str(path), deep[..., 2::-1])  # OpenCV's order is BGR
    np.testing.assert_array_equal(read_picture(path, alpha=True), expected[..., :3])
    cv2.imwrite(str(path), deep[..., [2, 1, 0, 3]])
    np.testing.assert_array_equal(read_picture(path, alpha=True), expected)
    assert read_header(path).deep
    deep[..., 3] = 65535
    cv2.imwrite(str(path), deep)
    assert read_header(path).alpha
    assert not is_transparent(path)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "a.tiff", "a.bmp", "a.JPG", "a.jpeg"])
def test_written_pictures_come_back(tmp_path: Path, picture: np.ndarray, name: str) -> None:
    path = tmp_path / "new" / name
    write_picture(path, picture)
    assert [p.name for p in path.parent.iterdir()] == [name]
    back = read_picture(path)
    with Image.open(path) as opened:
        theirs = np.asarray(opened.convert("RGB"))
    if path.suffix.lower() in (".jpg", ".jpeg"):
        assert np.abs(back.astype(int) - picture).mean() < 3
        np.testing.assert_allclose(back.astype(int), theirs, atol=2)  # two decoders
    else:
        np.testing.assert_array_equal(back, picture)
        np.testing.assert_array_equal(theirs, picture)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
def test_alpha_and_grey_come_back(tmp_path: Path, picture: np.ndarray, name: str) -> None:
    transparent = np.dstack([picture, picture[..., 0]])
    write_picture(tmp_path / name, transparent)
    np.testing.assert_array_equal(read_picture(tmp_path / name, alpha=True), transparent)
    np.testing.assert_array_equal(read_picture(tmp_path / name), picture)
    for grey in (picture[..., 0], picture[..., :1]):
        write_picture(tmp_path / name, grey)
        np.testing.assert_array_equal(read_picture(tmp_path / name), np.repeat(picture[..., :1], 3, axis=2))


def test_exif_orientation_is_applied(tmp_path: Path, picture: np.ndarray) -> None:
    turned, path = picture.transpose(1, 0, 2), tmp_path / "a.tif"
    upright = (picture, picture[:, ::-1], picture[::-1, ::-1], picture[::-1])
    for orientation, expected in enumerate((*upright, turned, turned[:, ::-1], turned[::-1, ::-1], turned[::-1]), 1):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(picture).save(path, exif=exif)
        np.testing.assert_array_equal(read_picture(path), expected)
        assert (read_header(path).height, read_header(path).width) == expected.shape[:2]


def test_profiles_are_converted_to_srgb(tmp_path: Path, picture: np.ndarray) -> None:
    image = Image.fromarray(picture)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    image.save(tmp_path / "same.png", icc_profile=srgb.tobytes())
    np.testing.assert_array_equal(read_picture(tmp_path / "same.png"), picture)

    # Swap the red and the blue primary: a profile whose effect is seen and known.
    swapped = srgb.tobytes().replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    image.save(tmp_path / "swapped.png", icc_profile=swapped)
    np.testing.assert_allclose(read_picture(tmp_path / "swapped.png").astype(int), picture[..., ::-1], atol=1)

    transparent = np.dstack([picture, picture[..., 0]])
    Image.fromarray(transparent).save(tmp_path / "alpha.png", icc_profile=swapped)
    np.testing.assert_array_equal(read_picture(tmp_path / "alpha.png", alpha=True)[..., 3], transparent[..., 3])

    image.save(tmp_path / "broken.png", icc_profile=b"nonsense")
    np.testing.assert_array_equal(read_picture(tmp_path / "broken.png"), picture)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:8, :, 3] = 255  # black above, white below
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.tif")
    back = read_picture(tmp_path / "a.tif")
    assert (back.shape, back[:8].max() < 60, back[8:].min() > 240) == ((16, 16, 3), True, True)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.bmp"])
@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.95])
def test_files_cut_short_are_refused(tmp_path: Path, name: str, part: float) -> None:
    path = tmp_path / name
    write_picture(path, synthetic_picture(200, 200, seed=2))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(DataError, match=rf"{name}: no complete picture \([^\n]+\); replace the file or remove it\.$"):
        read_picture(path)


def test_damaged_missing_and_other_files_are_refused(tmp_path: Path, picture: np.ndarray) -> None:
    write_picture(tmp_path / "a.png", picture)
    damaged = bytearray((tmp_path / "a.png").read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(damaged)
    (tmp_path / "c.jpg").write_text("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")
    for name, message in (
        ("a.png", "no complete picture"),
        ("b.png", "no such file"),
        ("c.jpg", "no complete picture"),
    ):
        with pytest.raises(DataError, match=f"{name}: {message}"):
            read_picture(tmp_path / name)


def test_a_changed_file_is_read_anew(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "a.png"
    for version in (picture, picture[::-1], picture[:10]):
        write_picture(path, version)
        np.testing.assert_array_equal(read_picture(path), version)


def test_what_cannot_be_written_is_refused(tmp_path: Path, picture: np.ndarray) -> None:
    for name, wrong, kind, message in (
        ("a.gif", picture, DataError, r"\.gif"),
        ("a.jpg", np.dstack([picture, picture[..., 0]]), DataError, "transparency"),
        ("a.webp", np.zeros((2, 20_000, 3), np.uint8), DataError, r"a\.webp: cannot be written"),
        ("a.png", picture / 255, ValueError, "uint8"),
        ("a.png", picture[..., :2], ValueError, "H x W"),
    ):
        with pytest.raises(kind, match=message):
            write_picture(tmp_path / name, wrong)
    assert list(tmp_path.iterdir()) == []


def test_find_pictures(tmp_path: Path, picture: np.ndarray) -> None:
    with pytest.raises(DataError, match="no such folder"):
        find_pictures(tmp_path / "missing")
    with pytest.raises(DataError, match="no pictures"):
        find_pictures(tmp_path)
    for name in ("b.png", "a/z.JPG", "a/b/c.webp", ".hidden.png", ".cache/d.png"):
        write_picture(tmp_path / name, picture)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    found = [p.relative_to(tmp_path).as_posix() for p in find_pictures(tmp_path)]
    assert found == ["a/b/c.webp", "a/z.JPG", "b.png"]


def cut_bmp(width: int, height: int) -> bytes:
    """A BMP file's header and none of its pixels."""
    return b"BM" + struct.pack("<IHHI IiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 2835, 2835, 0, 0)


def cut_png(width: int, height: int) -> bytes:
    """A PNG file's header and the beginning of its pixels."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"0" * 99)))
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(("name", "cut"), [("a.bmp", cut_bmp), ("a.png", cut_png)])
def test_huge_pictures_are_refused(tmp_path: Path, name: str, cut: Callable[[int, int], bytes]) -> None:
    path = tmp_path / name
    path.write_bytes(cut(19000, 19000))  # more than Pillow's own limit, less than ours
    assert (read_header(path).height, read_header(path).width) == (19000, 19000)
    with pytest.raises(DataError, match=rf"{name}: no complete picture"):
        read_picture(path)
    path.write_bytes(cut(21000, 21000))
    for read in (read_picture, read_header):
        with pytest.raises(DataError, match="21000 x 21000 pixels are more than 400 million"):
            read(path)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX systems only")
@pytest.mark.parametrize("name", [b"caf\xe9.png", b"caf\xe9.bmp", b"a[page=1].png"])
def test_names_may_be_any_bytes(tmp_path: Path, picture: np.ndarray, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    write_picture(path, picture)
    assert find_pictures(tmp_path) == [path]
    np.testing.assert_array_equal(read_picture(path), picture)
    assert read_header(path).height == 60
    path.write_bytes(b"corrupt")
    with pytest.raises(DataError, match="no complete picture") as refusal:
        read_picture(path)
    assert name.decode("utf-8", "backslashreplace") in str(refusal.value)


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX systems")
def test_folders_that_cannot_be_listed_are_named(tmp_path: Path, picture: np.ndarray) -> None:
    write_picture(tmp_path / "set/a.png", picture)
    write_picture(tmp_path / "set/locked/b.png", picture)
    unreadable: list[str] = []
    with without_access(tmp_path / "set/locked"):
        assert find_pictures(tmp_path / "set", unreadable) == [tmp_path / "set/a.png"]
        assert [line.split(";")[0] for line in unreadable] == [
            f"{tmp_path}/set/locked: the folder cannot be read (Permission denied)"
        ]
        for folder in (tmp_path / "set", tmp_path / "set/locked"):
            with pytest.raises(PictureAccessError, match="locked: the folder cannot be read"):
                find_pictures(folder)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file here whose reading fails")
def test_what_the_system_refuses_is_told_from_a_corrupt_file(tmp_path: Path, picture: np.ndarray) -> None:
    (tmp_path / "a.png").symlink_to("/proc/self/mem")
    (tmp_path / "b.png").write_bytes(b"corrupt")
    for read in (read_picture, read_header):
        with pytest.raises(PictureAccessError, match=r"a\.png: cannot be read \(Input/output error\)"):
            read(tmp_path / "a.png")
        with pytest.raises(DataError, match="no complete picture") as refusal:
            read(tmp_path / "b.png")
        assert not isinstance(refusal.value, PictureAccessError)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_planes_and_back(channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    picture.flags.writeable = False
    planes = to_planes(picture)
    assert planes.is_contiguous()
    np.testing.assert_array_equal(planes.numpy(), np.moveaxis(picture, 2, 0))
    np.testing.assert_array_equal(to_picture(planes), picture)
    planes.add_(1)  # their own memory
    np.testing.assert_array_equal(to_planes(picture) + 1, planes)


def test_levels_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert to_float(levels).dtype == torch.float32
    torch.testing.assert_close(to_float(levels).double(), levels.double() / 255, rtol=1e-7, atol=0)
    assert torch.equal(to_levels(to_float(levels)), levels)
    assert to_levels(torch.tensor([-1.0, 0.6 / 255, 2.0])).tolist() == [0, 1, 255]
