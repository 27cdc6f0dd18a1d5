"""Every kind of picture file keeps its kind and its pixels; what cannot be kept is refused."""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from aesop.data.pictures import PictureAccessError, libvips, read_picture
from aesop.errors import AesopError, DataError, MissingExtraError, RunError
from aesop.upscaling.pictures.sink import open_sink, require_holdable
from aesop.upscaling.pictures.source import PictureInfo, open_source
from picture_files import noise, repeated, smooth, through

NOISE: Any = pyvips.Image.new_from_array(noise(21, 34, 3))
PALETTE = Image.fromarray(noise(21, 34, 3)).quantize(16)


def save(name: str, image: Image.Image, **how: Any) -> tuple[str, Callable[[Path], None]]:
    return name, lambda path: image.save(path, **how)


WHOLE = {
    "grey png": save("a.png", Image.fromarray(noise(21, 34))),
    "rgb png": save("a.png", Image.fromarray(noise(21, 34, 3))),
    "palette png": save("a.png", PALETTE),
    "transparent palette png": save("a.png", PALETTE, transparency=3),
    "bilevel png": save("a.png", Image.fromarray(noise(21, 34) > 127)),
    "interlaced png": (
        "a.png",
        lambda path: pyvips.Image.new_from_array(noise(21, 34, 3)).pngsave(path, interlace=True),
    ),
    "grey tiff": save("a.tif", Image.fromarray(noise(21, 34)), compression="tiff_lzw"),
    "bilevel tiff": save("a.tiff", Image.fromarray(noise(21, 34) > 127), compression="group4"),
    "palette tiff": save("a.tif", PALETTE),
    "rgb tiff": save("a.tif", Image.fromarray(noise(21, 34, 3)), compression="tiff_deflate"),
    "rgb bmp": save("a.bmp", Image.fromarray(noise(21, 34, 3))),
    "grey bmp": save("a.bmp", Image.fromarray(noise(21, 34))),
    "palette bmp": save("a.bmp", PALETTE),
    "gif": save("a.gif", PALETTE),
    "lossless webp": save("a.webp", Image.fromarray(noise(21, 34, 3)), lossless=True),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_8_bit_pictures_without_loss_come_out_as_they_went_in(kind: str, tmp_path: Path) -> None:
    name, make = WHOLE[kind]
    make(tmp_path / name)
    with Image.open(tmp_path / name) as image:
        grey = kind.startswith(("grey", "bilevel"))
        mode = "L" if grey else "RGBA" if "transparent" in kind else "RGB"
        expected = np.asarray(image.convert(mode))
    result = through(tmp_path / name, tmp_path)
    assert result.suffix == (".tif" if "tif" in name else ".png" if "gif" in name else Path(name).suffix)
    with Image.open(result) as image:
        assert image.mode == ("RGB" if "bmp" in kind else mode)
        if "transparent" in kind:
            seen = repeated(expected)[..., 3] > 0
            assert np.array_equal(np.asarray(image)[seen], repeated(expected)[seen])
            assert np.array_equal(np.asarray(image)[..., 3], repeated(expected)[..., 3])
        else:
            assert np.array_equal(np.asarray(image.convert(mode)), repeated(expected))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.bmp"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pixels_are_those_of_training_and_evaluation(name: str, mode: str, tmp_path: Path) -> None:
    Image.fromarray(smooth(67, 50)).convert(mode).save(tmp_path / name)
    source = open_source(tmp_path / name)
    assert source.info.channels == (1 if mode == "L" and name != "a.webp" else 3)
    strips = np.concatenate(list(source.strips(16)))
    assert np.array_equal(np.broadcast_to(strips, (67, 50, 3)), read_picture(tmp_path / name))


def test_16_bits_keep_all_levels(tmp_path: Path) -> None:
    gradient = np.linspace(20_000, 29_000, 384).astype(np.uint16)[None].repeat(40, 0)
    colour = np.stack([gradient, gradient[:, ::-1], noise(40, 384, dtype=np.uint16)], 2)
    with_alpha = np.concatenate([colour, noise(40, 384, 1, dtype=np.uint16) | 1], 2)
    for pixels in (gradient, colour, with_alpha):
        for suffix in (".png", ".tif"):
            cv2.imwrite(str(tmp_path / f"a{suffix}"), pixels)
            result = cv2.imread(str(through(tmp_path / f"a{suffix}", tmp_path)), cv2.IMREAD_UNCHANGED)
            assert result is not None
            assert result.dtype == np.uint16
            assert np.array_equal(result, repeated(pixels))
    with_others = open_source(through(tmp_path / "a.png", tmp_path, key="tiff")).read()
    assert np.array_equal(np.unique(with_others[..., 2]), np.unique(gradient))


def test_avif_keeps_12_bits(tmp_path: Path) -> None:
    levels = np.linspace(20_000, 29_000, 384).astype(np.uint16)[None].repeat(48, 0)
    cv2.imwrite(str(tmp_path / "a.png"), levels[..., None].repeat(3, 2))
    result = open_source(through(tmp_path / "a.png", tmp_path, key="avif", lossless=True))
    assert result.info.depth == 16
    deep = result.read()
    assert np.abs(deep.astype(int) - repeated(levels)[..., None]).max() <= 64
    assert len(np.unique(deep)) > 384 / 65536 * 9_000


def test_associated_alpha_is_undone(tmp_path: Path) -> None:
    pixels = np.full((9, 9, 4), (64, 32, 16, 128), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["assocalpha"])
    with Image.open(through(tmp_path / "a.tif", tmp_path)) as image:
        assert image.tag_v2[338] == (2,)  # type: ignore[attr-defined]
        assert np.abs(np.asarray(image).astype(int) - (127, 64, 32, 128)).max() <= 1


def test_hidden_colours_do_not_bleed(tmp_path: Path) -> None:
    """In a blurred green disc on hidden magenta, everything visible stays green."""
    y, x = np.mgrid[-40:40, -40:40]
    pixels = np.full((80, 80, 4), (255, 0, 255, 0), np.uint8)
    pixels[np.hypot(x, y) < 25] = (20, 200, 40, 255)
    pixels[(np.hypot(x, y) >= 25) & (np.hypot(x, y) < 26)] = (20, 200, 40, 90)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    read = open_source(tmp_path / "a.png").read()
    assert np.array_equal(read[pixels[..., 3] > 0], pixels[pixels[..., 3] > 0])

    def rim(picture: np.ndarray) -> float:
        blurred = cv2.blur(picture[..., :3], (9, 9)).astype(int)
        return np.abs(blurred - (20, 200, 40))[pixels[..., 3] > 0].max()

    assert rim(read) <= 1
    assert rim(pixels) > 100


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(orientation: int, tmp_path: Path) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(noise(30, 20, 3)).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    with Image.open(through(tmp_path / "a.png", tmp_path)) as image:
        assert image.getexif()[0x112] == 1
        assert np.array_equal(np.asarray(image), repeated(expected))


def test_several_frames_or_pages_are_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(noise(9, 9, 3)).convert("RGB").rotate(90 * n) for n in range(3)]
    for suffix in ("gif", "png", "webp", "avif", "tif"):
        frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
        with pytest.raises(DataError, match=rf"a\.{suffix}: this .* file has several (frames|pages); split it"):
            open_source(tmp_path / f"a.{suffix}")
    with tifffile.TiffWriter(tmp_path / "b.tif") as tiff:  # a smaller version of the same page is none of its own
        tiff.write(noise(16, 16, 3), photometric="rgb")
        tiff.write(noise(8, 8, 3), photometric="rgb", subfiletype=1)
    assert open_source(tmp_path / "b.tif").info.height == 16


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "float.tif", np.ones((9, 9), np.float32))
    tifffile.imwrite(tmp_path / "five.tif", noise(9, 9, 5), photometric="minisblack", planarconfig="contig")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    for name, message in (
        ("float.tif", "pixels of float are not supported; save it with 8 or 16 bits"),
        ("five.tif", "5 channels"),
        ("text.png", "no complete picture"),
        ("empty.png", "no complete picture"),
        ("missing.png", "no such file"),
    ):
        with pytest.raises(DataError, match=rf"{name}: .*{message}"):
            open_source(tmp_path / name)
    Image.fromarray(noise(9, 9, 3)).save(tmp_path / "a.png")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.png").read_bytes())  # by content, not by name
    assert open_source(tmp_path / "a.jpg").info.format == "png"
    with pytest.raises(PictureAccessError):
        open_source(Path("/proc/self/mem"))


