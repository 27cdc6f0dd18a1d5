"""Objects at an address that fsspec knows (`s3://BUCKET/PREFIX`, `gs://...`, `file:///...`), read and written whole."""

from __future__ import annotations

import math
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from aesop.errors import AesopError, DataError, MissingExtraError, RunError
from aesop.files import atomic_path
from aesop.words import one_line

T = TypeVar("T")

#: Seconds to wait before an object that could not be reached is asked for again; two minutes in all.
WAITS = (0.5, 2.0, 8.0, 20.0, 40.0, 50.0)
#: Longer waits than this are told.
QUIET = 10.0
#: When each address was last said to be out of reach; threads take turns to say it.
_told: dict[str, float] = {}
_turn = threading.Lock()


def address_of(path: Path | str) -> str | None:
    """Return the address that `path` is, without slashes at its end, or None for a path on disk.

    `Path` drops a slash of `s3://bucket`; it is restored.
    """
    found = re.fullmatch(r"([a-z][a-z0-9+.-]+):/+(.*?)/*", str(path))
    if found is None:
        return None
    scheme, rest = found.groups()
    return f"{scheme}://{'/' if scheme == 'file' else ''}{rest}"


class MissingObjectError(DataError):
    """An object that does not exist."""


class Objects:
    """The objects below an address, by name. Methods may be called in threads, and in forked processes."""

    def __init__(self, address: str) -> None:
        self.address = address

    def read(self, name: str) -> bytes:
        """Return an object; raises DataError where it is missing, refused or out of reach."""
        return self._tried(name, lambda system, path: system.cat_file(path))

    def write(self, name: str, blob: bytes) -> None:
        """Write an object, atomically; raises RunError if it cannot be written."""
        try:
            self._tried(name, lambda system, path: _write(system, path, blob))
        except DataError as error:
            raise RunError(str(error)) from error

    def names(self, folder: str) -> set[str]:
        """Return the names of the objects in a folder, none where it is missing; raises DataError as `read` does."""
        try:
            found = self._tried(folder, lambda system, path: system.ls(path, detail=False))
        except MissingObjectError:
            return set()
        return {f"{folder}/{path.rstrip('/').rpartition('/')[2]}" for path in found}

    def _tried(self, name: str, work: Callable[[Any, str], T]) -> T:
        """Call `work` with a file system and a path; retry network failures, and turn errors into sentences."""
        address = f"{self.address}/{name}"
        system, path = _system(address)
        for wait in (*WAITS, None):
            try:
                return work(system, path)
            except AesopError:
                raise
            except FileNotFoundError as error:
                raise MissingObjectError(f"{address}: is not there; check the address.") from error
            except PermissionError as error:
                raise DataError(f"{address}: access is denied; check your credentials and their rights.") from error
            except NotImplementedError as error:
                raise DataError(f"{address}: addresses of this kind cannot be written; take another.") from error
            except Exception as error:  # each file system has its own
                reason = one_line(error).rstrip(".") or type(error).__name__
                if "credentials" in reason.lower():
                    raise DataError(f"{address}: {reason}; set them as its provider asks.") from error
                if wait is None:
                    raise DataError(
                        f"{address}: could not be reached in {len(WAITS) + 1} tries ({reason}); check the network, "
                        "then run the same command again."
                    ) from error
                if wait > QUIET:
                    _tell(self.address)
                time.sleep(wait)
        raise AssertionError("the last try returns or raises")


def _tell(address: str) -> None:
    """Say that an address cannot be reached: many threads wait for it, and one line in two minutes is enough."""
    with _turn:
        if time.monotonic() - _told.get(address, -math.inf) > sum(WAITS):
            _told[address] = time.monotonic()
            print(f"{address}: cannot be reached; trying again for up to two minutes", file=sys.stderr, flush=True)


def _system(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path in it; fsspec keeps one for each process."""
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(address)
    except ImportError as error:
        if address.startswith("s3:") or error.name == "fsspec":
            raise MissingExtraError(f"{address}: object storage", "cloud") from error
        raise DataError(f"{address}: {error}.") from error
    except ValueError as error:
        raise DataError(f"{address}: {error}; s3://BUCKET/PREFIX is an address that works.") from error


def _write(system: Any, path: str, blob: bytes) -> None:
    if "file" not in system.protocol:
        system.pipe_file(path, blob)  # object storage shows nothing before it has everything
        return
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(blob)
