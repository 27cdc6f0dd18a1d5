"""Pictures prepared for training: uncompressed arrays on disk, of which a crop is read without reading the rest."""

from __future__ import annotations

import hashlib
import math
import mmap
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from aesop.errors import DataError
from aesop.words import first_few


@dataclass(frozen=True)
class Entry:
    """A prepared picture of `height` x `width` HR pixels, multiples of the scale.

    `file` is its name in the store, `digest` the SHA-256 of its HR and LR pixels.
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

    Not used: `left_out` (name, reason) and the names of `transparent` pictures. `unreadable` describes folders.
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
        """SHA-256 over the scale and the names and pixels of all pictures, wherever the folder is."""
        lines = [f"x{self.scale}", *(f"{entry.name} {entry.digest}" for entry in self.entries)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def not_rgb(self) -> str | None:
        """`2 greyscale pictures become RGB, 1 transparent picture is left out: a.png, b.png; c.png`, or None."""
        grey, opaque = [e.name for e in self.entries if e.grey], [e.name for e in self.entries if e.alpha]
        kinds = {
            ("greyscale picture becomes RGB", "greyscale pictures become RGB"): grey,
            ("opaque picture loses its alpha channel", "opaque pictures lose their alpha channel"): opaque,
            ("transparent picture is left out", "transparent pictures are left out"): self.transparent,
        }
        found = {f"{len(names)} {texts[len(names) > 1]}": first_few(names) for texts, names in kinds.items() if names}
        return f"{', '.join(found)}: {'; '.join(found.values())}" if found else None

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The HR and LR picture, read-only uint8, H x W x 3, mapped from disk; DataError where they are gone."""
        entry = self.entries[index]
        path = self.folder / entry.file
        shape, small = self.shapes(entry)
        # The format's own reader would copy the pixels: the file ends with those of HR, then LR.
        try:
            with path.open("rb") as opened:
                mapped = np.frombuffer(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
            pixels = mapped[-math.prod(shape) - math.prod(small) :]
            return pixels[: math.prod(shape)].reshape(shape), pixels[math.prod(shape) :].reshape(small)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: the prepared picture is gone; run the command again to prepare it.") from error

    def shapes(self, entry: Entry) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """The shapes of a picture's HR and LR arrays."""
        return (entry.height, entry.width, 3), (entry.height // self.scale, entry.width // self.scale, 3)

    def read_all(self, indices: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Read several pictures."""
        return [self.read(index) for index in indices]

    def split(self, holdout: int) -> tuple[PreparedData, PreparedData]:
        """Divide into training pictures and `holdout` held-out ones, those whose names have the smallest hashes.

        Pictures added later may replace held-out ones, but no picture that was trained on becomes held-out.
        Raises DataError where nothing would remain to train on.
        """
        names = held_out_of([entry.name for entry in self.entries], holdout, self.folder)
        held_out = tuple(entry for entry in self.entries if entry.name in names)
        train = tuple(entry for entry in self.entries if entry.name not in names)
        return replace(self, entries=train), replace(self, entries=held_out)


def held_out_of(names: Collection[str], holdout: int, where: object) -> set[str]:
    """The `holdout` names with the smallest hashes; DataError, about `where`, if none would be left to train on."""
    if holdout >= len(names):
        raise DataError(
            f"{where}: {len(names)} usable pictures, of which {holdout} should be held out, leave none to "
            "train on; add pictures or hold out fewer."
        )
    return set(sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())[:holdout])