@pytest.mark.parametrize("turn", [2, 6])
def test_a_picture_that_is_decoded_to_be_turned_is_held_to_the_lower_limit(
    turn: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x112] = turn
    Image.fromarray(noise(30, 40, 3)).save(tmp_path / "a.jpg", exif=exif)
    monkeypatch.setattr("aesop.upscaling.pictures.source.PIXEL_LIMIT", 1000)
    with pytest.raises(DataError, match=r"40 x 30 pixels are more than") if turn == 6 else nullcontext():
        open_source(tmp_path / "a.jpg")


def test_a_full_disk_while_a_picture_is_turned_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(noise(30, 40, 3)).save(tmp_path / "a.jpg", exif=exif)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "small"))

    def fetch(*_: object) -> bytes:  # what libvips says
        detail = "wbuffer_write: write failed\nsystem error: No space left on device\n"
        raise libvips().Error("unable to fetch from region", detail)

    monkeypatch.setattr(libvips().Region, "fetch", fetch)
    with pytest.raises(RunError, match=r"^\S*/small: the disk is full; free some space and try again\.$"):
        open_source(tmp_path / "a.jpg").read()


def test_limits_of_formats_are_known_before_the_work() -> None:
    info = PictureInfo("png", 100, 100, 3)
    for key, changed, message in (
        ("jpeg", info.resized(70_000, 10), "10 x 70000 pixels are more than the 65,500 a side that JPEG"),
        ("webp", info.resized(10, 16_384), "more than the 16,383 a side"),
        ("avif", info.resized(10, 16_385), "more than the 16,384 a side"),
        ("bmp", info.resized(30_000, 30_000), "2 GB at most"),
        ("jpeg", PictureInfo("png", 9, 9, 3, alpha=True), "no transparency; choose PNG"),
        ("bmp", PictureInfo("png", 9, 9, 3, alpha=True), "no transparency"),
        ("webp", PictureInfo("png", 9, 9, 1, depth=16), "8 bits a channel, the picture 16; choose PNG or TIFF"),
        ("gif", info, "GIF files are not written; choose PNG"),
    ):
        with pytest.raises(DataError, match=f"out: .*{message}"):
            require_holdable(Path("out"), changed, key)
    for key, changed in (("jpeg", info.resized(65_500, 9)), ("webp", info.resized(16_383, 9)), ("png", info)):
        require_holdable(Path("out"), changed, key)


