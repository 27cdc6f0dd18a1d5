"""The squares of a picture that are worth looking at."""

from __future__ import annotations

import torch

from aesop.analysis.regions import Region, detailed_regions, thumbnail
from aesop.data.bicubic import resize


def test_the_detail_is_found():
    hr = torch.full((3, 64, 96), 128, dtype=torch.uint8)
    hr[:, 16:32, 48:64] = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)
    assert detailed_regions(hr, resize(hr, 0.25), 1, 16) == [Region(16, 48, 16)]


def test_squares_do_not_overlap_and_lie_inside():
    hr = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    regions = detailed_regions(hr, resize(hr, 0.25), 20, 24)
    taken = torch.zeros(64, 64)
    for region in regions:
        assert region.cut(hr).shape == (3, 24, 24)
        taken[region.top : region.top + 24, region.left : region.left + 24] += 1
    assert 1 < len(regions) <= 7
    assert taken.max() == 1


def test_a_thumbnail_fits():
    assert max(thumbnail(torch.zeros(3, 200, 301, dtype=torch.uint8), 100).shape) <= 100
