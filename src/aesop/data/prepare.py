"""Preparation of a folder of pictures: decoded, cropped to the scale, downscaled and stored once, so that training
reads random crops at next to no cost.

A store holds `hr/` and `lr/` with one uint8 .npy each a picture, and `index.json`. The arrays' names are a hash of what
they were made from, and they are never changed: an interrupted call can be resumed, several processes may prepare one
store at once, and a changed source disturbs no training that still reads the old arrays.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from aesop.data.pairs import Pair, find_folders, find_pairs, named_folders
from aesop.data.pictures import PictureAccessError, is_transparent, read_header, to_picture
from aesop.data.prepared import Entry, PreparedData
from aesop.errors import DataError
from aesop.files import atomic_path, printable, write_atomically
from aesop.progress import progress

__all__ = ["PreparedData", "default_store", "prepare"]

#: Changes whenever the same pictures would be prepared otherwise.
FORMAT = 3

#: Seconds after which a file that nobody has written to is what a killed process left behind.
ABANDONED = 600.0

#: Bytes before the pixels in a .npy file.
HEADER = 128

Result = TypeVar("Result")


@dataclass(frozen=True)
class LeftOut:
    """Why a picture is not used; `passing` where the next call may find it otherwise though the file is the same."""

    reason: str
    passing: bool = False


#: The reason that is counted, with what else is not plain RGB, instead of told for each picture.
TRANSPARENT = "is transparent in places"


def default_store(source: Path, scale: int, shrink: int = 1) -> Path:
    """A folder of its own for these parameters, in $AESOP_CACHE or else in ~/.cache/aesop."""
    cache = Path(os.environ.get("AESOP_CACHE") or Path.home() / ".cache" / "aesop").expanduser()
    absolute = source.resolve()
    return cache / f"{absolute.name}-x{scale}-{_hash(absolute, scale, shrink)}"


def prepare(
    source: Path,
    store: Path,
    scale: int,
    *,
    minimum: int,
    lr: Path | None = None,
    shrink: int = 1,
) -> PreparedData:
    """Prepare the pictures in `source` in the folder `store`; what an earlier call has done is not done again.

    Args:
        source: folder of HR pictures, or of folders of HR and LR pictures in one of `aesop.data.pairs.LAYOUTS`.
        store: where the prepared pictures go, `default_store` for instance; made if need be.
        scale: HR pictures are cropped to a multiple of it, bottom and right.
        minimum: HR pixels a side that a picture must have to be usable, the largest crop.
        lr: folder of LR pictures, with `source` that of the HR pictures; None takes those of the layout, or makes them
            by `aesop.data.bicubic.resize`, rounded once.
        shrink: HR pictures are downscaled by this whole number first, which rids photographs of JPEG artefacts.

    Returns:
        The usable pictures: grey ones become RGB, an alpha channel that is opaque is dropped. Those that are corrupt,
        transparent, too small or do not pair are left out, with the reason.

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

    left_out: dict[str, str] = {}
    entries = []
    for name, result in results.items():
        if isinstance(result, LeftOut):
            left_out[name] = result.reason
        elif min(result.height, result.width) < minimum:
            left_out[name] = f"{result.width} x {result.height} pixels, where at least {minimum} a side are needed"
        else:
            entries.append(result)
    if not entries:
        reasons = [f"{name}: {reason}" for name, reason in sorted(left_out.items())]
        more = f"; and {len(reasons) - 5} more" if len(reasons) > 5 else ""
        raise DataError(f"{source}: none of the {len(reasons)} pictures is usable ({'; '.join(reasons[:5])}{more}).")
    transparent = tuple(sorted(name for name, reason in left_out.items() if reason == TRANSPARENT))
    return PreparedData(
        store,
        scale,
        tuple(sorted(entries, key=lambda entry: entry.name)),
        tuple(sorted((name, reason) for name, reason in left_out.items() if reason != TRANSPARENT)),
        transparent,
        tuple(unreadable),
    )


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
    def file(self) -> str:
        return f"{_hash(FORMAT, self.key, self.scale, self.shrink)}.npy"  # a name with more in it may be too long

    def paths(self) -> tuple[Path, Path]:
        return self.store / "hr" / self.file, self.store / "lr" / self.file

    def bytes_needed(self) -> int:
        """Disk space that `run` will take, from the picture's header; raises DataError where there is no picture."""
        if all(path.is_file() for path in self.paths()):
            return 0
        header = read_header(self.pair.hr)
        height, width = header.height // self.shrink, header.width // self.shrink
        return 3 * height * width + 3 * height * width // self.scale**2 + 2 * 4096

    def run(self) -> Entry:
        """Prepare the picture, or take up what an interrupted run has left; raises DataError where it is unusable."""
        files = self.pair.files
        headers = [read_header(path) for path in files]
        if any(header.alpha and is_transparent(path) for path, header in zip(files, headers, strict=True)):
            raise DataError(TRANSPARENT)
        hr_path, lr_path = self.paths()
        try:
            hr, lr = np.load(hr_path), np.load(lr_path)
        except (OSError, ValueError, EOFError):  # not there, or damaged
            hr, lr = map(to_picture, self.pair.read(self.scale, self.shrink))
            _save(hr_path, hr)
            _save(lr_path, lr)
        digest = hashlib.sha256(hr.tobytes())
        digest.update(lr.tobytes())
        return Entry(
            self.pair.name,
            hr.shape[0],
            hr.shape[1],
            self.file,
            digest.hexdigest(),
            grey=any(header.grey for header in headers),
            alpha=any(header.alpha for header in headers),
        )