@pytest.mark.parametrize("key", ["png", "jpeg", "tiff", "webp", "avif", "bmp"])
def test_a_result_is_whole_or_absent(key: str, tmp_path: Path) -> None:
    import resource

    info = PictureInfo("png", 300, 300, 3)
    target = tmp_path / "a"
    target.write_text("before")

    def write_all(*strips: np.ndarray | None) -> None:
        with open_sink(target, info, key) as write:
            for strip in strips:
                if strip is None:
                    raise ValueError("stopped")
                write(strip)

    for wrong in (noise(301, 300, 3), noise(10, 299, 3), noise(10, 300, 1)):
        with pytest.raises(ValueError, match="does not fit 300 x 300 x 3"):
            write_all(wrong)
    with pytest.raises(ValueError, match="10 rows of 300"):
        write_all(noise(10, 300, 3))
    with pytest.raises(ValueError, match="stopped"):
        write_all(noise(200, 300, 3), None)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))  # as a full disk
    try:
        with pytest.raises(AesopError, match="a: the file is too large for this disk") as raised:
            write_all(*[noise(100, 300, 3)] * 3)
        assert not isinstance(raised.value, RunError)  # others may fit
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_quality_and_losslessness(tmp_path: Path) -> None:
    pixels = smooth(64, 64) ^ noise(64, 64, 3) // 16
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for key in ("jpeg", "webp", "avif"):
        sizes = [through(tmp_path / "a.png", tmp_path, key=key, quality=q).stat().st_size for q in (30, 60, 95)]
        assert sizes == sorted(set(sizes))
    for lossless in (True, False):
        Image.fromarray(pixels).save(tmp_path / "a.webp", lossless=lossless)
        assert open_source(through(tmp_path / "a.webp", tmp_path)).info.lossless is lossless


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(smooth(40, 64))).save(tmp_path / "a.heic", quality=95)
    with Image.open(result := through(tmp_path / "a.heic", tmp_path)) as image:
        assert result.suffix == ".png"
        assert np.abs(np.asarray(image).astype(int) - repeated(smooth(40, 64))).mean() < 4
    deep = np.linspace(20_000, 29_000, 64 * 3 * 40).astype(np.uint16).reshape(40, 64, 3)
    heif.encode("RGB;16", (64, 40), deep.tobytes(), tmp_path / "b.heic", quality=-1)
    source = open_source(tmp_path / "b.heic")
    assert source.info.depth == 16
    assert np.abs(source.read().astype(int) - deep).max() < 400


def test_jpeg_xl(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl")
    from aesop.upscaling.pictures.headers import jxl_header

    for size in ((40, 64), (41, 1000), (9, 9), (300, 200)):
        Image.fromarray(noise(*size, 3)).save(tmp_path / "a.jxl", lossless=True)
        assert jxl_header(tmp_path / "a.jxl") == (*size, 8, False)
    assert np.array_equal(np.asarray(Image.open(through(tmp_path / "a.jxl", tmp_path))), repeated(noise(300, 200, 3)))


def test_extras_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (tmp_path / "a.jxl").write_bytes(b"\xff\x0a\0\0")
    for module, name, extra in (
        ("pillow_heif", "a.heic", "heic"),
        ("pillow_jxl.JpegXLImagePlugin", "a.jxl", "jxl"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingExtraError, match=rf"{name}: .*pip install 'aesop-sr\[{extra}\]'"):
            open_source(tmp_path / name)


def test_loaders_for_other_formats_stay_shut(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")
    pyvips.Image.black(9, 9).write_to_file(tmp_path / "b.v")
    for name in ("a.png", "b.v"):
        with pytest.raises(DataError, match="of no known format"):
            open_source(tmp_path / name)


def test_headers_that_claim_too_much_are_refused(tmp_path: Path) -> None:
    for name, place, layout, side, limit in (("a.png", 16, ">II", 70_000, "4000"), ("a.bmp", 18, "<II", 30_000, "400")):
        Image.fromarray(noise(9, 9, 3)).save(tmp_path / name)
        data = bytearray((tmp_path / name).read_bytes())
        data[place : place + 8] = struct.pack(layout, side, side)
        if name == "a.png":
            data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=rf"{name}: {side} x {side} pixels are more than {limit} million"):
            open_source(tmp_path / name)
