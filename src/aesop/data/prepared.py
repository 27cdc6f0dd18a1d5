"""Pictures prepared for training: uncompressed arrays on disk, of which a crop is read without reading the rest."""

from __future__ import annotations

import hashlib
import math
import mmap
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from aesop.errors import DataError
from aesop.words import first_few


@dataclass(frozen=True)
class Entry:
    """A prepared picture: `height` x `width` are HR pixels, multiples of the scale.

    `file` is its path in the store's `hr` and `lr` folders, `digest` the SHA-256 of its HR and LR pixels. `grey` and
    `alpha` say that the file is greyscale and that it has an alpha channel, an opaque one.
    """

    name: str
    height: int
    width: int
    file: str
    digest: str
    grey: bool = False
    alpha: bool = False


@dataclass(frozen=True)
class PreparedData:
    """The usable pictures of a folder, prepared in `folder`.

    `transparent` are the names of pictures that are not used because one sees through them, `left_out` (name, reason)
    of the other unusable ones, `unreadable` a sentence on each folder that could not be listed.
    """

    folder: Path
    scale: int
    entries: tuple[Entry, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    transparent: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the scale and the names and pixels of all pictures: the same wherever the folder stands."""
        lines = [f"x{self.scale}", *(f"{entry.name} {entry.digest}" for entry in self.entries)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def not_rgb(self) -> str | None:
        """A line on the pictures that are not plain RGB: how many of each kind, then names; None where there are none.

        `2 greyscale pictures become RGB, 1 transparent picture is left out: a.png, b.png; c.png`
        """
        kinds = (
            ("greyscale", "becomes RGB", "become RGB", [entry.name for entry in self.entries if entry.grey]),
            (
                "opaque",
                "loses its alpha channel",
                "lose their alpha channel",
                [e.name for e in self.entries if e.alpha],
            ),
            ("transparent", "is left out", "are left out", self.transparent),
        )
        found = [
            (f"1 {kind} picture {one}" if len(names) == 1 else f"{len(names)} {kind} pictures {many}", first_few(names))
            for kind, one, many, names in kinds
            if names
        ]
        return ": ".join([", ".join(count for count, _ in found), "; ".join(n for _, n in found)]) if found else None

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The HR and the LR picture, read-only uint8, H x W x 3, mapped from disk: only what is used is read.

        Raises DataError where the store has lost them.
        """
        entry = self.entries[index]
        hr = self._map("hr", entry.file, (entry.height, entry.width, 3))
        return hr, self._map("lr", entry.file, (entry.height // self.scale, entry.width // self.scale, 3))

    def split(self, holdout: int) -> tuple[PreparedData, PreparedData]:
        """Divide into training pictures and `holdout` held-out ones, the same ones whatever the order or the day.

        The held-out ones are those whose names have the smallest hashes. Pictures that are added later may take some
        of their places, but never does a picture that was trained on become a held-out one.
        Raises DataError where nothing would remain to train on.
        """
        if holdout >= len(self):
            raise DataError(
                f"{self.folder}: {len(self)} usable pictures, of which {holdout} should be held out, leave none to "
                "train on; add pictures or hold out fewer."
            )
        chosen = set(sorted((entry.name for entry in self.entries), key=_hash)[:holdout])
        train = tuple(entry for entry in self.entries if entry.name not in chosen)
        held_out = tuple(entry for entry in self.entries if entry.name in chosen)
        return replace(self, entries=train), replace(self, entries=held_out)

    def _map(self, kind: str, file: str, shape: tuple[int, int, int]) -> np.ndarray:
        # np.load(mmap_mode="r") gives the same, but takes longer than the crop: the shape is known, and a .npy file
        # ends with its pixels.
        path = self.folder / kind / file
        try:
            with path.open("rb") as opened:
                mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
            return np.frombuffer(mapped, np.uint8, offset=len(mapped) - math.prod(shape)).reshape(shape)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: the prepared picture is gone; run the command again to prepare it.") from error


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
