"""Pictures in memory: the result has the picture's kind, whatever its channels and type."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from aesop.upscaling.planes import upscale_picture
from aesop.upscaling.tiles import Upscaler
from helpers import Repeat
from picture_files import noise, repeated


class Blur(nn.Module):
    """A network that averages each pixel's neighbourhood."""

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(images, 9, 1, 4, count_include_pad=False)


TWICE = Upscaler(Repeat(), 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 2), (9, 7, 3), (9, 7, 4)])
def test_arrays_and_tensors(dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    whole = np.issubdtype(dtype, np.integer)
    pixels = noise(*shape, dtype=dtype) if whole else (noise(*shape) / 255).astype(dtype)
    if shape[-1] in (2, 4):
        pixels[..., -1] = pixels.max()  # opaque
    result = upscale_picture(pixels, TWICE)
    assert result.dtype == dtype
    assert result.shape == (18, 14, *shape[2:])
    np.testing.assert_allclose(result, repeated(pixels), rtol=1e-6, atol=0)
    if len(shape) == 3:
        planes = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
        for batch in (planes, torch.stack([planes, planes])):
            back = upscale_picture(batch, TWICE)
            assert back.dtype == batch.dtype
            assert np.array_equal(back.reshape(-1, *back.shape[-3:])[-1].numpy().transpose(1, 2, 0), result)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_pil_images(mode: str) -> None:
    image = Image.fromarray(noise(9, 7, 3))
    image = Image.fromarray(noise(9, 7, dtype=np.uint16)) if mode == "I;16" else image.convert(mode)
    image.info["dpi"] = (300, 300)
    result = upscale_picture(image, TWICE)
    assert result.mode == {"1": "L", "P": "RGB"}.get(mode, mode)
    assert result.info == {"dpi": (300, 300)}
    assert np.array_equal(np.asarray(result), repeated(np.asarray(image.convert(result.mode))))


def test_16_bit_levels_are_the_networks() -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(upscale_picture(levels, TWICE), repeated(levels))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_hidden_colours_do_not_bleed(dtype: type[np.generic]) -> None:
    peak = {np.uint8: 255, np.uint16: 65535}.get(dtype, 1)
    pixels = np.zeros((60, 60, 4), dtype)
    pixels[..., 0] = peak  # hidden red, seen green
    cv2.circle(mask := np.zeros((60, 60), np.uint8), (30, 30), 18, 1, -1)
    pixels[mask == 1] = (0, peak // 2 if peak > 1 else 0.5, 0, peak)
    result = upscale_picture(pixels, Upscaler(Blur(), 1))
    assert np.abs(result[mask == 1] - pixels[mask == 1].astype(float)).max() <= max(peak / 255, 1 / 255)


def test_without_a_model_it_is_that_of_the_box_for_clean_pictures() -> None:
    pixels = noise(9, 7, 3)
    assert np.array_equal(upscale_picture(pixels), upscale_picture(pixels, "clean-x4"))


def test_what_is_no_picture_is_refused() -> None:
    wrong: Any
    for wrong, message in (
        (np.zeros((9, 9, 5), np.uint8), "1 to 4 channels"),
        (np.zeros((0, 9, 3), np.uint8), "of pixels"),
        (np.zeros((9, 9, 3), np.int32), "not torch.int32"),
        (Image.new("CMYK", (9, 9)), "mode CMYK"),
        (torch.zeros(9, 9), r"shape \(9, 9\)"),
        ("photo.png", "not str; aesop.upscale takes files"),
    ):
        with pytest.raises(ValueError, match=message):
            upscale_picture(wrong, TWICE)
