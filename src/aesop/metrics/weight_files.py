"""Weight files that other packages keep where they like: fetched for them once, never waited for long."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from aesop.metrics.metric import MetricUnavailable
from aesop.networks.downloads import answers, socket_timeout


def require_file(url: str, folder: Path) -> Path:
    """See to it that the file of `url` is in `folder`; its path, or MetricUnavailable where it is not to be had.

    As `require_weights`: a few seconds at most for a server that does not answer, and no second try in this process.
    """
    target = folder / url.rpartition("/")[2]
    if reason := _why_missing(url, target):
        raise MetricUnavailable(reason)
    return target


@cache
def _why_missing(url: str, target: Path) -> str | None:
    if target.is_file():
        return None
    mend = f"no weights: {url} could not be downloaded; put it into {target.parent}"
    if not answers(url):
        return mend
    digits = torch.hub.HASH_REGEX.search(target.name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with socket_timeout():
            torch.hub.download_url_to_file(url, str(target), digits and digits.group(1), progress=False)
    except (OSError, RuntimeError) as error:
        return f"{mend} ({error})"
    return None
