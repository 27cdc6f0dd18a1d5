"""Preparation of a folder of pictures: decoded, cropped and downscaled once, so that training reads crops at no cost.

A store holds a file for each picture, named by a hash of what it was made from and never changed: its pixels and its
entry, or the reason why there are none. Safe to resume, to share between processes, and to repeat while a training
reads.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor
from torch.nn import functional

from aesop.data.layouts import find_folders, named_folders
from aesop.data.pairs import Pair, find_pairs
from aesop.data.pictures import PictureAccessError, is_transparent, read_header, to_picture
from aesop.data.prepared import Entry, PreparedData
from aesop.errors import DataError
from aesop.files import atomic_path, cache_folder, printable, remove_leftovers
from aesop.progress import in_threads
from aesop.words import first_few

#: Changes whenever the same pictures would be prepared differently.
FORMAT = 5
TRANSPARENT = "is transparent in places"
#: Least correlation of a picture with its LR, both shrunk to THUMBNAIL pixels. On BSD100, Real-ESRGAN's degradation of
#: the right picture leaves 0.91 or more; of 6,358 wrong partners, 99 % stay below 0.66.
LEAST_CORRELATION, THUMBNAIL = 0.7, 16


def default_store(source: Path, scale: int, shrink: int = 1) -> Path:
    """The folder for these parameters in $AESOP_CACHE or else in ~/.cache/aesop."""
    absolute = source.resolve()
    return cache_folder() / f"{absolute.name}-x{scale}-{hash_of(absolute, scale, shrink)}"


def prepare(
    source: Path, store: Path, scale: int, *, minimum: int, lr: Path | None = None, shrink: int = 1
) -> PreparedData:
    """Prepare the pictures of the folder `source` in the folder `store`; what an earlier call has done is kept.

    Grey pictures become RGB, an opaque alpha channel is dropped. Corrupt, transparent or too small pictures and those
    that do not pair, or whose LR shows something else, are left out, with the reason.

    Args:
        source: folder of HR pictures, or of folders of HR and LR pictures in one of `aesop.data.layouts.LAYOUTS`.
        store: `default_store`, for instance.
        scale: HR pictures are cropped to a multiple of it, bottom and right.
        minimum: HR pixels a side that a picture must have, the largest crop.
        lr: folder of LR pictures; None takes those of the layout, or makes them by `aesop.data.bicubic.resize`.
        shrink: HR pictures are downscaled by this whole number first, which rids photographs of JPEG artefacts.

    Raises:
        DataError: no usable picture, two of one name, too little free disk space, or `shrink` with LR pictures.
        RunError: the store cannot be written, or the disk is full; what is done is kept.

    """
    pairs, unreadable = pairs_to_prepare(source, lr, scale, shrink)
    remove_leftovers(store)
    jobs = {pair.name: _Job(pair, store, scale, shrink) for pair in pairs}
    made = {name: job for name, job in jobs.items() if job.path.is_file()}
    found: dict[str, Entry | str | None] = {}
    if made:
        found |= in_threads("Checking prepared pictures", _Job.read, made, shown=sys.stderr.isatty())
    if pending := {name: job for name, job in jobs.items() if found.get(name) is None}:
        found |= _run(pending, len(jobs) - len(pending))

    entries: list[Entry] = []
    left_out: list[tuple[str, str]] = []
    for name, outcome in sorted(found.items()):
        if isinstance(outcome, Entry) and min(outcome.height, outcome.width) >= minimum:
            entries.append(outcome)
        elif isinstance(outcome, Entry):
            size = f"{outcome.width} x {outcome.height} pixels"
            left_out.append((name, f"{size}, where at least {minimum} a side are needed"))
        else:
            left_out.append((name, str(outcome)))
    if not entries:
        reasons = first_few([f"{name}: {reason}" for name, reason in left_out])
        none = f"{source}: none of the {len(left_out)} pictures is usable ({reasons})."
        raise DataError(" ".join((none, *unreadable)))
    transparent = tuple(name for name, reason in left_out if reason == TRANSPARENT)
    others = tuple(one for one in left_out if one[1] != TRANSPARENT)
    return PreparedData(store, scale, tuple(entries), others, transparent, tuple(unreadable))


def pairs_to_prepare(source: Path, lr: Path | None, scale: int, shrink: int) -> tuple[list[Pair], list[str]]:
    """Return the pairs that `prepare` is to take, and a sentence on each folder that cannot be listed.

    Raises DataError for two pictures of one name, and for `shrink` together with LR pictures.
    """
    unreadable: list[str] = []
    folders = find_folders(source, scale) if lr is None else named_folders(source, lr)
    pairs, _ = find_pairs(folders, scale, unreadable)
    by_name: dict[str, Pair] = {}
    for pair in pairs:
        if (first := by_name.setdefault(pair.name, pair)) is not pair:
            raise DataError(f"{first.hr} and {pair.hr} have one name; rename one of them.")
    if shrink > 1 and folders.lr:
        raise DataError(f"{source}: HR that comes with LR pictures cannot be shrunk; set shrink to 1, or take HR only.")
    return pairs, unreadable


@dataclass(frozen=True)
class _Job:
    """One picture to prepare."""

    pair: Pair
    store: Path
    scale: int
    shrink: int

    @property
    def path(self) -> Path:
        """The file of the outcome, named by a hash of everything that it depends on."""
        key = hash_of(FORMAT, f"{self.pair.name} {self.pair.stamp}", self.scale, self.shrink)
        return self.store / f"{key}.safetensors"

    def bytes_needed(self) -> int:
        """Disk space that `run` will take, by the picture's header."""
        try:
            header = read_header(self.pair.hr)
        except DataError:  # `run` reports it
            return 0
        pixels = (header.height // self.shrink) * (header.width // self.shrink)
        return 3 * pixels + 3 * pixels // self.scale**2 + 4096

    def read(self) -> Entry | str | None:
        """The outcome of an earlier call: an entry, or why there is none; None if there is no intact file of it."""
        try:
            with safe_open(self.path, "numpy") as file:
                outcome = json.loads(file.metadata()["outcome"])
                if not isinstance(outcome, dict):
                    return outcome
                entry, arrays = Entry(**outcome), [file.get_tensor(name) for name in ("hr", "lr")]
        except (KeyError, OSError, SafetensorError, TypeError, ValueError):
            return None
        return entry if (entry.name, entry.digest) == (self.pair.name, digest_of(*arrays)) else None

    def run(self) -> Entry | str:
        """Prepare the picture and keep the outcome; what the system refuses is not kept."""
        try:
            hr, lr, grey, alpha = read_pair(self.pair, self.scale, self.shrink)
        except DataError as error:
            reason = reason_of(self.pair, error)
            if not isinstance(error, PictureAccessError):
                self._write({}, reason)
            return reason
        entry = Entry(self.pair.name, hr.shape[0], hr.shape[1], self.path.name, digest_of(hr, lr), grey, alpha)
        self._write({"hr": hr, "lr": lr}, asdict(entry))
        return entry

    def _write(self, arrays: dict[str, np.ndarray], outcome: object) -> None:
        with atomic_path(self.path) as temporary:
            temporary.write_bytes(save(arrays, {"outcome": json.dumps(outcome)}))


def read_pair(pair: Pair, scale: int, shrink: int = 1) -> tuple[np.ndarray, np.ndarray, bool, bool]:
    """Read and check the pictures of a pair: HR and LR, uint8, H x W x 3; whether one is grey; whether one has alpha.

    Raises DataError where they cannot be used, PictureAccessError where the system refuses them.
    """
    files = pair.files
    if any(is_transparent(path) for path in files):
        raise DataError(TRANSPARENT)
    planes = pair.read(scale, shrink)
    if pair.lr is not None and not show_the_same(*planes):
        raise DataError(f"its LR picture {printable(pair.lr)} shows something else; pair them anew")
    hr, lr = map(to_picture, planes)
    headers = [read_header(path) for path in files]
    return hr, lr, any(header.grey for header in headers), any(header.alpha for header in headers)


def reason_of(pair: Pair, error: DataError) -> str:
    """Return an error on a pair without the name of its file."""
    return str(error).removeprefix(f"{printable(pair.hr)}: ")


def _run(pending: Mapping[str, _Job], completed: int) -> dict[str, Entry | str]:
    """Prepare all pictures; the outcomes by name."""
    needed = sum(size for _, size in in_threads("Reading sizes", _Job.bytes_needed, pending))
    _check_space(next(iter(pending.values())).store, needed)
    return dict(in_threads("Preparing pictures", _Job.run, pending, completed))


def _check_space(store: Path, needed: int) -> None:
    existing = next(folder for folder in (store.absolute(), *store.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise DataError(
            f"{store}: the prepared pictures need {needed:,} bytes, but {free:,} are free; "
            "free some space or choose another folder (--store)."
        )


def show_the_same(first: Tensor, second: Tensor) -> bool:
    """Tell whether two pictures, (3, H, W) of any size, agree in the large; one without contrast agrees with any."""
    thumbnails = [
        functional.adaptive_avg_pool2d(picture.float().mean(0, keepdim=True), THUMBNAIL).flatten()
        for picture in (first, second)
    ]
    if min(float(thumbnail.std()) for thumbnail in thumbnails) < 2:
        return True
    return float(torch.corrcoef(torch.stack(thumbnails))[0, 1]) >= LEAST_CORRELATION


def digest_of(hr: np.ndarray, lr: np.ndarray) -> str:
    """SHA-256 of the pixels of both."""
    digest = hashlib.sha256(np.ascontiguousarray(hr).data)
    digest.update(np.ascontiguousarray(lr).data)
    return digest.hexdigest()


def hash_of(*parts: object) -> str:
    """Twenty hexadecimal digits that depend on all of `parts`."""
    # A source's path need not be UTF-8.
    return hashlib.sha256("\n".join(map(str, parts)).encode(errors="surrogatepass")).hexdigest()[:20]
