"""Weight files that other packages publish: where they are kept, else fetched once, never waited for long."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlparse

import torch

#: Seconds within which a server must answer, and go on answering.
TIMEOUT = 10.0


def why_missing(url: str, folder: Path | None = None) -> str | None:
    """See to it that the file of `url` is in `folder`; None, or the reason why it is not.

    `folder` is torch's own cache of weights unless another package keeps them elsewhere. What a name promises
    (`name-<start of the SHA-256>.pth`) is checked. Takes at most about TIMEOUT seconds, and no second try in this
    process, where the file is neither there nor to be had.
    """
    return _why_missing(url, folder or weight_folder())


def weight_folder() -> Path:
    """Where torch, and torchvision with it, keeps the weights that it fetches."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def file_name(url: str) -> str:
    """What the file of `url` is called on disk."""
    return Path(urlparse(url).path).name


@cache
def _why_missing(url: str, folder: Path) -> str | None:
    target = folder / file_name(url)
    if target.is_file():
        return None
    mend = f"no weights: {url} could not be downloaded; put it into {folder}"
    if not answers(url):
        return mend
    promised = torch.hub.HASH_REGEX.search(target.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with socket_timeout():
            torch.hub.download_url_to_file(url, str(target), promised and promised.group(1), progress=False)
    except (OSError, RuntimeError) as error:
        return f"{mend} ({error})"
    return None


def answers(url: str) -> bool:
    """Whether the server of `url` sends the file. In a thread: looking up a name has no timeout of its own."""
    answered = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT):
                answered.set()
        except OSError:
            pass
        finally:
            done.set()

    done = threading.Event()
    threading.Thread(target=ask, daemon=True).start()
    done.wait(TIMEOUT)
    return answered.is_set()


@contextmanager
def socket_timeout() -> Iterator[None]:
    """Let no socket that is opened meanwhile wait for longer than TIMEOUT."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
