"""Pictures in memory: the result has the picture's kind, whatever its channels and type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from aesop.upscaling.pictures.source import open_source
from aesop.upscaling.planes import upscale_picture
from aesop.upscaling.tiles import Upscaler
from helpers import Repeat
from picture_files import noise, profile, repeated, smooth


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


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pil_images_are_turned_as_the_command_turns_them(suffix: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x10F], exif[0x112] = "Maker", orientation
    exif.get_ifd(0x8769)[0xA002] = 9
    how: dict[str, Any] = {"exif": exif, "icc_profile": profile("p3"), "quality": 100, "lossless": True}
    Image.fromarray(smooth(7, 9)).save(tmp_path / f"a.{suffix}", **how)
    with Image.open(tmp_path / f"a.{suffix}") as image:
        result = upscale_picture(image, TWICE)
        assert suffix == "tif" or image.getexif()[0x112] == orientation  # the caller's stays as it is
    expected = repeated(open_source(tmp_path / f"a.{suffix}").read())
    assert np.abs(np.asarray(result).astype(int) - expected).max() <= 2  # two JPEG decoders
    assert result.info["icc_profile"] == profile("p3")
    if suffix != "tif":  # whose EXIF Pillow does not give as a block
        found = result.getexif()
        assert (found[0x10F], found.get(0x112, 1), found.get_ifd(0x8769)[0xA002]) == ("Maker", 1, result.width)


def test_damaged_exif_of_a_pil_image_harms_nothing() -> None:
    for damaged in (b"", b"Exif\0\0", b"no exif", b"Exif\0\0II*\0\xff\xff\xff\xff"):
        image = Image.fromarray(noise(9, 7, 3))
        image.info["exif"] = damaged
        assert np.array_equal(np.asarray(upscale_picture(image, TWICE)), repeated(noise(9, 7, 3)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("alpha", [1.0, 0.5, 0.0])
def test_half_precision_with_alpha(dtype: torch.dtype, alpha: float) -> None:
    planes = torch.from_numpy(noise(4, 9, 7) / 255).to(dtype)
    planes[3] = 1
    planes[3, :3] = alpha
    result = upscale_picture(planes, TWICE)
    assert result.dtype == dtype
    expected = Repeat()(planes.float()[None])[0]
    seen = expected[3] > 0
    torch.testing.assert_close(result[:3, seen].float(), expected[:3, seen], atol=0.01, rtol=0)
    torch.testing.assert_close(result[3, 8:].float(), expected[3, 8:], atol=0.05, rtol=0)


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
