"""Tiles in object storage: on an S3 server if moto and s3fs are installed, and always at a folder's address."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import torch

import aesop.data.objects
from aesop.cli import main
from aesop.data.crops import Crops, batches
from aesop.data.objects import Objects, address_of
from aesop.data.pairs import Pair
from aesop.data.prepare import prepare
from aesop.data.prepared import PreparedData
from aesop.data.tiles import Tiles, open_tiles, prepare_tiles
from aesop.errors import DataError, MissingExtraError, RunError
from aesop.run import Run
from helpers import synthetic_pictures
from stopping import SECTION, stop_at
from tiny_training import OUTPUTS, run_tiny, same_files

SIZES = ((48, 48), (100, 72), (33, 130))


@pytest.fixture(params=["file", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty place for objects."""
    monkeypatch.setattr(aesop.data.objects, "WAITS", (0.0,))
    if request.param == "file":
        yield f"file://{tmp_path}/objects"
        return
    server, bucket = s3_server(monkeypatch)
    yield f"s3://{bucket}/prefix"
    server.stop()


def s3_server(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, str]:
    """Start a server that this process uses as S3; return it and the name of an empty bucket."""
    s3 = pytest.importorskip("s3fs", reason="s3fs, of the extra `cloud`, is not installed").S3FileSystem
    moto = pytest.importorskip("moto.server", reason="no S3 server: pip install 'moto[s3]' flask flask-cors")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {"ENDPOINT_URL": f"http://{host}:{port}", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b",
                        "DEFAULT_REGION": "us-east-1"}.items():  # fmt: skip
        monkeypatch.setenv(f"AWS_{name}", value)
    s3.clear_instance_cache()
    bucket = f"bucket-{uuid4()}"
    s3().mkdir(bucket)
    return server, bucket


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for number, size in enumerate(SIZES):
        synthetic_pictures(folder / str(number), 1, size, seed=number)
    return folder


def opened(address: str, tmp_path: Path, **settings: int) -> Tiles:
    return open_tiles(address, tmp_path / "kept", 4, **{"minimum": 24, **settings})


def test_tiles_together_are_the_pictures(pictures: Path, address: str, tmp_path: Path):
    assert prepare_tiles(pictures, address, 4, tile=40) == (3, 8, [])
    tiles, whole = opened(address, tmp_path), prepare(pictures, tmp_path / "store", 4, minimum=24)
    assert {entry.name.rpartition(" [")[0] for entry in tiles.entries} == {entry.name for entry in whole.entries}
    for index, entry in enumerate(whole.entries):
        for number, scale in enumerate((1, 4)):
            expected = whole.read(index)[number]
            together = np.zeros_like(expected)
            for place, tile in enumerate(tiles.entries):
                name, top, left = re.split(r" \[|,|\]", tile.name)[:3]
                if name == entry.name:
                    assert 26 < tile.height < 61 or tile.height == entry.height
                    piece = tiles.read(place)[number]
                    row, column = int(top) // scale, int(left) // scale
                    assert not together[row : row + piece.shape[0], column : column + piece.shape[1]].any()
                    together[row : row + piece.shape[0], column : column + piece.shape[1]] = piece
            assert np.array_equal(together, expected)


@pytest.mark.parametrize("workers", [0, 1])
def test_crops_are_those_of_a_local_store(pictures: Path, address: str, tmp_path: Path, workers: int):
    prepare_tiles(pictures, address, 4, tile=40)
    tiles = opened(address, tmp_path)
    local = PreparedData(tmp_path / "local", 4, tiles.entries)
    local.folder.mkdir()
    for entry in tiles.entries:
        (local.folder / entry.file).write_bytes(Objects(address).read(f"tiles/{entry.file}"))
    far, near = (
        list(batches(Crops(data, 24, seed=3), 5, 2, 8, workers=count, rank=1, world=2))
        for data, count in ((tiles, workers), (local, 0))
    )
    assert len(far) == 6
    for one, other in zip(far, near, strict=True):
        assert all(map(torch.equal, one, other))


def test_an_index_of_another_scale_is_not_replaced_and_a_damaged_record_is_cut_again(
    pictures: Path, address: str, tmp_path: Path
):
    prepare_tiles(pictures, address, 4, tile=40)
    with pytest.raises(DataError, match="has tiles of scale 4, not 2; prepare others at another address"):
        prepare_tiles(pictures, address, 2, tile=40)
    expected = opened(address, tmp_path).fingerprint
    for name in Objects(address).names("pictures"):
        Objects(address).write(name, b"{damaged")
    prepare_tiles(pictures, address, 4, tile=40)
    assert opened(address, tmp_path).fingerprint == expected


@pytest.mark.parametrize(
    "tile", [[0, 0, 128], [0, 0, 32, 32, "../../mine"], [0, 0, 32, 32, "/tmp/mine"], [0, 0, "x", 32, "0" * 64], [3]]
)
def test_a_hostile_or_damaged_index_is_one_sentence(pictures: Path, tmp_path: Path, tile: list[object]):
    address = f"file://{tmp_path}/objects"
    prepare_tiles(pictures, address, 4, tile=40)
    index = json.loads(Objects(address).read("tiles.json"))
    index["pictures"][0]["tiles"][0] = tile
    Objects(address).write("tiles.json", json.dumps(index).encode())
    with pytest.raises(DataError, match=r"tiles\.json: is damaged"):
        opened(address, tmp_path)


