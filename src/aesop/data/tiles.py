"""Pictures beyond one disk: cut into tiles, each an object in object storage, read through a bounded cache on disk.

Below an address lie `tiles.json` (what there is), `tiles/DIGEST.safetensors` (HR and LR pixels, named by their SHA-256
and never changed) and `pictures/KEY.json` (what became of a picture, so that an interrupted preparation resumes).
Crops, their order and their resumption stay those of `aesop.data.crops`: a tile is a picture to it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from aesop.data.objects import MissingObjectError, Objects
from aesop.data.pairs import Pair
from aesop.data.pictures import PictureAccessError
from aesop.data.prepare import FORMAT, digest_of, hash_of, pairs_to_prepare, read_pair, reason_of
from aesop.data.prepared import Entry, PreparedData, held_out_of
from aesop.errors import AesopError, DataError
from aesop.files import atomic_path, cache_folder, remove_leftovers
from aesop.progress import in_threads
from aesop.words import first_few

try:
    import fcntl
except ImportError:  # Windows: threads alone take turns
    fcntl = None

INDEX = "tiles.json"
#: HR pixels a side that tiles have, about.
TILE = 480
#: Bytes of tiles that are kept on disk, unless told otherwise.
LIMIT = 50 * 10**9
#: Tiles that a process asks for at once.
AT_ONCE = 8
_DIGEST = re.compile("[0-9a-f]{64}")


def prepare_tiles(
    source: Path, address: str, scale: int, *, tile: int = TILE, lr: Path | None = None, shrink: int = 1
) -> tuple[int, int, list[str]]:
    """Cut the pictures of `source` into tiles below `address`; what an earlier call has done is kept.

    A tile's sides have about `tile` HR pixels, two thirds to three halves of it, and multiples of `scale`; tiles do not
    overlap, and LR is cut alike. Pictures are those of `aesop.data.prepare.prepare`. One picture a core is in memory,
    nothing on disk.

    Returns how many pictures and tiles there are, and a line on each picture that was left out and why. Raises
    DataError where no picture is usable, or the address cannot be read; RunError where it cannot be written.
    """
    pairs, unreadable = pairs_to_prepare(source, lr, scale, shrink)
    objects = Objects(address)
    with suppress(MissingObjectError):
        _require_same(address, _index(objects)[0], scale, shrink)
    made = objects.names("pictures")
    cut = partial(_picture, objects=objects, made=made, scale=scale, tile=tile, shrink=shrink)
    outcomes = dict(in_threads("Cutting pictures", cut, {pair.name: pair for pair in pairs}))
    usable = [{"name": name, "tiles": outcomes[name]["tiles"]} for name in sorted(outcomes) if outcomes[name]["tiles"]]
    left_out = [f"left out: {name}: {found['reason']}" for name, found in sorted(outcomes.items()) if found["reason"]]
    if not usable:
        raise DataError(f"{source}: none of the {len(pairs)} pictures is usable ({first_few(left_out)}).")
    index = {"format": FORMAT, "scale": scale, "shrink": shrink, "pictures": usable}
    objects.write(INDEX, json.dumps(index, separators=(",", ":")).encode())
    return len(usable), sum(len(found["tiles"]) for found in usable), [*left_out, *unreadable]


def _picture(pair: Pair, objects: Objects, made: set[str], scale: int, tile: int, shrink: int) -> dict[str, Any]:
    """Cut a picture and write its tiles; return [top, left, height, width, digest] of each, or the reason for none."""
    key = hash_of(FORMAT, f"{pair.name} {pair.stamp}", scale, shrink, tile)
    record = f"pictures/{key}.json"
    if record in made:
        with suppress(ValueError):  # a damaged one, whose picture is cut again
            return json.loads(objects.read(record))
    outcome: dict[str, Any] = {"tiles": [], "reason": None}
    try:
        hr, lr, _, _ = read_pair(pair, scale, shrink)
    except DataError as error:
        outcome["reason"] = reason_of(pair, error)
        if isinstance(error, PictureAccessError):
            return outcome
    else:
        rows, columns = (_cuts(length, tile, scale) for length in hr.shape[:2])
        for (top, bottom), (left, right) in product(pairwise(rows), pairwise(columns)):
            large = np.ascontiguousarray(hr[top:bottom, left:right])
            small = np.ascontiguousarray(lr[top // scale : bottom // scale, left // scale : right // scale])
            digest = digest_of(large, small)
            objects.write(_file(digest), save({"hr": large, "lr": small}))
            outcome["tiles"].append([top, left, bottom - top, right - left, digest])
    objects.write(record, json.dumps(outcome).encode())
    return outcome


def _cuts(length: int, tile: int, scale: int) -> list[int]:
    """Where to cut, both ends included: into parts as equal as multiples of `scale` can be."""
    parts, units = max(1, round(length / tile)), length // scale
    return [units * part // parts * scale for part in range(parts + 1)]


def _file(digest: str) -> str:
    return f"tiles/{digest}.safetensors"


def open_tiles(
    address: str, folder: Path | None, scale: int, *, minimum: int, shrink: int = 1, limit: int = LIMIT
) -> Tiles:
    """Return the tiles below `address`; `folder` keeps those that are read, None takes one in $AESOP_CACHE.

    Raises DataError where there are none of this scale, whose HR has at least `minimum` pixels a side.
    """
    try:
        found, entries = _index(Objects(address))
    except MissingObjectError as error:
        make = f"aesop prepare --data DIR --to {address}"
        raise DataError(f"{address}: holds no {INDEX}; check the address, or make it by {make}.") from error
    _require_same(address, found, scale, shrink)
    large = tuple(entry for entry in entries if min(entry.height, entry.width) >= minimum)
    small = len(entries) - len(large)
    left_out = ((f"{small} tiles", f"smaller than the {minimum} pixels a side that are needed"),) if small else ()
    if not large:
        raise DataError(f"{address}: no tile has {minimum} pixels a side; prepare larger ones (--tile).")
    largest = max(4 * entry.height * entry.width for entry in large)
    if limit < AT_ONCE * largest:
        raise DataError(f"--store-size: {limit:,} bytes are too few for {AT_ONCE} tiles; give {AT_ONCE * largest:,}.")
    folder = folder or cache_folder() / f"tiles-{hash_of(address)}"
    return Tiles(folder, scale, large, left_out, address=address, limit=limit)


def _index(objects: Objects) -> tuple[tuple[Any, ...], tuple[Entry, ...]]:
    """Read what there is: (format, scale, shrink), and the tiles; DataError where it is damaged."""
    try:
        index = json.loads(objects.read(INDEX))
        found = index["format"], index["scale"], index["shrink"]
        return found, tuple(_entry(one["name"], *tile) for one in index["pictures"] for tile in one["tiles"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{objects.address}/{INDEX}: is damaged; delete it and run `aesop prepare` again.") from error


def _entry(name: str, top: int, left: int, height: int, width: int, digest: str) -> Entry:
    """Return a tile of an index, which may be a stranger's: its digest becomes a file's name."""
    if not (_DIGEST.fullmatch(digest) and int(height) > 0 and int(width) > 0):
        raise ValueError(digest)
    return Entry(f"{name} [{top},{left}]", int(height), int(width), f"{digest}.safetensors", digest)


def _require_same(address: str, found: tuple[Any, ...], scale: int, shrink: int) -> None:
    for name, theirs, ours in zip(("format", "scale", "shrink"), found, (FORMAT, scale, shrink), strict=True):
        if theirs != ours:
            raise DataError(f"{address}: has tiles of {name} {theirs}, not {ours}; prepare others at another address.")


@dataclass(frozen=True)
class Tiles(PreparedData):
    """Tiles below `address`, of which `folder` holds at most `limit` bytes: those that were read last."""

    address: str = ""
    limit: int = LIMIT
    #: Tiles in `folder` that this process has compared with their digests.
    checked: set[str] = field(default_factory=set, compare=False, repr=False)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The HR and LR tile, read-only uint8, H x W x 3; DataError where it is damaged or out of reach."""
        return self._kept(index) or self._fetched(index)

    def read_all(self, indices: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Read several tiles, those that are not in `folder` at once."""
        tiles = {index: self._kept(index) for index in indices}
        if far := [index for index, tile in tiles.items() if tile is None]:
            with ThreadPoolExecutor(AT_ONCE) as executor:
                tiles |= dict(zip(far, executor.map(self._fetched, far), strict=True))
        return [tile for index in indices if (tile := tiles[index])]

    def split(self, holdout: int) -> tuple[Tiles, Tiles]:
        """Hold out pictures, as `PreparedData.split` does: the middle tile of each is validated on, none trained on."""
        pictures: dict[str, list[Entry]] = {}
        for entry in self.entries:
            pictures.setdefault(entry.name.rpartition(" [")[0], []).append(entry)
        names = held_out_of(pictures, holdout, self.address)
        middle = tuple(of[len(of) // 2] for name, of in pictures.items() if name in names)
        train = tuple(entry for name, of in pictures.items() if name not in names for entry in of)
        return replace(self, entries=train), replace(self, entries=middle)

    def _kept(self, index: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The tile if it is in `folder`, undamaged."""
        entry = self.entries[index]
        path = self.folder / entry.file
        try:
            tile = super().read(index)
            os.utime(path)  # those read longest ago are deleted first
        except DataError:  # not there, or cut short
            path.unlink(missing_ok=True)
            return None
        except OSError:
            return None
        if entry.file not in self.checked:
            if digest_of(*tile) != entry.digest:
                path.unlink(missing_ok=True)
                return None
            self.checked.add(entry.file)
        return tile

    def _fetched(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The tile from its object, which goes to `folder`."""
        entry = self.entries[index]
        hr, lr = self.shapes(entry)
        for _ in range(2):  # what arrives damaged may do so once
            blob = Objects(self.address).read(_file(entry.digest))
            pixels = np.frombuffer(blob, np.uint8)[-math.prod(hr) - math.prod(lr) :]
            if hashlib.sha256(pixels.data).hexdigest() == entry.digest:
                break
        else:
            address = f"{self.address}/{_file(entry.digest)}"
            raise DataError(f"{address}: is damaged; delete it and the folder pictures, and run `aesop prepare` again.")
        try:
            _keep(self.folder / entry.file, blob, self.limit)
        except (AesopError, OSError) as error:  # a full disk, say
            raise DataError(f"{error} The folder for tiles is that of --store.") from error
        return pixels[: math.prod(hr)].reshape(hr), pixels[math.prod(hr) :].reshape(lr)


#: Threads of one process take turns by it, processes by locking the file that counts bytes.
_turn = threading.Lock()


def _keep(path: Path, blob: bytes, limit: int) -> None:
    """Write a file into a folder that many processes share, and keep the folder's files within `limit` bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _turn, (path.parent / ".bytes").open("a+b") as counter:
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(counter, fcntl.LOCK_EX)
        if path.is_file():  # another process has just written it
            return
        counter.seek(0)
        text = counter.read()
        used = int(text) if text.isdigit() else limit
        if used + len(blob) > limit:  # make room for the next ones too
            used = _delete_oldest(path.parent, limit - limit // 10 - len(blob))
        with atomic_path(path) as temporary:
            temporary.write_bytes(blob)
        counter.truncate(0)
        counter.write(b"%d" % (used + len(blob)))


def _delete_oldest(folder: Path, target: int) -> int:
    """Delete tiles, those that were read longest ago first, until `target` bytes are left; return how many are."""
    remove_leftovers(folder)
    files = [(path.stat(), path) for path in folder.glob("*.safetensors") if _DIGEST.fullmatch(path.stem)]
    used = sum(status.st_size for status, _ in files)
    for status, path in sorted(files, key=lambda file: file[0].st_mtime_ns):
        if used <= target:
            break
        path.unlink(missing_ok=True)
        used -= status.st_size
    return used
