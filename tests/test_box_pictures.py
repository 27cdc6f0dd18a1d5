"""The table of training pictures for the models in the box, and how the pictures are collected."""

import hashlib
import io
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pictures import DETAILED, Row, collect, decode, detail, picture_name, read_table, tiles

FREE = {
    *("CC0-1.0", "CC-BY-2.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "public-domain"),
    *("GPL-2", "GPL-2+", "GPL-3+", "LGPL-3"),
}


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def row_of(path: str, content: bytes, *, shrink: int = 2, held_out: bool = False) -> Row:
    digest = hashlib.sha256(content).hexdigest()
    return Row("pkg", "1", path, "A. Uthor", "CC0-1.0", shrink, (), held_out, digest)


def test_every_picture_has_an_author_a_free_licence_and_a_checksum() -> None:
    rows = read_table()
    assert len(rows) >= 150
    for row in rows:
        assert row.package, row
        assert row.version, row
        assert row.author, row
        assert row.licence in FREE, row
        assert row.shrink >= 2, row
        assert len(row.crop) in (0, 4), row
        assert re.fullmatch("[0-9a-f]{64}", row.sha256), row


def test_held_out_pictures_are_ten_and_no_picture_stands_twice() -> None:
    rows = read_table()
    assert sum(row.held_out for row in rows) == 10
    assert len({row.sha256 for row in rows}) == len(rows)
    assert len({picture_name(row) for row in rows}) == len(rows)


def test_decoding_crops_then_shrinks() -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[8:24, 10:50] = (10, 100, 200)
    row = row_of("a.png", b"")._replace(crop=(10, 8, 40, 16))
    assert (decode(encoded(picture), row) == (10, 100, 200)).all()
    assert decode(encoded(picture), row).shape == (8, 20, 3)


def test_tiles_are_the_whole_picture_in_pieces_of_at_most_800_pixels_a_side() -> None:
    picture = noise(900, 1700)
    pieces = list(tiles(picture))
    assert all(max(piece.shape) <= 800 for piece in pieces)
    assert len(pieces) == 6
    rows = [np.concatenate(pieces[i : i + 3], axis=1) for i in (0, 3)]
    assert (np.concatenate(rows) == picture).all()


def test_detail_is_the_share_of_blocks_that_bicubic_loses() -> None:
    picture = np.full((128, 128, 3), 90, np.uint8)
    assert detail(picture) == 0
    picture[:, :64] = noise(128, 64)
    assert 0.5 <= detail(picture) <= 0.75  # the edge may count with the noise
    assert detail(picture) >= DETAILED


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb")
def test_pictures_come_out_of_a_package_and_the_archives_in_it(tmp_path: Path) -> None:
    contents = [encoded(noise(64, 64, seed)) for seed in range(3)]
    flat = encoded(np.full((64, 64, 3), 7, np.uint8))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("in/c.png", contents[2])
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: pkg\nVersion: 1\nArchitecture: all\nMaintainer: M <m@m.m>\nDescription: d\n"
    )
    for name, content in {
        "a.png": contents[0],
        "b.png": contents[1],
        "d.png": flat,
        "z.pk3": packed.getvalue(),
    }.items():
        (tree / name).write_bytes(content)
    (tmp_path / "packages").mkdir()
    subprocess.run(["dpkg-deb", "-b", tree, tmp_path / "packages/pkg_1_all.deb"], check=True, capture_output=True)
    rows = [
        row_of("a.png", contents[0]),
        row_of("b.png", contents[1], held_out=True),
        row_of("z.pk3!in/c.png", contents[2]),
        row_of("d.png", flat),
    ]
    collect(tmp_path, rows)
    assert {file.name for file in (tmp_path / "train").iterdir()} == {"pkg--a--00.png", "pkg--in--c--00.png"}
    assert {file.name for file in (tmp_path / "held-out").iterdir()} == {"pkg--b.png"}
    with pytest.raises(SystemExit, match="sha256"):
        collect(tmp_path, [rows[0]._replace(sha256="0" * 64)])