def _run(pending: Sequence[_Job], completed: int) -> dict[str, Entry | LeftOut]:
    """Prepare all pictures on all cores; gives an entry, or the reason why there is none, for each name."""
    sizes = _in_parallel(_Job.bytes_needed, pending, "Reading sizes", 0)
    results: dict[str, Entry | LeftOut] = {name: size for name, size in sizes.items() if isinstance(size, LeftOut)}
    pending = [job for job in pending if job.pair.name not in results]
    if pending:
        _check_space(pending[0].store, sum(size for size in sizes.values() if isinstance(size, int)))
    return results | _in_parallel(_Job.run, pending, "Preparing pictures", completed + len(results))


def _in_parallel(
    work: Callable[[_Job], Result], jobs: Sequence[_Job], description: str, completed: int
) -> dict[str, Result | LeftOut]:
    """What `work` gives for each job by name, a DataError's message instead where it raises one.

    Threads do: libvips, torch and writing leave the interpreter free.
    """
    results: dict[str, Result | LeftOut] = {}
    with (
        ThreadPoolExecutor(os.cpu_count()) as executor,
        progress(description, completed + len(jobs), completed, unit="pictures") as advance,
    ):
        futures = {executor.submit(work, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                pair = futures.pop(future).pair
                try:
                    results[pair.name] = future.result()
                except DataError as error:
                    reason = str(error).removeprefix(f"{printable(pair.hr)}: ")
                    results[pair.name] = LeftOut(reason, passing=isinstance(error, PictureAccessError))
                advance(note=pair.name)
        except BaseException:  # a full disk, Ctrl-C: those not begun yet must not hold up the message
            executor.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def _check_space(store: Path, needed: int) -> None:
    existing = next(folder for folder in (store.absolute(), *store.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise DataError(
            f"{store}: the prepared pictures need {needed:,} bytes, but {free:,} are free; free some space or choose "
            "another folder (AESOP_CACHE)."
        )


def _save(path: Path, picture: np.ndarray) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.ascontiguousarray(picture))


def _clear_leftovers(store: Path) -> None:
    """Remove the temporary files of killed processes; those of others that prepare now are young."""
    for path in store.rglob(".*.part"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()


def _read_index(store: Path, scale: int, shrink: int) -> dict[str, Entry | LeftOut]:
    """The results of an earlier call by the jobs' keys, as far as their arrays are there; a damaged index is none."""
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
    index = {
        "format": FORMAT,
        "scale": scale,
        "shrink": shrink,
        "pictures": {key: asdict(result) for key, result in results.items() if isinstance(result, Entry)},
        "left_out": {
            key: result.reason for key, result in results.items() if isinstance(result, LeftOut) and not result.passing
        },
    }
    write_atomically(store / "index.json", json.dumps(index, indent=1, ensure_ascii=False))


def _hash(*parts: object) -> str:
    # The path of a source need not be UTF-8.
    return hashlib.sha256("\n".join(map(str, parts)).encode(errors="surrogatepass")).hexdigest()[:20]
