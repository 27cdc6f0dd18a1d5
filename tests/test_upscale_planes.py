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

import aesop
from aesop.errors import AesopError
from aesop.networks.loading import LoadedGenerator
from aesop.upscaling.engines.choose import Chosen
from aesop.upscaling.in_memory import upscale_picture
from aesop.upscaling.pictures.source import open_source
from helpers import Repeat
from picture_files import noise, profile, repeated, smooth


class Blur(nn.Module):
    """A network that averages each pixel's neighbourhood."""

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(images, 9, 1, 4, count_include_pad=False)


TWICE = LoadedGenerator(Repeat(), 2, "repeat", Path("twice.pth"), "")


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
    result = upscale_picture(pixels, LoadedGenerator(Blur(), 1, "blur", Path("blur.pth"), ""))
    assert np.abs(result[mask == 1] - pixels[mask == 1].astype(float)).max() <= max(peak / 255, 1 / 255)


def test_without_a_model_it_is_that_of_the_box_for_clean_pictures() -> None:
    pixels = noise(9, 7, 3)
    assert np.array_equal(upscale_picture(pixels), upscale_picture(pixels, "clean-x4"))


def test_one_function_takes_pictures_of_every_kind_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise(9, 7, 3)
    array: np.ndarray = aesop.upscale(pixels, TWICE)
    assert np.array_equal(array, repeated(pixels))
    image: Image.Image = aesop.upscale(Image.fromarray(pixels), TWICE, scale=2)
    assert np.array_equal(np.asarray(image), repeated(pixels))
    tensor: Tensor = aesop.upscale(torch.from_numpy(pixels).permute(2, 0, 1), TWICE, device="cpu")
    assert np.array_equal(tensor.permute(1, 2, 0).numpy(), repeated(pixels))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    report = aesop.upscale("a.png")  # as the command: the model that fits, into the folder `upscaled`
    assert report.written == [Path("upscaled/a.png")]
    assert np.array_equal(open_source(tmp_path / "upscaled/a.png").read(), aesop.upscale(pixels))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("output", "out"),
        ("name", "{stem}_x2"),
        ("format", "png"),
        ("quality", 90),
        ("strip", True),
        ("overwrite", True),
        ("watch", print),
    ],
)
def test_options_of_files_are_refused_for_pictures_in_memory(option: str, value: Any) -> None:
    how: dict[str, Any] = {option: value}
    with pytest.raises(AesopError, match=f"^{option}: for files only; "):
        aesop.upscale(noise(9, 7, 3), TWICE, **how)


def test_an_image_of_a_lossy_file_gets_the_model_that_the_file_gets(tmp_path: Path) -> None:
    Image.fromarray(smooth(12, 16)).save(tmp_path / "a.jpg")
    how: Any
    for how, name in (({"scale": 2.0}, "photo-x2"), ({"width": 40}, "photo-x4"), ({"fidelity": 1.0}, "clean-x4")):
        with Image.open(tmp_path / "a.jpg") as image:
            found = upscale_picture(image, **how)
            size = {} if "fidelity" in how else how
            assert np.array_equal(np.asarray(found), np.asarray(upscale_picture(image, name, **size)))
            assert not np.array_equal(np.asarray(found), upscale_picture(np.asarray(image), "photo-x4"))


class Engine:
    """An engine that remembers what it ran, for a network that is not the same after a turn."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.sizes.append(tuple(images.shape))
        return Repeat()(images) * torch.linspace(0, 1, images.shape[-1] * 2)


def test_engine_ensemble_tile_and_fidelity_reach_a_picture_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, asked = Engine(), []

    def choose(*given: Any, **how: Any) -> Chosen:
        asked.append(how)
        return Chosen("fast", engine)

    monkeypatch.setattr("aesop.upscaling.in_memory.choose_engine", choose)
    pixels = torch.full((2, 3, 16, 16), 0.5)
    result = upscale_picture(pixels, TWICE, engine="auto", ensemble=True, device="cpu")
    assert asked == [{"wanted": "auto", "pixels": 2 * 8 * 16 * 16, "device": torch.device("cpu")}]
    assert engine.sizes == [(1, 3, 16, 16)] * 16
    torch.testing.assert_close(result, torch.full((2, 3, 32, 32), 0.25))  # the mean over eight ramps
    upscale_picture(pixels, TWICE, engine="auto", tile=16, width=64)
    assert {size[-1] for size in engine.sizes[16:]} == {16}  # in both passes
    upscale_picture(pixels, TWICE)
    assert len(asked) == 2  # nothing is measured unless asked for
    torch.testing.assert_close(upscale_picture(pixels, TWICE, ensemble=True), torch.full((2, 3, 32, 32), 0.5))
    how: Any
    for how, message in (
        ({"engine": "fastest"}, "--engine fastest: no such engine"),
        ({"device": "tpu"}, "--device tpu: not available"),
        ({"fidelity": 2.0}, "--fidelity must be from 0 to 1"),
        ({"tile": 3}, "--tile 3 is too small"),
    ):
        with pytest.raises(AesopError, match=message):
            upscale_picture(pixels, TWICE, **how)
    assert not torch.equal(upscale_picture(pixels[0], fidelity=0.5), upscale_picture(pixels[0], "clean-x4"))


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