def test_files_of_others_stay_in_the_folder_and_a_tile_cut_short_is_fetched_again(pictures: Path, tmp_path: Path):
    address = f"file://{tmp_path}/objects"
    prepare_tiles(pictures, address, 4, tile=40)
    tiles, mine = opened(address, tmp_path), tmp_path / "kept" / "mymodel.safetensors"
    mine.parent.mkdir()
    mine.write_bytes(bytes(10**6))
    expected = [tiles.read(index) for index in range(len(tiles))]
    assert mine.is_file()
    first = tmp_path / "kept" / tiles.entries[0].file
    first.write_bytes(first.read_bytes()[:100])
    again = opened(address, tmp_path)
    for _ in range(2):
        assert all(map(np.array_equal, again.read(0), expected[0]))
    assert first.stat().st_size > 100


def test_a_worker_that_finds_no_object_says_so(pictures: Path, tmp_path: Path):
    address = f"file://{tmp_path}/objects"
    prepare_tiles(pictures, address, 4, tile=40)
    for path in (tmp_path / "objects" / "tiles").iterdir():
        path.unlink()
    with pytest.raises(DataError) as caught:
        list(batches(Crops(opened(address, tmp_path), 24, seed=3), 5, 0, 2, workers=1))
    assert str(caught.value).startswith(address)
    assert "\n" not in str(caught.value)


def test_the_folder_keeps_to_its_bound_and_what_was_read_last(pictures: Path, address: str, tmp_path: Path):
    prepare_tiles(pictures, address, 4, tile=40)
    whole, sizes = opened(address, tmp_path / "whole"), []
    expected = [whole.read(index) for index in range(len(whole))]
    largest = max(4 * entry.height * entry.width for entry in whole.entries)
    with pytest.raises(DataError, match=r"--store-size: .* bytes are too few for 8 tiles"):
        opened(address, tmp_path, limit=largest)
    # For the folder, opening it several times is like several processes.
    several = [replace(opened(address, tmp_path), limit=3 * largest, checked=set()) for _ in range(3)]

    def read(number: int) -> bool:
        index = number * 7 % len(whole)
        right = all(map(np.array_equal, several[number % 3].read(index), expected[index]))
        sizes.append(sum(path.stat().st_size for path in (tmp_path / "kept").iterdir() if path.exists()))
        return right

    with ThreadPoolExecutor(1) as executor:
        assert all(executor.map(read, range(60)))
    assert 0 < max(sizes) <= 3 * largest + 100
    assert several[0].read(4)[0] is not None
    assert (tmp_path / "kept" / whole.entries[4].file).is_file()


def test_damage_is_noticed(pictures: Path, address: str, tmp_path: Path):
    prepare_tiles(pictures, address, 4, tile=40)
    expected = opened(address, tmp_path).read(0)
    kept = next((tmp_path / "kept").glob("*.safetensors"))
    whole = kept.read_bytes()
    for damaged in (whole[:-9], whole[:-9] + bytes(9)):
        kept.write_bytes(damaged)
        assert all(map(np.array_equal, opened(address, tmp_path).read(0), expected))
        assert kept.read_bytes() == whole
    kept.unlink()
    Objects(address).write(f"tiles/{kept.name}", whole[:-9] + bytes(9))
    with pytest.raises(DataError, match=rf"^{address}/tiles/{kept.name}: is damaged; delete it"):
        opened(address, tmp_path).read(0)
    assert not kept.exists()
    tiles, answers = opened(address, tmp_path), [whole[:-9] + bytes(9), whole]
    with pytest.MonkeyPatch.context() as once:  # damaged on its way, and sound in its place
        once.setattr(Objects, "read", lambda *_: answers.pop(0))
        assert all(map(np.array_equal, tiles.read(0), expected))
    kept.unlink()
    stream = batches(Crops(opened(address, tmp_path), 24, seed=0), 9, 0, 3, workers=1)
    with pytest.raises(DataError, match=rf"^{address}/tiles/{kept.name}: is damaged; delete it"):
        list(stream)


