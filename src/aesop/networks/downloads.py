"""ImageNet weights of torchvision's networks: cached, else fetched once, never waited for long."""

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


def why_missing(url: str) -> str | None:
    """See to it that torchvision's weight file `url` is in torch's cache; None, or the reason why it is not.

    Takes at most about TIMEOUT seconds, and no second try in this process, where it is neither there nor to be had.
    """
    return _why_missing(url, torch.hub.get_dir())


@cache
def _why_missing(url: str, hub: str) -> str | None:
    name = Path(urlparse(url).path).name
    target = Path(hub) / "checkpoints" / name
    if target.is_file():
        return None
    mend = f"no backbone weights: {name} could not be downloaded; put it into {target.parent}"
    if not answers(url):
        return mend
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with socket_timeout():
            torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
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
