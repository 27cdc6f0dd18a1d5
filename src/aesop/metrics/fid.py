"""FID (Heusel et al. 2017): how far a set of SR pictures lies from the set of their HR pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aesop.errors import DataError
from aesop.metrics.inception import SIZE, Features, inception
from aesop.metrics.luma import eight_bit
from aesop.metrics.metric import SetMeasure, SetMetric, Settings

#: Pictures that go through the network at once: the patches of a large picture would not fit together.
BATCH = 8


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Squared Fréchet distance of the Gaussians that have the mean and covariance of two sets of features.

    |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2)), in float64, C with divisor n - 1. `first` is (n, d), `second`
    (m, d). Raises DataError where a set has fewer than two members, which have no covariance.

    With C = R'R, the eigenvalues of C1 C2 that are not 0 are those of MM', M = R1 R2'. The last trace is therefore the
    sum of M's singular values, exact for singular covariances too (fewer pictures than features), where a matrix square
    root would need a trick.
    """
    if min(len(first), len(second)) < 2:
        raise DataError("FID needs at least two pictures")
    means = [features.mean(axis=0, dtype=np.float64) for features in (first, second)]
    factors = [_factor(features - mean) for features, mean in zip((first, second), means, strict=True)]
    shared = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    variances = sum(np.square(factor).sum() for factor in factors)
    # Equal sets come out at 0 but for rounding, which must not make a distance negative.
    return max(0.0, float(np.square(means[0] - means[1]).sum() + variances - 2 * shared))


def _factor(centred: np.ndarray) -> np.ndarray:
    """The triangular R with R'R = C, of at most d rows: it stands for the features, which may be many more."""
    return np.asarray(np.linalg.qr(centred / np.sqrt(len(centred) - 1), mode="r"))


def resized(images: Tensor) -> Tensor:
    """Resize images (N, 3, H, W) in 0..255 to 299x299, whatever their proportions: float64, in 0..255.

    Pillow's antialiased bicubic, each colour in float32 (Parmar et al. 2022, "clean-fid"), as pyiqa does by default,
    the paper's tool; the first FID's resize aliases, and its numbers are others.
    """

    def plane(values: Tensor) -> np.ndarray:
        picture = Image.fromarray(values.float().cpu().numpy())
        return np.array(picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC))

    planes = [torch.from_numpy(plane(values)) for values in images.flatten(0, 1)]
    return torch.stack(planes).view(*images.shape[:2], SIZE, SIZE).double().clamp(0, 255)


@dataclass(frozen=True)
class FeatureDistance(SetMeasure):
    """Fréchet distance of features, of whole pictures or of what `cut` makes of each.

    `network` maps uint8 (n, 3, h, w) to (n, d); `cut` maps (1, 3, H, W) in 0..255 to (n, 3, h, w), which is rounded.
    """

    network: Features
    cut: Callable[[Tensor], Tensor] = lambda images: images

    def features(self, images: Tensor) -> np.ndarray:
        """Features (n, d), float64, of an image (1, 3, H, W) in [0, 1], rounded to 8 bit."""
        pictures = self.cut(eight_bit(images)).round().to(torch.uint8)
        return torch.cat([self.network(batch).cpu() for batch in pictures.split(BATCH)]).double().numpy()

    def distance(self, sr: np.ndarray, hr: np.ndarray) -> float:
        """FID of two sets of features; the formula and errors of `frechet_distance`."""
        return frechet_distance(sr, hr)


class FID(SetMetric):
    """Of 8-bit-rounded RGB pictures without cropping, each `resized` and rounded again, which the network wants.

    FID falls with the number of pictures: it compares models on one set, not sets with each other. With fewer than
    2048 pictures, as every benchmark has, covariances are singular; the distance is exact none the less.
    """

    name, title = "fid", "FID"
    higher_is_better = False
    packages = ("torch-fidelity", "pillow")
    digits = 3
    protocol = "of all SR and all HR pictures, resized by antialiased bicubic; a set has one value"

    def prepare(self, settings: Settings) -> SetMeasure:
        """FID of whole pictures."""
        return FeatureDistance(inception(settings.device), resized)
