"""Pictures are read and written in strips, so memory does not grow with their height."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import pyvips

from helpers import BENCHMARKS, memory_is_told
from large import upscaled, written_model, written_picture

SCRIPT = """
import os, pathlib, sys
import pyvips, torch
from aesop.upscaling.pictures.sink import open_sink
from aesop.upscaling.pictures.source import open_source
from large import held

source = open_source(pathlib.Path(sys.argv[1]))
before = held(os.getpid())
info = source.info.resized(source.info.height * 2, source.info.width * 2)
with open_sink(pathlib.Path(sys.argv[2]), info, info.format) as write:
    for strip in source.strips():
        write(strip.repeat(2, 0).repeat(2, 1))
print(held(os.getpid()) - before)
"""


@pytest.mark.long
@memory_is_told
@pytest.mark.parametrize("suffix", ["tif", "jpg", "png", "bmp"])
def test_memory_is_bounded(suffix: str, tmp_path: Path) -> None:
    """The result has 192 megapixels, 576 MB."""
    width, height = 4_000, 12_000
    places = pyvips.Image.xyz(width, height)
    image = (places[0] / 17).bandjoin([places[1] / 50, (places[0] * 3 + places[1]) / 300]).cast("uchar")
    kind = "png" if suffix == "bmp" else suffix
    image.copy(interpretation="srgb").write_to_file(str(tmp_path / f"a.{kind}"))
    key = {"tif": "tiff", "jpg": "jpeg"}.get(suffix, suffix)
    script = SCRIPT.replace("info.format)", f"{key!r})")
    command = [sys.executable, "-c", script, tmp_path / f"a.{kind}", tmp_path / "result"]
    grown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=BENCHMARKS).stdout
    assert float(grown) < 200
    result = pyvips.Image.new_from_file(str(tmp_path / "result")) if suffix != "bmp" else None
    assert result is None or (result.width, result.height) == (2 * width, 2 * height)


@pytest.mark.long
@memory_is_told
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_400_megapixels_take_less_than_2_gigabytes(suffix: str, tmp_path: Path) -> None:
    """Measured for the whole command, including torch, the model and the choice of the engine."""
    picture = written_picture(tmp_path / "a.jpg", 25, across=1)
    model = written_model(tmp_path / "model.safetensors", "tiny")
    _, _, megabytes = upscaled(picture, model, tmp_path, "torch", suffix)
    result = pyvips.Image.new_from_file(str(next((tmp_path / "out").iterdir())))
    assert (result.width, result.height) == (20_000, 20_000)
    assert megabytes < 2_000
