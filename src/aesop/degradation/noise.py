"""Sensor noise: Gaussian and Poisson, each in colour or grey, and Gaussian noise whose channels belong together.

The fields are drawn on the CPU and moved. Images and results are (N, 3, H, W) in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

#: Weights of red, green and blue in grey pictures: torchvision's `rgb_to_grayscale`, which BasicSR's noise uses.
LUMA = (0.2989, 0.587, 0.114)


def add_gaussian(images: Tensor, sigmas: Sequence[float], grey: Sequence[bool], generator: torch.Generator) -> Tensor:
    """Add Gaussian noise, each image with its own deviation in 8-bit levels; grey noise is equal in R, G and B."""
    fields = []
    for image, sigma, one in zip(images, sigmas, grey, strict=True):
        shape = (1, *image.shape[1:]) if one else image.shape
        fields.append((torch.randn(shape, generator=generator) * (sigma / 255)).expand(image.shape))
    return _added(images, fields)


def add_poisson(images: Tensor, scales: Sequence[float], grey: Sequence[bool], generator: torch.Generator) -> Tensor:
    """Add shot noise, each image times its own scale.

    A pixel of value v gets scale * (Poisson(v p) / p - v), of variance scale^2 v / p; p is the smallest power of two
    that is at least the number of different levels (BasicSR, generate_poisson_noise_pt). Grey noise is that of the grey
    image, equal in R, G, B.
    """
    fields = []
    for image, scale, one in zip(images.cpu(), scales, grey, strict=True):
        source = torch.tensor(LUMA)[:, None, None].mul(image).sum(0, keepdim=True) if one else image
        levels = (source * 255).round().clamp(0, 255)
        different = int(levels.int().flatten().bincount().count_nonzero())
        photons = 2 ** math.ceil(math.log2(different))
        values = levels / 255
        noise = torch.poisson(values * photons, generator=generator) / photons - values
        fields.append((scale * noise).expand(image.shape))
    return _added(images, fields)


def add_correlated(images: Tensor, covariance: Tensor, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise whose R, G and B have this covariance, (3, 3), in 8-bit levels squared."""
    variances, axes = torch.linalg.eigh(covariance.double())
    root = (axes * variances.clamp(min=0).sqrt()).float() / 255
    number, channels, height, width = images.shape
    white = torch.randn(number, channels, height * width, generator=generator)
    return _added(images, list((root @ white).view(number, channels, height, width)))


def _added(images: Tensor, fields: list[Tensor]) -> Tensor:
    return (images + torch.stack(fields).to(images)).clamp(0, 1)
