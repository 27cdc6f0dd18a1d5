"""The cache of evaluations: one SQLite file of numbers, and of features of pictures, by key.

A key is a digest of everything that a value depends on, so entries never go out of date, and the file may be deleted
at any time. Safe to share between processes; a value is on disk once `put` returns.
"""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from aesop.files import cache_folder, explained, printable

#: A number, or the features of a picture, (n, d), for a metric of sets.
Value = float | np.ndarray


def cache_file() -> Path:
    """Return the file of all evaluations, in the cache folder."""
    return cache_folder() / "evaluations.sqlite"


class Cache:
    """Values by key, in a file; without one, or where it cannot be used, in memory."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._open(path or ":memory:")
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def get(self, key: str | None) -> Value | None:
        """Return the value of `key`, or None."""
        try:
            with closing(self._file.execute("SELECT value FROM measured WHERE key = ?", (key,))) as rows:
                found = rows.fetchone()
            return np.load(io.BytesIO(found[0])) if found and isinstance(found[0], bytes) else found and found[0]
        except (sqlite3.Error, ValueError, OSError):  # damaged: it is measured again
            return None

    def put(self, values: Mapping[str | None, Value]) -> None:
        """Store values, all or none, at once; those without a key are not stored."""
        rows = [(key, _stored(value)) for key, value in values.items() if key is not None]
        self._change("INSERT OR REPLACE INTO measured VALUES (?, ?)", rows)

    def forget(self, keys: Iterable[str | None]) -> None:
        """Remove the values of `keys`; their space is used again."""
        self._change("DELETE FROM measured WHERE key = ?", [(key,) for key in keys])

    def __del__(self) -> None:
        self._file.close()

    def _change(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        try:
            with self._file:
                self._file.executemany(statement, rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def _open(self, path: Path | str) -> None:
        # Any thread may collect it as garbage.
        self._file = sqlite3.connect(path, timeout=60, check_same_thread=False)
        self._file.execute("CREATE TABLE IF NOT EXISTS measured (key TEXT PRIMARY KEY, value) WITHOUT ROWID")

    def _give_up(self, error: Exception) -> None:
        what = explained(error, self._path) if isinstance(error, OSError) else f"{printable(str(self._path))}: {error}."
        mend = "name another folder in $AESOP_CACHE, or delete the file if it is damaged"
        print(f"{what} Measuring without a cache; {mend}.", file=sys.stderr)
        self._open(":memory:")


def _stored(value: Value) -> float | bytes:
    if isinstance(value, float):
        return value
    file = io.BytesIO()
    np.save(file, value, allow_pickle=False)
    return file.getvalue()


def digest(*parts: str | int | None) -> str | None:
    """Return one key of many parts; None, for what is not kept, if one of them is None."""
    return None if None in parts else hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    content = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            content.update(block)
    return content.hexdigest()
