"""JPEG compression, by libjpeg itself through Pillow.

Real-ESRGAN uses a differentiable imitation (BasicSR, basicsr/utils/diffjpeg.py) that repeats chroma where libjpeg
interpolates, pads with black where libjpeg repeats the border, and does not round; real pictures come from encoders.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from aesop.data.pictures import to_float, to_levels, to_picture, to_planes
from aesop.degradation.draws import Draws


def compress(images: Tensor, qualities: Sequence[int]) -> Tensor:
    """Compress images (N, 3, H, W), each at its own quality of 1 to 100, and decompress them: levels k / 255.

    Values are clamped to [0, 1] and rounded to 8 bit first; colour has half the resolution (4:2:0), libjpeg's default.
    """
    planes = to_levels(images).cpu()
    decoded = [_through_jpeg(to_picture(image), quality) for image, quality in zip(planes, qualities, strict=True)]
    return to_float(torch.stack([to_planes(picture) for picture in decoded]).to(images.device))


def compress_randomly(images: Tensor, qualities: tuple[int, int], draws: Draws) -> Tensor:
    """Compress images (N, 3, H, W), each at a quality drawn from the range `qualities`."""
    return compress(images, [draws.whole(*qualities) for _ in images])


def _through_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    from PIL import Image

    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "JPEG", quality=quality)
    with Image.open(encoded) as decoded:
        return np.asarray(decoded)
