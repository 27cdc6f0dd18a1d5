"""Weight files that other packages publish: taken from the cache, else downloaded once, with a timeout."""

from __future__ import annotations

import socket
import threading
import urllib.request
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import urlparse

import torch

from aesop.errors import ModelError

#: Seconds after which a silent server is given up.
TIMEOUT = 10.0


def fetch(url: str, folder: Path | None = None) -> Path:
    """Return the file of `url` in `folder` (torch's own cache of weights if None), downloaded unless it is there.

    The start of the SHA-256 in its name, if any, is checked. Raises ModelError if it cannot be downloaded, after about
    TIMEOUT seconds, and at once on later calls in the same process.
    """
    target = (folder or Path(torch.hub.get_dir()) / "checkpoints") / Path(urlparse(url).path).name
    if reason := _why_missing(url, target):
        raise ModelError(reason)
    return target


@cache
def _why_missing(url: str, target: Path) -> str | None:
    if target.is_file():
        return None
    mend = f"no weights: {url} could not be downloaded; put it into {target.parent}"
    if not answers(url):
        return mend
    promised = torch.hub.HASH_REGEX.search(target.name)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(target), promised and promised.group(1), progress=False)
    except (OSError, RuntimeError) as error:
        return f"{mend} ({error})"
    finally:
        socket.setdefaulttimeout(before)
    return None


def answers(url: str) -> bool:
    """Whether the server of `url` sends the file. In a thread: looking up a name has no timeout of its own."""
    answered, done = threading.Event(), threading.Event()

    def ask() -> None:
        with suppress(OSError), urllib.request.urlopen(url, timeout=TIMEOUT):
            answered.set()
        done.set()

    threading.Thread(target=ask, daemon=True).start()
    done.wait(TIMEOUT)
    return answered.is_set()
