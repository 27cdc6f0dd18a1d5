"""Strips: bounded memory, tiles as large as memory allows, and the same result as for the whole picture."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import pyvips
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from aesop.data.bicubic import resize, resize_strips
from aesop.data.strips import ahead, windows
from aesop.device import is_out_of_memory
from aesop.upscaling.planes import upscale_planes
from aesop.upscaling.room import free_bytes, needed_bytes
from aesop.upscaling.tiles import STEP, Upscaler, upscale_strips, upscale_tiled
from helpers import BENCHMARKS, Repeat, memory_is_told, write_model


class Blur(nn.Module):
    """An x2 network that averages each pixel's neighbourhood."""

    def forward(self, images: Tensor) -> Tensor:
        blurred = nn.functional.avg_pool2d(images, 5, 1, 2, count_include_pad=False)
        return blurred.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)


def in_strips(picture: Tensor, rows: int) -> Iterator[Tensor]:
    return iter(picture.split(rows, dim=1))


def noise(*shape: int, dtype: torch.dtype = torch.uint8) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256 if dtype == torch.uint8 else 65536, shape, generator=generator).to(dtype)


def test_the_next_strip_is_made_while_one_is_used() -> None:
    made = [threading.Event() for _ in range(4)]

    def strips() -> Iterator[Tensor]:
        for number, event in enumerate(made):
            event.set()
            yield torch.tensor([number])
        raise ValueError("damaged")

    following = ahead(strips())
    for number in range(4):
        assert int(next(following)) == number
        assert made[min(number + 1, 3)].wait(5)
    with pytest.raises(ValueError, match="damaged"):
        next(following)


