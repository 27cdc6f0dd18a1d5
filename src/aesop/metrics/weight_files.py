"""The weight files that metrics are made of."""

from __future__ import annotations

from pathlib import Path

from aesop.metrics.metric import MetricUnavailable
from aesop.networks.downloads import file_name, weight_folder, why_missing


def require_file(url: str, folder: Path | None = None) -> Path:
    """See to it that the file of `url` is in `folder` (torch's cache if None); MetricUnavailable where it is not."""
    if reason := why_missing(url, folder):
        raise MetricUnavailable(reason)
    return (folder or weight_folder()) / file_name(url)
