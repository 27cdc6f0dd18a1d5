"""Damaged pictures of all formats: each gives a one-sentence error or a complete result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from aesop.errors import AesopError
from picture_files import noise, profile, smooth, through

PER_PICTURE = 60


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


@pytest.mark.long
def test_damaged_pictures_get_a_sentence_or_are_written_whole(tmp_path: Path) -> None:
    for name in ("in", "damaged", "out"):
        (tmp_path / name).mkdir()
    rng = np.random.default_rng(0)
    refused, written = 0, 0
    for original in originals(tmp_path / "in"):
        assert through(original, tmp_path / "out", 1, key="png").stat().st_size > 100
        for number, data in enumerate(damaged(original.read_bytes(), rng)):
            path = tmp_path / "damaged" / f"{number}-{original.name}"
            path.write_bytes(data)
            (tmp_path / "out/result.png").unlink(missing_ok=True)
            began, said = time.monotonic(), None
            try:
                through(path, tmp_path / "out", 1, key="png")
            except AesopError as error:
                said = str(error)
            assert time.monotonic() - began < 20
            if said is None:
                written += 1
                with Image.open(tmp_path / "out/result.png") as image:
                    image.load()
                continue
            refused += 1
            assert said.startswith(str(path))
            assert "\n" not in said
            assert not list((tmp_path / "out").iterdir())
    assert refused > written
    assert refused + written >= 1_000
    print(f"{refused} refused, {written} written")
