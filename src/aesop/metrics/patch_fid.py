"""Patch-FID (paper, appendix C): FID of 299x299 patches, so that no picture is resized."""

from __future__ import annotations

from functools import partial

from aesop.metrics.fid import FeatureDistance
from aesop.metrics.inception import SIZE, inception
from aesop.metrics.metric import SetMeasure, SetMetric, Settings
from aesop.metrics.patches import patches


def _prepare(settings: Settings) -> SetMeasure:
    """FID's formula on every patch of every picture, cut as `patches` says; of 8-bit-rounded RGB, nothing cropped."""
    return FeatureDistance(inception(settings.device), partial(patches, size=SIZE))


PATCH_FID = SetMetric(
    "patch-fid",
    "patch-FID",
    False,
    (0.0, float("inf")),
    "",
    3,
    _prepare,
    protocol="FID of 299 x 299 patches, never resized; a set has one value",
)
