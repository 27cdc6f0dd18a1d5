"""ImageNet weights that torchmetrics takes from torchvision."""

from __future__ import annotations

from aesop.metrics.metric import MetricUnavailable
from aesop.networks.downloads import why_missing


def require_weights(url: str) -> None:
    """See to it that torchvision's file `url` is in torch's cache; MetricUnavailable where it is not to be had."""
    if reason := why_missing(url):
        raise MetricUnavailable(reason)