@given(
    height=st.integers(1, 60), rows=st.integers(1, 70), steps=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20)))
)
@settings(max_examples=100, deadline=None)
def test_windows_are_the_rows_that_are_asked_for(height: int, rows: int, steps: list[tuple[int, int]]) -> None:
    picture = torch.arange(height * 2).reshape(1, height, 2)
    ranges, first, stop = [], 0, 1
    for down, more in steps:
        first, stop = first + down, max(stop, first + down + 1 + more)
        if stop <= height:
            ranges.append((first, stop))
    found = list(windows(in_strips(picture, rows), ranges))
    assert len(found) == len(ranges)
    for window, (first, stop) in zip(found, ranges, strict=True):
        assert torch.equal(window, picture[:, first:stop])
    with pytest.raises(ValueError, match=f"ends after {height} rows, before {height + 1}"):
        next(windows(in_strips(picture, rows), [(0, height + 1)]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
@pytest.mark.parametrize("factor", [0.3, 0.75, 1.0, 1.7, 4.0])
def test_resized_in_strips_is_resized(factor: float, dtype: torch.dtype) -> None:
    picture = noise(3, 301, 40, dtype=dtype) if dtype != torch.float32 else torch.rand(3, 301, 40)
    strips = list(resize_strips(in_strips(picture, 7), 301, 40, factor))
    assert torch.equal(torch.cat(strips, dim=1), resize(picture, factor))


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_strips_give_the_whole_pictures_result(bands: int, dtype: torch.dtype) -> None:
    picture = noise(bands, 100, 70, dtype=dtype)
    whole = torch.cat(list(upscale_planes([picture], bands, 100, 70, Upscaler(Blur(), 2), dtype=dtype)), dim=1)
    seen: list[int] = []
    small = Upscaler(Blur(), 2, tile=16)
    strips = upscale_planes(in_strips(picture, 9), bands, 100, 70, small, dtype=dtype, advance=seen.append)
    assert torch.equal(torch.cat(list(strips), dim=1), whole)
    assert sum(seen) == 100 * 70
    if bands >= 3:
        assert torch.equal(whole[:3], upscale_tiled(Blur(), picture[:3], 2, tile=128, overlap=0, dtype=dtype))
    if bands in (2, 4):
        assert torch.equal(whole[-1:], resize(picture[-1:], 2))


def test_only_a_few_rows_are_held() -> None:
    taken = 0

    def rows() -> Iterator[Tensor]:
        nonlocal taken
        for strip in in_strips(noise(3, 400, 30), 10):
            taken += strip.shape[1]
            yield strip

    for number, strip in enumerate(upscale_strips(Blur(), rows(), 400, 30, 2, tile=32, overlap=2), 1):
        assert strip.shape[1] <= 64
        assert taken <= number * 32 + STEP + 10


@pytest.mark.parametrize(
    "message", ["CUDA out of memory.", "[enforce fail at alloc_cpu.cpp:127] can't allocate memory"]
)
def test_tiles_are_halved_where_memory_is_short(message: str) -> None:
    class Small(Blur):
        def forward(self, images: Tensor) -> Tensor:
            if images.shape[-1] * images.shape[-2] > 50 * 50:
                raise torch.OutOfMemoryError(message) if "CUDA" in message else RuntimeError(message)
            seen.append(max(images.shape[-2:]))
            return super().forward(images)

    seen: list[int] = []
    picture = noise(3, 150, 90)
    small = upscale_tiled(Small(), picture, 2, tile=64, overlap=2, dtype=torch.uint8)
    assert torch.equal(small, upscale_tiled(Blur(), picture, 2, tile=200, overlap=0, dtype=torch.uint8))
    assert max(seen) <= 50
    with pytest.raises(torch.OutOfMemoryError, match="smallest tile"):
        upscale_tiled(Small(), noise(3, 90, 90), 2, tile=64, overlap=48)


def test_a_picture_that_stays_whole_has_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where its rows would be many bytes, and not where memory then does not suffice."""
    wide = noise(3, 200, 8000)
    asked = Upscaler(Blur(), 2, tile=8000)
    assert asked.tiling(200, 8000) == (8000, 0)
    monkeypatch.setattr("aesop.upscaling.tiles.ROW_BYTES", 1 << 20)
    assert torch.equal(asked(wide), upscale_tiled(Blur(), wide, 2, tile=64, overlap=16, dtype=torch.uint8))

    class Small(Blur):
        def forward(self, images: Tensor) -> Tensor:
            if images.shape[-1] * images.shape[-2] > 80 * 80:
                raise MemoryError
            return super().forward(images)

    upscaler, small = Upscaler(Blur(), 2), noise(3, 100, 90)
    whole, upscaler.engine = upscaler(small), Small()
    assert upscaler.tiling(100, 90) == (100, 0)
    assert torch.equal(upscaler(small), whole)


def test_other_errors_of_the_model_are_not_hidden() -> None:
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))

    class Broken(Blur):
        def forward(self, images: Tensor) -> Tensor:
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        upscale_tiled(Broken(), noise(3, 90, 90), 2, tile=64, overlap=0)


def test_memory_that_a_network_needs() -> None:
    """Two tensors of 16 channels at a time: the outputs of a convolution and of its activation."""
    network = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 3, padding=1)).eval()
    assert needed_bytes(network, torch.rand(1, 3, 40, 30)) == 40 * 30 * 16 * 4 * 2
    assert needed_bytes(nn.Sequential(nn.ReLU(inplace=True)), torch.rand(1, 3, 9, 9)) == 0


def test_tiles_fit_into_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free = 0
    monkeypatch.setattr("aesop.upscaling.tiles.free_bytes", lambda device: free)
    upscaler = Upscaler(nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 3, padding=1)), 1)
    need = 16 * 4 * 2 * 2  # of a pixel; half of memory is taken
    free = 1 << 40
    assert upscaler.tiling(500, 500) == (500, 0)
    assert upscaler.tiling(5000, 5000) == (384, 16)
    free = 450 * 450 * need
    assert upscaler.tiling(500, 500) == (384, 16)
    free = 200 * 200 * need
    assert upscaler.tiling(500, 500) == (160, 16)
    free = 0
    assert upscaler.tiling(500, 500) == (STEP, 16)
    free = 1 << 40
    monkeypatch.setattr("aesop.upscaling.tiles.MOST_BYTES", 200 * 200 * need // 2)
    assert upscaler.tiling(500, 500) == (160, 16)
    monkeypatch.setattr("aesop.upscaling.tiles.MOST_BYTES", 0)
    assert upscaler.tiling(500, 500) == (128, 16)
    assert free_bytes(torch.device("cpu")) is None or free_bytes(torch.device("cpu")) != 0


SCRIPT = """
import os, sys
import torch
from aesop.upscaling.upscale import upscale
from large import held

torch.set_num_threads(1)
report = upscale(sys.argv[1], sys.argv[2], sys.argv[3], engine="torch", tile=128)
assert report.written, report.failed
print(held(os.getpid()))
"""


@pytest.mark.long
@memory_is_told
def test_memory_is_bounded(tmp_path: Path) -> None:
    """Results of 48 and of 192 MB, with many more rows of tiles than are held at a time, take the same memory."""
    model, peaks = write_model(tmp_path / "model.safetensors"), []
    # Makes glibc return large blocks at once, so that fragmentation of the heap is not measured.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
    for height in (2500, 10000):
        places = pyvips.Image.xyz(400, height)
        image = (places[0] / 2).bandjoin([places[1] / 40, (places[0] + places[1]) / 41]).cast("uchar")
        image.copy(interpretation="srgb").write_to_file(str(tmp_path / f"{height}.tif"))
        command = [sys.executable, "-c", SCRIPT, tmp_path / f"{height}.tif", model, tmp_path / "out"]
        said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=BENCHMARKS)
        peaks.append(float(said.stdout))
        result = pyvips.Image.new_from_file(str(tmp_path / f"out/{height}.tif"))
        assert (result.width, result.height) == (1600, 4 * height)
    assert peaks[1] < peaks[0] + 100


def test_wide_pictures_have_low_rows_of_wide_tiles() -> None:
    """Then a row takes little memory at the same size of tiles; smaller tiles would overlap more."""
    picture = torch.randint(0, 256, (3, 128, 60_000), dtype=torch.uint8)
    seen: list[tuple[int, int]] = []

    def model(images: Tensor) -> Tensor:
        seen.append((images.shape[-2], images.shape[-1]))
        return Repeat()(images)

    strips = list(upscale_strips(model, [picture], 128, 60_000, 2, tile=384, overlap=2, dtype=torch.uint8))
    assert torch.equal(torch.cat(strips, dim=1), model(picture[None])[0])
    *tiles, _ = seen
    assert max(strip.numel() for strip in strips) < 50e6
    square = (384 + 2 * STEP) ** 2
    assert 0.8 * square < max(height * width for height, width in tiles) < 1.2 * square
