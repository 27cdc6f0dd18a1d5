"""Crops per second of our loader, compared with a loader that decodes a PNG file for every crop.

    python benchmarks/loader.py [FOLDER]

Both cut crops of the same size from the same pictures (by default twelve generated ones of 1000 x 700 pixels) in one
process, in turns. Prints medians, minima and maxima. If s3fs and moto are installed
(`pip install s3fs 'moto[s3]' flask flask-cors`), the pictures are also read as tiles from a local S3 server: bytes,
requests and crops per second with none, all or half of the tiles on disk.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import torch

from aesop.data.crops import Crops, batches
from aesop.data.objects import Objects
from aesop.data.pictures import write_picture
from aesop.data.prepare import prepare
from aesop.data.prepared import PreparedData
from aesop.data.tiles import open_tiles, prepare_tiles
from measuring import spread

SCALE, CROP, BATCH = 4, 128, 16
ROUNDS, SECONDS = 7, 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", type=Path, nargs="?")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        source = asked.folder or make_pictures(work / "pictures")
        data = prepare(source, work / "store", SCALE, minimum=CROP)
        print(f"{len(data)} pictures of {source}, HR crops of {CROP}, scale {SCALE}, one process")

        crops = Crops(data, CROP, seed=0)
        files = write_png_pairs(data, work / "png")
        rng = np.random.default_rng(0)

        def ours(iteration: int) -> None:
            for _ in batches(crops, BATCH, iteration * 50, iteration * 50 + 50, workers=0):
                pass

        def decoding(_: int) -> None:
            pairs = [decode_and_crop(files, rng) for _ in range(BATCH)]
            for images in zip(*pairs, strict=True):
                torch.from_numpy(np.stack(images))

        fast, slow = rates((ours, 50 * BATCH), (decoding, BATCH))
        print(f"prepared arrays:   {spread(fast, 0)} crops/s")
        print(f"PNG per crop:      {spread(slow, 0)} crops/s")
        print(f"ratio:             {spread([a / b for a, b in zip(fast, slow, strict=True)], 1)}")
        if find_spec("moto") and find_spec("s3fs"):
            from_s3(source, work)
        else:
            print("tiles from S3: skipped, s3fs or moto is not installed")


def from_s3(source: Path, work: Path) -> None:
    """Print what tiles from a local S3 server cost."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ.update(AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.1)
        from fsspec.core import url_to_fs

        url_to_fs("s3://bucket")[0].mkdir("bucket")
        started = time.perf_counter()
        pictures, count, _ = prepare_tiles(source, "s3://bucket/tiles", SCALE)
        seconds = time.perf_counter() - started
        tiles = open_tiles("s3://bucket/tiles", work / "kept", SCALE, minimum=CROP)
        blobs = [len(Objects("s3://bucket/tiles").read(f"tiles/{entry.file}")) for entry in tiles.entries]
        index = len(Objects("s3://bucket/tiles").read("tiles.json"))
        print(
            f"\n{count} tiles of {pictures} pictures, cut and sent in {seconds:.1f} s ({count / seconds:.0f} tiles/s)"
        )
        print(f"per tile: {statistics.mean(blobs):,.0f} bytes, {index / count:.0f} bytes of the index, 1 request")

        def crops_per_second(data: PreparedData, workers: int = 0, batch_count: int = 40) -> float:
            started = time.perf_counter()
            for _ in batches(Crops(data, CROP, seed=0), BATCH, 0, batch_count, workers=workers):
                pass
            return batch_count * BATCH / (time.perf_counter() - started)

        started = time.perf_counter()
        tiles.read_all(range(count))
        seconds = time.perf_counter() - started
        megabytes = sum(blobs) / seconds / 1e6
        print(f"none on disk:    {count / seconds:9.0f} tiles/s, {megabytes:.0f} MB/s, one crop per tile")
        crops_per_second(tiles)
        print(f"all on disk:     {crops_per_second(tiles, batch_count=1000):9.0f} crops/s")
        for workers in (0, 2):
            half = replace(tiles, folder=work / f"half{workers}", limit=sum(blobs) // 2)
            crops_per_second(half)
            print(f"half on disk:    {crops_per_second(half, workers):9.0f} crops/s, data.workers={workers}")
    finally:
        server.terminate()
        server.wait()


def make_pictures(folder: Path) -> Path:
    """Write twelve noisy pictures, whose PNG files are about as large as those of photographs."""
    for number in range(12):
        rng = np.random.default_rng(number)
        smooth = cv2.resize(rng.uniform(0, 255, (14, 20, 3)), (1000, 700), interpolation=cv2.INTER_CUBIC)
        picture = (smooth + rng.normal(0, 4, smooth.shape)).round().clip(0, 255).astype(np.uint8)
        write_picture(folder / f"{number}.png", picture)
    return folder


def write_png_pairs(data: PreparedData, folder: Path) -> list[tuple[Path, Path]]:
    """Write the same HR and LR pictures as PNG files, for a loader without preparation."""
    pairs = []
    for index in range(len(data)):
        pair = (folder / f"hr/{index}.png", folder / f"lr/{index}.png")
        for path, picture in zip(pair, data.read(index), strict=True):
            write_picture(path, picture)
        pairs.append(pair)
    return pairs


def decode_and_crop(files: list[tuple[Path, Path]], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Decode a random pair of files with OpenCV, as BasicSR does, and cut an aligned crop."""
    hr, lr = (cv2.imread(str(path), cv2.IMREAD_COLOR) for path in files[rng.integers(len(files))])
    if hr is None or lr is None:
        raise RuntimeError("a file that was just written cannot be read")
    side = CROP // SCALE
    top, left = rng.integers(lr.shape[0] - side + 1), rng.integers(lr.shape[1] - side + 1)
    small = lr[top : top + side, left : left + side]
    large = hr[top * SCALE : top * SCALE + CROP, left * SCALE : left * SCALE + CROP]
    return (
        np.ascontiguousarray(small[..., ::-1].transpose(2, 0, 1)),
        np.ascontiguousarray(large[..., ::-1].transpose(2, 0, 1)),
    )


def rates(*works: tuple[Callable[[int], None], int]) -> list[list[float]]:
    """Crops per second of works, each with its crops a call: they take turns of `SECONDS`, after one call each."""
    for work, _ in works:
        work(0)
    found: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for (work, crops), reached in zip(works, found, strict=True):
            started, calls = time.perf_counter(), 0
            while time.perf_counter() - started < SECONDS:
                calls += 1
                work(calls)
            reached.append(calls * crops / (time.perf_counter() - started))
    return found


if __name__ == "__main__":
    main()