def test_an_interrupted_preparation_goes_on(
    pictures: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    read, asked = Pair.read, []

    def counted(pair: Pair, *arguments: int):
        asked.append(pair.name)
        if len(asked) == 3:
            raise RunError("the plug")
        return read(pair, *arguments)

    monkeypatch.setattr(Pair, "read", counted)
    with pytest.raises(RunError, match="the plug"):
        prepare_tiles(pictures, address, 4, tile=40)
    with pytest.raises(
        DataError, match=rf"^{address}: holds no tiles.json; .* aesop prepare --data DIR --to {address}"
    ):
        opened(address, tmp_path)
    assert prepare_tiles(pictures, address, 4, tile=40)[:2] == (3, 8)
    assert len(asked) == 4
    (pictures / "broken.png").write_bytes(b"no picture")
    *_, (line,) = prepare_tiles(pictures, address, 4, tile=40)
    assert line.startswith("left out: broken.png: ")
    assert prepare_tiles(pictures, address, 4, tile=40)[2] == [line]
    assert len(asked) == 4 + 1 - 1


def test_held_out_pictures_are_not_trained_on(pictures: Path, address: str, tmp_path: Path):
    prepare_tiles(pictures, address, 4, tile=40)
    tiles = opened(address, tmp_path)
    train, held_out = tiles.split(2)
    assert len(held_out) == 2
    own = [{entry.name.rpartition(" [")[0] for entry in part.entries} for part in (train, held_out)]
    assert (len(own[0]), len(own[1]), own[0] & own[1]) == (1, 2, set())
    _, whole = prepare(pictures, tmp_path / "store", 4, minimum=24).split(2)
    assert own[1] == {entry.name for entry in whole.entries}
    with pytest.raises(DataError, match="3 usable pictures, of which 3 should be held out"):
        tiles.split(3)


def test_a_killed_training_resumes_bit_for_bit(photos: Path, address: str, tmp_path: Path):
    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    prepare_tiles(photos, address, 4, tile=32)
    settings = (SECTION, "fidelity.crop=16", "perceptual=null", "autoencoder=null")
    run_tiny(Path(address), tmp_path / "straight", *settings)
    with stop_at("fidelity", 4, die), pytest.raises(Killed):
        run_tiny(Path(address), tmp_path / "killed", *settings)
    assert Run(tmp_path / "killed").stage("fidelity").checkpoint.is_file()
    run_tiny(Path(address), tmp_path / "killed", *settings)
    assert same_files(tmp_path / "straight", tmp_path / "killed", OUTPUTS[0])


def test_mistakes_are_sentences(pictures: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    prepare_tiles(pictures, address, 4, tile=40)
    for settings, told in (
        ({"scale": 2}, "has tiles of scale 4, not 2; prepare others"),
        ({"shrink": 2}, "has tiles of shrink 1, not 2"),
        ({"minimum": 100}, "no tile has 100 pixels a side; prepare larger ones"),
    ):
        with pytest.raises(DataError, match=f"^{address}: {told}"):
            open_tiles(address, tmp_path / "kept", **{"scale": 4, "minimum": 24, **settings})
    assert opened(address, tmp_path, minimum=33).left_out[0][0] == "3 tiles"
    index = json.loads(Objects(address).read("tiles.json"))
    Objects(address).write("tiles.json", json.dumps({**index, "pictures": [[]]}).encode())
    with pytest.raises(DataError, match=f"^{address}/tiles.json: is damaged; delete it and run"):
        opened(address, tmp_path)


def test_an_unreachable_server_a_missing_bucket_and_no_credentials_are_sentences(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(aesop.data.objects, "WAITS", (0.0,))
    server, bucket = s3_server(monkeypatch)
    s3 = pytest.importorskip("s3fs").S3FileSystem

    def said(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["aesop", *map(str, arguments)])
        s3.clear_instance_cache()
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        return capsys.readouterr().err.splitlines()[-1]

    training = ("train", "laptop", "--run", tmp_path / "run", "--data")
    assert "s3://none: holds no tiles.json; check the address" in said(*training, "s3://none")
    assert "s3://none/" in said("prepare", "--data", photos, "--to", "s3://none/prefix")
    server.stop()
    assert re.search(
        rf"s3://{bucket}/tiles.json: could not be reached in 2 tries \(", said(*training, f"s3://{bucket}")
    )
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"AWS_{name}")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert f"s3://{bucket}/tiles.json: Unable to locate credentials; set them" in said(*training, f"s3://{bucket}")
    assert not (tmp_path / "run").exists()


def test_a_long_wait_is_told_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    class Down:
        def cat_file(self, path: str) -> bytes:
            raise OSError(f"{path}: the server is busy")

    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(aesop.data.objects, "_system", lambda address: (Down(), address))
    for name in ("one", "two"):
        with pytest.raises(DataError, match=rf"^s3://down/{name}: could not be reached in 7 tries \(.*is busy\)"):
            Objects("s3://down").read(name)
    assert sum(slept) / 2 == pytest.approx(120, abs=1)
    assert capsys.readouterr().err == "s3://down: cannot be reached; trying again for up to two minutes\n"


def test_addresses():
    assert address_of(Path("s3://bucket/a/")) == "s3://bucket/a"
    assert address_of(Path("file:///a/b")) == "file:///a/b"
    assert address_of("memory://x") == "memory://x"
    for path in ("photos", "/a/b:/c", "C:/photos", "s3"):
        assert address_of(path) is None
    with pytest.raises(DataError, match="nowhere://a/x: Protocol not known: nowhere; s3://BUCKET/PREFIX is"):
        Objects("nowhere://a").read("x")
    if find_spec("s3fs") is not None:
        pytest.skip("s3fs is installed")
    with pytest.raises(MissingExtraError, match=r"^s3://other/x: object storage needs .* 'aesop-sr\[cloud\]'"):
        Objects("s3://other").read("x")
