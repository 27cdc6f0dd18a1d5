"""The network that FID is defined on: TensorFlow's Inception v3 of 2015-12-05, as torch-fidelity carries it over."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from aesop.errors import MissingExtraError
from aesop.metrics.metric import MetricUnavailable, require_file

#: Side of the pictures that the network sees.
SIZE = 299

Features = Callable[[Tensor], Tensor]


@cache
def inception(device: torch.device) -> Features:
    """The 2048 pooled features of uint8 images: (N, 3, 299, 299) to (N, 2048), for both metrics one network a process.

    Raises MetricUnavailable where torch-fidelity or the weights are not available.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3
    except ImportError as error:
        raise MetricUnavailable(str(MissingExtraError("FID", "metrics"))) from error
    require_file(URL_INCEPTION_V3)
    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).to(device)

    @torch.inference_mode()
    def features(images: Tensor) -> Tensor:
        return network(images.to(device))[0]

    return features
