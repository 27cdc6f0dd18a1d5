"""FID (Heusel et al. 2017), and patch-FID: how far a set of SR pictures lies from the set of their HR pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from aesop.errors import DataError
from aesop.metrics.metric import SetMeasure, SetMetric, Settings
from aesop.metrics.protocol import eight_bit
from aesop.networks.downloads import fetch

#: Side of the pictures that Inception sees.
SIZE = 299
#: Pictures that go through the network at once: the patches of a large picture would not fit together.
BATCH = 8

Features = Callable[[Tensor], Tensor]


@cache
def inception(device: torch.device) -> Features:
    """Pooled features of TensorFlow's Inception v3 of 2015-12-05: uint8 (N, 3, 299, 299) to (N, 2048).

    torch-fidelity carries the network over. Raises ModelError where the weights are not available.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

    fetch(URL_INCEPTION_V3)
    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).to(device)
    return torch.inference_mode()(lambda images: network(images.to(device))[0])


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Squared Fréchet distance of the Gaussians that have the mean and covariance of two sets of features.

    |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2)), in float64, C with divisor n - 1. `first` is (n, d), `second`
    (m, d). Raises DataError where a set has fewer than two members, which have no covariance.

    With C = R'R, the eigenvalues of C1 C2 that are not 0 are those of MM', M = R1 R2'. The last trace is therefore the
    sum of M's singular values, exact for singular covariances too (fewer pictures than features).
    """
    if min(len(first), len(second)) < 2:
        raise DataError("FID needs at least two pictures")
    means = [features.mean(axis=0, dtype=np.float64) for features in (first, second)]
    # Each R is triangular, of at most d rows: it stands for the features, which may be many more.
    factors = [
        np.asarray(np.linalg.qr((features - mean) / np.sqrt(len(features) - 1), mode="r"))
        for features, mean in zip((first, second), means, strict=True)
    ]
    shared = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    variances = sum(np.square(factor).sum() for factor in factors)
    # Equal sets come out at 0 but for rounding, which must not make a distance negative.
    return max(0.0, float(np.square(means[0] - means[1]).sum() + variances - 2 * shared))


def resized(images: Tensor) -> Tensor:
    """Resize images (N, 3, H, W) in 0..255 to 299x299, whatever their proportions: float64, in 0..255.

    Pillow's antialiased bicubic, each colour in float32 (Parmar et al. 2022, "clean-fid"), as the paper's tool, pyiqa,
    does by default; the first FID's resize aliases, and its numbers are others.
    """
    channels = [Image.fromarray(channel.float().cpu().numpy()) for channel in images.flatten(0, 1)]
    small = [torch.from_numpy(np.array(one.resize((SIZE, SIZE), Image.Resampling.BICUBIC))) for one in channels]
    return torch.stack(small).view(*images.shape[:2], SIZE, SIZE).double().clamp(0, 255)


def patches(images: Tensor, size: int = SIZE) -> Tensor:
    """Cut (N, C, H, W) into squares that neither overlap nor are resized, row by row: (N * rows * columns, C, s, s).

    A side shorter than `size` is padded with zeros at its end. What a longer side has left over is dropped: the paper
    pads only "if an image is smaller", and squares that are mostly padding would look alike in any two sets (its BSD100
    of 481x321 pixels scores worse by patch-FID than by FID, which padding the rest would not give).
    """
    channels, height, width = images.shape[1:]
    images = F.pad(images, (0, max(0, size - width), 0, max(0, size - height)))
    squares = images.unfold(2, size, size).unfold(3, size, size)
    return squares.permute(0, 2, 3, 1, 4, 5).reshape(-1, channels, size, size)


def features(image: Tensor, network: Features, cut: Callable[[Tensor], Tensor]) -> np.ndarray:
    """Features, (n, d) float64, of an image (1, 3, H, W) in [0, 1].

    `cut` maps (1, 3, H, W) in 0..255 to (n, 3, h, w), which is rounded; `network` uint8 (n, 3, h, w) to (n, d).
    """
    pictures = cut(eight_bit(image)).round().to(torch.uint8)
    return torch.cat([network(batch).cpu() for batch in pictures.split(BATCH)]).double().numpy()


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
    cut = staticmethod(resized)

    def prepare(self, settings: Settings) -> SetMeasure:
        with self.loading():
            network = inception(settings.device)
        return SetMeasure(partial(features, network=network, cut=self.cut), frechet_distance)


class PatchFID(FID):
    """FID's formula on every one of the `patches` of every 8-bit-rounded RGB picture (paper, appendix C)."""

    name, title = "patch-fid", "patch-FID"
    protocol = "FID of 299 x 299 patches, never resized; a set has one value"
    cut = staticmethod(patches)
