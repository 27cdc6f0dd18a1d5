"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from aesop.errors import RunError

#: Errors of a place that files cannot be written to.
_NOT_THERE = (
    errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT,
)  # fmt: skip


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary neighbour of `path` to write to; it takes the name `path` once it is complete and on disk.

    Of a link, the file that it leads to is replaced. Raises RunError where the disk is full or the folder cannot be
    written; `path` then holds what it held before.
    """
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # some writers make files that only their owner may read
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(f"{path}: the disk is full; free some space and call again.") from error
        if error.errno in _NOT_THERE:
            raise RunError(f"{path}: cannot be written ({error.strerror}); choose another folder.") from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def require_writable(path: Path) -> None:
    """Raise RunError where no file could be written to `path`, before any work is done that it should hold."""
    if path.is_dir():
        raise RunError(f"{path}: is a folder; name a file.")
    if path.exists() and not path.is_file():
        raise RunError(f"{path}: is not a plain file; name another.")
    existing = next(folder for folder in Path(os.path.realpath(path)).parents if folder.exists())
    try:
        with TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); choose another folder.") from error


def printable(path: Path | str) -> str:
    r"""`path` as text that can be printed and stored: bytes of a name that are not UTF-8 become `\xe9` and the like."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path`, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
