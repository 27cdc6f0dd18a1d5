"""Files that are complete or absent, and the system's errors as sentences."""

from __future__ import annotations

import errno
import os
import platform
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from uuid import uuid4

from aesop.errors import AesopError, RunError

try:
    import fcntl
except ImportError:  # Windows: no locks, and no leftovers removed
    fcntl = None

_MENDS = {
    errno.ENOSPC: "the disk is full; free some space and try again",
    errno.EDQUOT: "the disk quota is used up; free some space and try again",
    errno.ENAMETOOLONG: "the file name is too long; choose a shorter one",
    errno.EACCES: "permission denied; change its permissions or choose another path",
    errno.EPERM: "permission denied; change its permissions or choose another path",
    errno.EROFS: "the file system is read-only; choose another path",
    errno.ENOENT: "no such file or folder; check the path",
    errno.EEXIST: "a file has the name of this folder; choose another path",
    errno.ENOTDIR: "a part of this path is not a folder; choose another path",
    errno.EISDIR: "is a folder; a file is expected here",
    errno.EFBIG: "the file is too large for this disk; choose another disk, or a smaller size",
    errno.EMFILE: "too many open files; raise the limit (`ulimit -n`)",
}


#: What one file meets while others can still be written.
_FOR_ONE = (errno.ENAMETOOLONG, errno.EFBIG, errno.EIO)


def explained(error: OSError, path: Path | str | None = None) -> str:
    """Return one sentence on `error`: the file (`path`, unless the error names one), what is wrong and the mend."""
    about = path or error.filename
    reason = _MENDS.get(error.errno or 0) or error.strerror or str(error)
    return f"{printable(about)}: {reason}." if isinstance(about, str | bytes | Path) else f"{reason}."


@contextmanager
def os_errors_explained() -> Iterator[None]:
    """Turn every OSError into an AesopError of one sentence; also decorates a function."""
    try:
        yield
    except OSError as error:
        raise AesopError(explained(error)) from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`; once written, it replaces `path` (a link's target, not the link).

    Raises RunError if no file can be written there (a full disk, no permission), AesopError if only this one cannot
    (too long a name, too large, a failing disk); `path` then keeps what it held.
    """
    path = Path(os.path.realpath(path))
    temporary, handle = None, None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, handle = _claim(path.parent)
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # some writers make files that only their owner may read
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno is None:  # not the system's, but the writer's
            raise
        kind = AesopError if error.errno in _FOR_ONE else RunError
        raise kind(explained(error, path)) from error
    finally:
        with suppress(OSError):
            if temporary is not None:
                temporary.unlink(missing_ok=True)
        if handle is not None:
            _close(handle)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in `folder` that killed processes left; those of running processes stay."""
    for path in folder.glob(".*.part"):
        if re.fullmatch(r"\.[0-9a-f]{32}\.part", path.name) is None:
            continue
        with suppress(OSError):
            handle = _open(path, getattr(os, "O_NOFOLLOW", 0))
            try:
                if _lock(handle):
                    path.unlink()
            finally:
                _close(handle)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, which names its holder, until the block or the process ends; then it is removed.

    Raises RunError, naming the folder and the holder, if another process holds it. Does nothing where the system or the
    file system has no locks.
    """
    if fcntl is None:
        yield
        return
    made = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _hold(path)
    try:
        since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {platform.node()} since {since}".encode())
        yield
    finally:
        with suppress(OSError):
            path.unlink()
            if made:
                path.parent.rmdir()  # if it is still empty
        _close(handle)


def _hold(path: Path) -> int:
    """Open and lock a file; raises RunError where it is locked."""
    while True:
        handle = _open(path, os.O_CREAT | os.O_NOFOLLOW)
        free = True
        with suppress(OSError):
            free = _lock(handle)
        if not free:
            holder = "".join(filter(str.isprintable, os.read(handle, 300).decode(errors="replace")))
            _close(handle)
            holder = holder or "another process"
            raise RunError(f"{path.parent}: is in use by {holder}; wait for it, stop it, or name another folder.")
        with suppress(FileNotFoundError):  # removed by its holder just now
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        _close(handle)


def _claim(folder: Path) -> tuple[Path, int]:
    """Make a temporary file that is locked for as long as the returned handle is open and the process lives."""
    while True:
        temporary = folder / f".{uuid4().hex}.part"
        handle = _open(temporary, os.O_CREAT | os.O_EXCL)
        with suppress(OSError):
            if fcntl is not None and not (_lock(handle) and temporary.exists()):  # taken for a leftover just now
                _close(handle)
                continue
        return temporary, handle


#: Open files that may be locked. A forked process, such as a data loader's worker, must not keep its parent's locks.
_held: set[int] = set()


def _open(path: Path, flags: int) -> int:
    handle = os.open(path, os.O_RDWR | flags, 0o666)
    _held.add(handle)
    return handle


def _close(handle: int) -> None:
    if handle in _held:  # a forked child has closed it already
        _held.remove(handle)
        os.close(handle)


def _release_in_child() -> None:
    while _held:
        os.close(_held.pop())


if fcntl is not None:
    os.register_at_fork(after_in_child=_release_in_child)


def _lock(handle: int) -> bool:
    """Lock an open file; False if another process holds the lock. OSError if the file system has no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def require_writable(path: Path, told: Path | None = None) -> None:
    """Raise RunError where no file could be written to `path`; call it before the work whose result goes there.

    The error names `told`, unset the path.
    """
    existing = Path(os.path.realpath(path))
    missing = []
    try:
        while not os.path.lexists(existing):
            missing.append(existing.name)
            existing = existing.parent
        for name in missing:
            with suppress(FileNotFoundError):
                (existing / name).lstat()  # names that are too long
        if not missing and existing.is_dir():
            raise RunError(f"{path}: is a folder; a file is expected here.")
        if not missing and not existing.is_file():
            raise RunError(f"{path}: is not a regular file; choose another path.")
        with TemporaryFile(dir=existing if missing else existing.parent):
            pass
    except OSError as error:
        raise RunError(explained(error, told or path)) from error


def cache_folder() -> Path:
    """Return the cache folder: $AESOP_CACHE, else ~/.cache/aesop."""
    folder = os.environ.get("AESOP_CACHE") or Path(os.path.expanduser("~"), ".cache", "aesop")  # noqa: PTH111
    return Path(folder).expanduser()


def printable(path: Path | str | bytes) -> str:
    r"""Return `path` as text to print and store; bytes of a name that are not UTF-8 become `\xe9` and the like.

    `Path` drops a slash of an address such as `hf://OWNER/NAME`; it is restored.
    """
    return re.sub("^hf:/(?!/)", "hf://", os.fsencode(path).decode("utf-8", "backslashreplace"))


def short_path(path: str) -> str:
    """Return a relative path as it is, an absolute one relative to the working folder, or else its last part."""
    given = Path(path)
    if not given.is_absolute():
        return path
    return str(given.relative_to(Path.cwd())) if given.is_relative_to(Path.cwd()) else given.name


def without_folders(text: str) -> str:
    """Return a text without the folders of absolute paths."""
    return re.sub(r"(?<![\w.:/])/(?:[^/\s:,;'\"]+/)+", "", text.replace(f"{Path.cwd()}/", ""))


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path`, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
