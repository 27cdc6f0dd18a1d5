"""Damaged pictures of all formats: each gives a one-sentence error or a complete result."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from aesop.networks.loading import LoadedGenerator
from aesop.upscaling.upscale import upscale
from helpers import Repeat
from picture_files import HOSTILE_XMP, noise, profile, smooth

PER_PICTURE = 60
MODEL = LoadedGenerator(Repeat(), 2, "repeat", Path("twice.pth"), "")
RESOLUTIONS = (72.0, float("inf"), 1e300, 4e9, 0.0, -1.0, 1e-300)


def originals(folder: Path) -> list[Path]:
    """At least one picture of every format, with metadata."""
    exif = Image.Exif()
    exif[0x10F], exif[0x112] = "Maker", 6
    exif.get_ifd(0x8769)[0xA002] = 40
    image, how = Image.fromarray(smooth(48, 40)), {"exif": exif, "icc_profile": profile("p3"), "xmp": b"<x:xmpmeta/>"}
    for suffix in ("png", "jpg", "webp", "tif", "avif", "bmp"):
        image.save(folder / f"rich.{suffix}", **how)
    image.save(folder / "progressive.jpg", progressive=True, icc_profile=profile("linear"))
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.quantize(9).save(folder / "palette.gif")
    image.quantize(9).save(folder / "palette.bmp")
    image.convert("1").save(folder / "bilevel.tif", compression="group4")
    Image.fromarray(noise(48, 40, 4)).save(folder / "alpha.png")
    Image.fromarray(noise(48, 40, 4)).save(folder / "alpha.webp", lossless=True)
    cv2.imwrite(str(folder / "deep.png"), noise(48, 40, 3, dtype=np.uint16))
    tifffile.imwrite(folder / "tiled.tif", noise(48, 40, 3), photometric="rgb", tile=(16, 16), bigtiff=True)
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.from_pillow(image).save(folder / "a.heic", exif=exif.tobytes())
    with suppress(ImportError):
        import pillow_jxl  # noqa: F401 - makes Pillow write it

        image.save(folder / "a.jxl")
    return sorted(folder.iterdir())


def damaged(data: bytes, rng: np.random.Generator) -> Iterator[bytes]:
    """Truncate, change bytes (mostly early ones), double, zero or remove parts, or make numbers huge."""
    for number in range(PER_PICTURE):
        early = min(len(data), 100 if number % 2 else 1_000_000)
        start, stop = sorted(rng.integers(4, early, 2))
        result = bytearray(data)
        match number % 6:
            case 0:
                result = result[: rng.integers(0, len(data))]
            case 1 | 2:
                for place in rng.integers(4, early, rng.integers(1, 9)):
                    result[place] = rng.integers(256)
            case 3:
                result[start:stop] = bytes(stop - start) if rng.integers(2) else b"\xff" * (stop - start)
            case 4:
                result[start:start] = data[start:stop]
            case 5:
                del result[start:stop]
        yield bytes(result)


def with_odd_metadata(folder: Path, rng: np.random.Generator, count: int) -> list[Path]:
    """Intact pixels beside EXIF, XMP and resolution that are damaged or hostile."""
    exif = Image.Exif()
    exif[0x10E], exif[0x10F], exif[0x112], exif[0x11A] = "words " * 9, "Maker", 6, 72.5
    exif.get_ifd(0x8769).update({0x9003: "2020:02:03 04:05:06", 0xA002: 24, 0x927C: bytes(range(200)), 0x829A: 0.004})
    exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 30.0, 1.5)})
    whole = bytearray(exif.tobytes())
    image = Image.fromarray(smooth(12, 10))
    for number in range(count):
        damaged = whole.copy()
        for place in rng.integers(14, len(damaged), rng.integers(1, 5)):
            damaged[place] = rng.integers(256)
        hostile = HOSTILE_XMP[number % len(HOSTILE_XMP)]
        xmp = b"<rdf:RDF>" + hostile * (60_000 // len(hostile)) + b"</rdf:RDF>"
        value = RESOLUTIONS[number % len(RESOLUTIONS)]
        texts, tags = PngInfo(), ImageFileDirectory_v2()
        texts.add_itxt("XML:com.adobe.xmp", xmp.decode())
        texts.add(b"pHYs", struct.pack(">IIB", *[int(min(max(value, 0), 0xFFFF_FFFF))] * 2, 1))
        for tag in (282, 283):
            tags.tagtype[tag] = 12
            tags[tag] = value
        tags[700] = xmp
        image.save(folder / f"{number}.png", exif=bytes(damaged), pnginfo=texts)
        for suffix in ("jpg", "webp", "avif")[: 2 + (number == 0)]:  # AVIF takes its time
            image.save(folder / f"{number}.{suffix}", exif=bytes(damaged), xmp=xmp)
        image.save(folder / f"{number}.tif", tiffinfo=tags)
        image.save(folder / f"{number}.bmp")
        with (folder / f"{number}.bmp").open("r+b") as file:
            file.seek(38)
            file.write(rng.bytes(8))
    return sorted(folder.iterdir())


def assert_each_is_written_or_refused(inputs: list[Path], out: Path, **how: Any) -> tuple[int, int]:
    """Upscale the pictures as a user does. How many were refused, each in a sentence, and written, each whole."""
    began = time.process_time()
    report = upscale(inputs, MODEL, out, engine="torch", overwrite=True, **how)
    assert time.process_time() - began < 0.2 * len(inputs) + 5
    assert len(report.written) + len(report.failed) == len(inputs)
    for path, said in report.failed.items():
        assert path.stem in said
        assert "\n" not in said
        assert "cannot be upscaled (" not in said  # an error that nobody foresaw
    assert sorted(report.written) == sorted(out.iterdir())
    for path in report.written:
        with Image.open(path) as image:
            image.load()
    return len(report.failed), len(report.written)


@pytest.mark.parametrize("key", [None, "tiff", "bmp"])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_odd_metadata_never_stops_a_folder(key: str | None, tmp_path: Path) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    inputs = with_odd_metadata(tmp_path / "in", np.random.default_rng(0), 20)
    refused, written = assert_each_is_written_or_refused(inputs, tmp_path / "out", format=key)
    assert refused < written / 4


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_pictures_get_a_sentence_or_are_written_whole(tmp_path: Path) -> None:
    """In their own format."""
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    refused, written = 0, 0
    for original in originals(tmp_path / "in"):
        folder, out = tmp_path / f"damaged {original.name}", tmp_path / f"out {original.name}"
        for made in (folder, out):
            made.mkdir()
        assert assert_each_is_written_or_refused([original], out) == (0, 1)
        next(out.iterdir()).unlink()
        for number, data in enumerate(damaged(original.read_bytes(), rng)):
            (folder / f"{number}-{original.name}").write_bytes(data)
        counts = assert_each_is_written_or_refused(sorted(folder.iterdir()), out)
        refused, written = refused + counts[0], written + counts[1]
    assert refused > written
    assert refused + written >= 1_000
    print(f"{refused} refused, {written} written")
