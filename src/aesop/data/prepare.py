"""Preparation of a folder of pictures: decoded, cropped and downscaled once, so that training reads crops at no cost.

A store holds `index.json` and, in `hr/` and `lr/`, a uint8 .npy of each picture, named by a hash of what it was made
from and never changed. Safe to resume, to share between processes, and to repeat while a training reads old arrays.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from aesop.data.pairs import Pair, find_folders, find_pairs, named_folders
from aesop.data.pictures import PictureAccessError, is_transparent, read_header, to_picture
from aesop.data.prepared import Entry, PreparedData
from aesop.errors import DataError
from aesop.files import atomic_path, printable, write_atomically
from aesop.progress import progress

__all__ = ["PreparedData", "default_store", "prepare"]

#: Changes whenever the same pictures would be prepared differently.
FORMAT = 3
#: Seconds after which a temporary file counts as left by a killed process.
ABANDONED = 600.0
#: Bytes before the pixels in a .npy file.
HEADER = 128
TRANSPARENT = "is transparent in places"


@dataclass(frozen=True)
class LeftOut:
    """Why a picture is not used; `passing` if the next call may read the same file."""

    reason: str
    passing: bool = False


def default_store(source: Path, scale: int, shrink: int = 1) -> Path:
    """The folder for these parameters in $AESOP_CACHE or else in ~/.cache/aesop."""
    cache = Path(os.environ.get("AESOP_CACHE") or Path.home() / ".cache" / "aesop").expanduser()
    absolute = source.resolve()
    return cache / f"{absolute.name}-x{scale}-{_hash(absolute, scale, shrink)}"


def prepare(
    source: Path, store: Path, scale: int, *, minimum: int, lr: Path | None = None, shrink: int = 1
) -> PreparedData:
    """Prepare the pictures of the folder `source` in the folder `store`; what an earlier call has done is kept.

    Grey pictures become RGB, an opaque alpha channel is dropped. Corrupt, transparent or too small pictures and those
    that do not pair are left out, with the reason.

    Args:
        source: folder of HR pictures, or of folders of HR and LR pictures in one of `aesop.data.pairs.LAYOUTS`.
        store: `default_store`, for instance.
        scale: HR pictures are cropped to a multiple of it, bottom and right.
        minimum: HR pixels a side that a picture must have, the largest crop.
        lr: folder of LR pictures; None takes those of the layout, or makes them by `aesop.data.bicubic.resize`.
        shrink: HR pictures are downscaled by this whole number first, which rids photographs of JPEG artefacts.

    Raises:
        DataError: no usable picture, too little free disk space, or `shrink` together with LR pictures.
        RunError: the store cannot be written, or the disk is full; what is done is kept.

    """
    unreadable: list[str] = []
    folders = find_folders(source, scale) if lr is None else named_folders(source, lr)
    pairs, _ = find_pairs(folders, scale, unreadable)
    if shrink > 1 and folders.lr:
        raise DataError(f"{source}: HR that comes with LR pictures cannot be shrunk; set shrink to 1, or take HR only.")
    _clear_leftovers(store)
    known = _read_index(store, scale, shrink)
    jobs = [_Job(pair, store, scale, shrink) for pair in pairs]
    results = {job.pair.name: known[job.key] for job in jobs if job.key in known}
    pending = [job for job in jobs if job.pair.name not in results]
    if pending:
        results |= _run(pending, len(jobs) - len(pending))
        _write_index(store, scale, shrink, {job.key: results[job.pair.name] for job in jobs})

    entries: list[Entry] = []
    left_out: list[tuple[str, str]] = []
    for name, result in sorted(results.items()):
        if isinstance(result, LeftOut):
            left_out.append((name, result.reason))
        elif min(result.height, result.width) < minimum:
            size = f"{result.width} x {result.height} pixels"
            left_out.append((name, f"{size}, where at least {minimum} a side are needed"))
        else:
            entries.append(result)
    if not entries:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out[:5])
        more = f"; and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        raise DataError(f"{source}: none of the {len(left_out)} pictures is usable ({reasons}{more}).")
    transparent = tuple(name for name, reason in left_out if reason == TRANSPARENT)
    others = tuple(one for one in left_out if one[1] != TRANSPARENT)
    return PreparedData(store, scale, tuple(entries), others, transparent, tuple(unreadable))


@dataclass(frozen=True)
class _Job:
    """One picture to prepare."""

    pair: Pair
    store: Path
    scale: int
    shrink: int

    @property
    def key(self) -> str:
        """What the result depends on."""
        return f"{self.pair.name} {self.pair.stamp}"

    @property
    def paths(self) -> tuple[Path, Path]:
        file = f"{_hash(FORMAT, self.key, self.scale, self.shrink)}.npy"
        return self.store / "hr" / file, self.store / "lr" / file

    def bytes_needed(self) -> int:
        """Disk space that `run` will take, by the picture's header."""
        if all(path.is_file() for path in self.paths):
            return 0
        try:
            header = read_header(self.pair.hr)
        except DataError:  # as `run` will say
            return 0
        pixels = (header.height // self.shrink) * (header.width // self.shrink)
        return 3 * pixels + 3 * pixels // self.scale**2 + 2 * 4096

    def run(self) -> Entry:
        """Prepare the picture, or take what an interrupted call has left; raises DataError where it is unusable."""
        files = self.pair.files
        if any(is_transparent(path) for path in files):
            raise DataError(TRANSPARENT)
        try:
            hr, lr = map(np.load, self.paths)
        except (OSError, ValueError, EOFError):  # not there, or damaged
            hr, lr = map(to_picture, self.pair.read(self.scale, self.shrink))
            for path, picture in zip(self.paths, (hr, lr), strict=True):
                with atomic_path(path) as temporary, temporary.open("wb") as file:
                    np.save(file, picture)
        digest = hashlib.sha256(hr.tobytes() + lr.tobytes()).hexdigest()
        headers = [read_header(path) for path in files]
        grey, alpha = any(header.grey for header in headers), any(header.alpha for header in headers)
        return Entry(self.pair.name, hr.shape[0], hr.shape[1], self.paths[0].name, digest, grey, alpha)


def _run(pending: Sequence[_Job], completed: int) -> dict[str, Entry | LeftOut]:
    """Prepare all pictures in threads on all cores; an entry, or the reason why there is none, by name."""
    results: dict[str, Entry | LeftOut] = {}
    with ThreadPoolExecutor(os.cpu_count()) as executor:
        with progress("Reading sizes", len(pending), unit="pictures") as advance:
            needed = 0
            for job, size in zip(pending, executor.map(_Job.bytes_needed, pending), strict=True):
                needed += size
                advance(note=job.pair.name)
        _check_space(pending[0].store, needed)
        with progress("Preparing pictures", completed + len(pending), completed, unit="pictures") as advance:
            futures = {executor.submit(job.run): job.pair for job in pending}
            try:
                for future in as_completed(futures):
                    pair = futures.pop(future)
                    try:
                        results[pair.name] = future.result()
                    except DataError as error:
                        reason = str(error).removeprefix(f"{printable(pair.hr)}: ")
                        results[pair.name] = LeftOut(reason, passing=isinstance(error, PictureAccessError))
                    advance(note=pair.name)
            except BaseException:  # a full disk, Ctrl-C: do not wait for jobs that have not begun
                executor.shutdown(wait=False, cancel_futures=True)
                raise
    return results


def _check_space(store: Path, needed: int) -> None:
    existing = next(folder for folder in (store.absolute(), *store.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise DataError(
            f"{store}: the prepared pictures need {needed:,} bytes, but {free:,} are free; "
            "free some space or choose another folder (AESOP_CACHE)."
        )


def _clear_leftovers(store: Path) -> None:
    """Remove the temporary files of killed processes, but not the young ones of others that run now."""
    for path in store.rglob(".*.part"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()


def _read_index(store: Path, scale: int, shrink: int) -> dict[str, Entry | LeftOut]:
    """The results of an earlier call, by key, whose arrays are there; none where the index is damaged."""
    try:
        index = json.loads((store / "index.json").read_text(encoding="utf-8"))
        if (index["format"], index["scale"], index["shrink"]) != (FORMAT, scale, shrink):
            return {}
        known: dict[str, Entry | LeftOut] = {key: LeftOut(reason) for key, reason in index["left_out"].items()}
        entries = {key: Entry(**fields) for key, fields in index["pictures"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
    return known | {key: entry for key, entry in entries.items() if _is_whole(store, scale, entry)}


def _is_whole(store: Path, scale: int, entry: Entry) -> bool:
    try:
        hr, lr = ((store / kind / entry.file).stat().st_size for kind in ("hr", "lr"))
    except OSError:
        return False
    pixels = 3 * entry.height * entry.width
    return hr >= HEADER + pixels and lr >= HEADER + pixels // scale**2


def _write_index(store: Path, scale: int, shrink: int, results: dict[str, Entry | LeftOut]) -> None:
    pictures = {key: asdict(result) for key, result in results.items() if isinstance(result, Entry)}
    left_out = {key: one.reason for key, one in results.items() if isinstance(one, LeftOut) and not one.passing}
    settings = {"format": FORMAT, "scale": scale, "shrink": shrink}
    index = json.dumps(settings | {"pictures": pictures, "left_out": left_out}, indent=1, ensure_ascii=False)
    write_atomically(store / "index.json", index)


def _hash(*parts: object) -> str:
    # A source's path need not be UTF-8.
    return hashlib.sha256("\n".join(map(str, parts)).encode(errors="surrogatepass")).hexdigest()[:20]
