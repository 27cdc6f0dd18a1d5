"""Colours of upscaled pictures: their profiles are kept, and computing is in sRGB."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from aesop.upscaling.pictures.source import open_source
from picture_files import noise, profile, repeated, smooth, through

RELATIVE: dict[str, Any] = {"renderingIntent": ImageCms.Intent.RELATIVE_COLORIMETRIC}


def test_wide_gamuts_lose_no_colour(tmp_path: Path) -> None:
    """Colours outside sRGB come back exactly; a conversion to sRGB would clip them."""
    pixels = smooth(40, 64)
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=profile("p3"))
    with Image.open(through(tmp_path / "a.png", tmp_path)) as image:
        assert np.array_equal(np.asarray(image), repeated(pixels))
        assert image.info["icc_profile"] == profile("p3")


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_linear_light_is_computed_in_srgb(suffix: str, tmp_path: Path) -> None:
    pixels = smooth(40, 64)
    linear = profile("linear")
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}", icc_profile=linear)
    source = open_source(tmp_path / f"a.{suffix}")
    light = pixels / 255
    srgb = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(source.read() / 65535 - srgb).max() < 0.003
    with Image.open(through(tmp_path / f"a.{suffix}", tmp_path)) as image:
        assert np.abs(np.asarray(image).astype(int) - repeated(pixels)).max() <= 1
        assert image.info["icc_profile"] == linear


def test_cmyk_becomes_srgb_through_its_profile(tmp_path: Path) -> None:
    cmyk = Image.fromarray(np.concatenate([smooth(40, 64), smooth(40, 64)[..., :1] // 3], 2), "CMYK")
    own = ImageCms.ImageCmsProfile(BytesIO(profile("cmyk")))
    how: dict[str, Any] = {**RELATIVE, "flags": ImageCms.Flags.NOOPTIMIZE}
    expected = ImageCms.profileToProfile(cmyk, own, ImageCms.createProfile("sRGB"), outputMode="RGB", **how)
    assert expected is not None
    for how in ({"icc_profile": profile("cmyk")}, {}):
        cmyk.save(tmp_path / "a.tif", **how)  # type: ignore[arg-type]
        with Image.open(through(tmp_path / "a.tif", tmp_path)) as image:
            assert image.mode == "RGB"
            assert "icc_profile" not in image.info
            difference = np.abs(np.asarray(image).astype(int) - repeated(np.asarray(expected)))
            assert difference.mean() < 0.4
            assert (difference <= 2).mean() > 0.98  # clipped to sRGB, dark levels are steep
    cmyk.save(tmp_path / "a.jpg", icc_profile=profile("cmyk"), quality=100)
    with Image.open(through(tmp_path / "a.jpg", tmp_path)) as image:
        assert np.abs(np.asarray(image).astype(int) - repeated(np.asarray(expected))).mean() <= 3


def test_a_broken_profile_is_ignored(tmp_path: Path) -> None:
    for broken in (b"no profile", profile("cmyk"), profile("p3")[:200]):
        Image.fromarray(noise(9, 9, 3)).save(tmp_path / "a.png", icc_profile=broken)
        with Image.open(through(tmp_path / "a.png", tmp_path)) as image:
            assert np.array_equal(np.asarray(image), repeated(noise(9, 9, 3)))
            assert "icc_profile" not in image.info


def test_grey_with_a_profile_stays_grey(tmp_path: Path) -> None:
    grey = profile_of_grey()
    Image.fromarray(noise(9, 9)).save(tmp_path / "a.png", icc_profile=grey)
    source = open_source(tmp_path / "a.png")
    assert source.info.working_profile is None  # linear light
    with Image.open(through(tmp_path / "a.png", tmp_path)) as image:
        assert image.mode == "L"
        assert image.info["icc_profile"] == grey
        assert np.abs(np.asarray(image).astype(int) - repeated(noise(9, 9))).max() <= 1


def profile_of_grey() -> bytes:
    """A profile of linear grey (ICC.1, version 2): white point and tone curve."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, 256, 0)
    words = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"g\0" + bytes(78)
    words += bytes(-len(words) % 4)
    rest, table = b"", struct.pack(">I", 3)
    for name, data in ((b"desc", words), (b"wtpt", white), (b"kTRC", curve)):
        table += name + struct.pack(">II", 128 + 40 + len(rest), len(data))
        rest += data
    head = struct.pack(
        ">I4sI4s4s4s12s4s", 128 + 40 + len(rest), b"lcms", 0x02400000, b"mntr", b"GRAY", b"XYZ ", bytes(12), b"acsp"
    )
    return head + bytes(68 - len(head)) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48) + table + rest
