"""Tiles against the whole picture; reading and writing pictures and folders."""

from __future__ import annotations

import dataclasses
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from spandrel.architectures.SwinIR import SwinIR
from torch import Tensor, nn

from aesop.cli import main
from aesop.data.bicubic import resize
from aesop.data.pictures import read_picture, write_picture
from aesop.errors import AesopError, DataError, ModelError
from aesop.networks.loading import LoadedGenerator
from aesop.networks.rrdb import RRDBNet
from aesop.upscaling.pictures.formats import sniff
from aesop.upscaling.pictures.source import open_source
from aesop.upscaling.tiles import STEP, Upscaler, measure_overlap, spans, upscale_tiled
from aesop.upscaling.upscale import upscale
from helpers import Repeat, without_access, write_model


class SmallNet(nn.Module):
    """`layers` 3x3 convolutions with biases, then x2; it sees exactly `layers` LR pixels in each direction."""

    def __init__(self, layers: int = 3) -> None:
        super().__init__()
        widths = [3] + [8] * layers
        self.body = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.last = nn.Conv2d(8, 12, 1)

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for layer in self.body:
            x = torch.tanh(layer(x) + 0.3)
        return nn.functional.pixel_shuffle(self.last(x), 2)


class Global(SmallNet):
    """A network that looks at the whole picture."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + images.std(dim=(2, 3), keepdim=True).mean(dim=1, keepdim=True)


@given(length=st.integers(1, 400), tile=st.integers(1, 150), overlap=st.integers(0, 70))
@settings(max_examples=100, deadline=None)
def test_spans_cover_an_axis_once(length: int, tile: int, overlap: int) -> None:
    parts = spans(length, tile, overlap)
    assert [pixel for part in parts for pixel in range(part.start, part.stop)] == list(range(length))
    for part in parts:
        assert part.left == 0 or part.start - part.left >= overlap
        assert part.right == length or part.right - part.stop >= overlap
        assert part.left % STEP == 0
        assert part.right % STEP == 0 or part.right == length
        assert part.stop - part.start < tile + STEP


@pytest.mark.parametrize("size", [(70, 53), (33, 129), (16, 16), (5, 90), (65, 64)])
@pytest.mark.parametrize("tile", [16, 48])
def test_tiled_equals_whole(size: tuple[int, int], tile: int) -> None:
    model, image = SmallNet().eval(), torch.rand(3, *size)
    with torch.no_grad():
        whole = model(image.unsqueeze(0))[0]
    model.register_forward_pre_hook(lambda _, inputs: seen.append(max(inputs[0].shape[-2:])))
    seen: list[int] = []
    tiled = upscale_tiled(model, image, 2, tile=tile, overlap=3)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-6)
    assert max(seen) <= tile + 2 * STEP


def test_overlap_is_what_the_model_sees() -> None:
    for layers in (1, 5, 18):
        found = measure_overlap(SmallNet(layers).eval(), 2, tolerance=1e-6)
        assert found.sufficient
        assert found.pixels <= -(-layers // STEP) * STEP
    for kernel, padding in ((39, 19), ((39, 1), (19, 0))):  # as far each way, and down only
        wide = nn.Conv2d(3, 3, kernel, padding=padding).eval()
        nn.init.constant_(wide.weight, 0.01)
        assert measure_overlap(wide, 1).pixels == 32


def test_a_model_that_sees_everything_is_reported() -> None:
    upscaler = Upscaler(Global().eval(), 2, tile=32)
    upscaler(torch.zeros(3, 20, 20, dtype=torch.uint8))
    assert not upscaler.seams
    upscaler(torch.zeros(3, 20, 40, dtype=torch.uint8))
    assert upscaler.seams


@pytest.mark.parametrize(("tile", "height"), [(16, 75), (32, 75), (64, 75), (None, 75), (None, 4400)])
def test_8_bit_result_does_not_depend_on_the_tile(tile: int | None, height: int) -> None:
    """By default, pictures of more than 512 * 512 pixels are cut into tiles."""
    torch.manual_seed(1)
    model = SmallNet(6).eval()
    picture = torch.randint(0, 256, (3, height, 61), dtype=torch.uint8)
    assert (Upscaler(model, 2, tile).tiling(height, 61)[0] < height) is (tile in (16, 32, 64) or height == 4400)
    with torch.no_grad():
        whole = model(picture.unsqueeze(0) / 255)[0].clamp(0, 1) * 255
    result = Upscaler(model, 2, tile)(picture)
    assert result.dtype == torch.uint8
    assert (result.double() - whole).abs().max() <= 0.5 + 1e-3


def test_wrong_scale_and_nan_are_refused() -> None:
    with pytest.raises(ModelError, match="not for scale 4"):
        upscale_tiled(SmallNet(), torch.rand(3, 8, 8), 4, tile=16, overlap=0)
    model = SmallNet()
    nn.init.constant_(model.last.weight, float("nan"))
    with pytest.raises(ModelError, match="not a number"):
        upscale_tiled(model, torch.rand(3, 8, 8), 2, tile=16, overlap=0)
    with pytest.raises(AesopError, match="--tile 3"):
        Upscaler(model, 2, tile=3)


@pytest.mark.parametrize(("architecture", "tile"), [("RRDB", 32), ("SwinIR", 48)])
def test_known_architectures_are_the_same_in_tiles(architecture: str, tile: int) -> None:
    """Random weights depend little on far pixels; SwinIR's windows must lie where they do in the whole picture."""
    small = {"img_size": 16, "depths": [2], "embed_dim": 12, "num_heads": [2], "upsampler": "pixelshuffledirect"}
    model = RRDBNet(2, 8, 2, 4) if architecture == "RRDB" else SwinIR(window_size=8, mlp_ratio=2, upscale=2, **small)
    picture = torch.randint(0, 256, (3, 83, 70), dtype=torch.uint8)
    whole = Upscaler(model.eval(), 2)(picture)
    tiled = Upscaler(model, 2, tile)(picture)
    assert (whole.int() - tiled.int()).abs().max() <= 1


MODEL = LoadedGenerator(Repeat(), 2, "repeat", Path("model.pth"), "")


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_folder_keeps_its_names(tmp_path: Path) -> None:
    first, second = picture(12, 9), picture(7, 8, seed=1)
    write_picture(tmp_path / "in/a.png", first)
    write_picture(tmp_path / "in/deep/er/b.tif", second)
    write_picture(tmp_path / "alone.png", first)
    out = tmp_path / "out"
    report = upscale([str(tmp_path / "in"), tmp_path / "alone.png"], MODEL, str(out))
    assert sorted(report.written) == [out / "a.png", out / "alone.png", out / "deep/er/b.tif"]
    assert np.array_equal(read_picture(out / "a.png"), first.repeat(2, 0).repeat(2, 1))
    assert np.array_equal(read_picture(out / "deep/er/b.tif"), second.repeat(2, 0).repeat(2, 1))
    upscale(tmp_path / "in", MODEL, tmp_path / "webp", format="webp", quality=80)
    assert names(tmp_path / "webp") == ["a.webp", "deep/er/b.webp"]


def test_alpha_is_kept(tmp_path: Path) -> None:
    original = picture(16, 20, channels=4)
    original[..., 3] |= 1  # colours under none are not kept
    write_picture(tmp_path / "a.png", original)
    upscale(tmp_path / "a.png", MODEL, tmp_path / "out")
    result = read_picture(tmp_path / "out/a.png", alpha=True)
    assert result.shape == (32, 40, 4)
    assert np.array_equal(result[..., :3], original[..., :3].repeat(2, 0).repeat(2, 1))
    assert np.array_equal(result[..., 3], resize(torch.from_numpy(original[None, ..., 3]), 2)[0].numpy())


def test_what_cannot_be_upscaled_costs_nothing_but_itself(tmp_path: Path) -> None:
    long = "x" * 251 + ".bmp"
    for name in ("a.png", "c.png", "locked/d.png"):
        write_picture(tmp_path / "in" / name, picture(8, 8))
    (tmp_path / "in/b.png").write_bytes(b"not a picture")
    (tmp_path / "in/dangling.png").symlink_to("nowhere.png")
    for name in ("x" * 251 + ".png", long):  # both would be that PNG; with its suffix, the second is too long
        write_picture(tmp_path / "in" / name, picture(8, 8))
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o777)  # whoever this process is then
    with without_access(tmp_path / "in/locked"):
        report = upscale(tmp_path / "in", MODEL, tmp_path / "out", format="png")
    assert [path.name for path in report.written] == ["a.png", "c.png", "x" * 251 + ".png"]
    assert {path.name: reason for path, reason in report.failed.items()}.keys() == {"b.png", "dangling.png", long}
    assert "file name is too long; choose a shorter one" in report.failed[tmp_path / "in" / long]
    assert len(report.unreadable) == 1
    assert str(tmp_path / "in/locked") in report.unreadable[0]
    assert len(names(tmp_path / "out")) == 3
    hidden = tmp_path / "in/locked/d.png"  # not even whether it is a folder can be found out
    with without_access(tmp_path / "in/locked"):
        report = upscale([hidden, tmp_path / "in/a.png"], MODEL, tmp_path / "out", format="png", overwrite=True)
    assert [path.name for path in report.written] == ["a.png"]
    assert report.unreadable == [f"{hidden}: permission denied; change its permissions or choose another path."]
    with without_access(tmp_path / "in/locked"), pytest.raises(DataError, match="locked"):  # nothing is left to do
        upscale(tmp_path / "in/locked", MODEL, tmp_path / "out")


def test_a_full_memory_is_named_with_its_mend(tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    model = Repeat()
    model.register_forward_pre_hook(full)
    write_picture(tmp_path / "a.png", picture(8, 8))
    report = upscale(tmp_path / "a.png", dataclasses.replace(MODEL, model=model), tmp_path / "out")
    assert report.failed == {tmp_path / "a.png": "not enough memory; close other programs, or take another --device."}


def test_originals_are_safe_and_results_are_kept_unless_overwritten(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", picture(8, 8))
    write_picture(tmp_path / "out/a.png", picture(3, 3))
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(DataError, match="replace an original"):
        upscale(tmp_path / "a.png", MODEL, tmp_path, overwrite=True)
    with pytest.raises(DataError, match="input folder"):
        upscale(tmp_path, MODEL, tmp_path)
    for overwrite, side in ((False, 3), (True, 16)):  # results are no inputs
        report = upscale(tmp_path, MODEL, tmp_path / "out", overwrite=overwrite)
        assert report.skipped == ([] if overwrite else [tmp_path / "out/a.png"])
        assert read_picture(tmp_path / "out/a.png").shape == (side, side, 3)
    assert names(tmp_path) == ["a.png", "out/a.png"]
    assert (tmp_path / "a.png").read_bytes() == before


def test_results_of_another_model_are_not_taken_for_done(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", picture(8, 8))
    upscale(tmp_path / "a.png", MODEL, tmp_path / "out")
    assert upscale(tmp_path / "a.png", MODEL, tmp_path / "out").skipped == [tmp_path / "out/a.png"]
    other = dataclasses.replace(MODEL, sha256="0123456789abcdef")
    report = upscale(tmp_path / "a.png", other, tmp_path / "out")
    assert report.failed == {
        tmp_path
        / "a.png": f"{tmp_path}/out/a.png: is of model, scale 2; --overwrite replaces it, or choose another --output."
    }
    assert upscale(tmp_path / "a.png", other, tmp_path / "out", overwrite=True).written
    assert (
        "is of model 0123456789ab, scale 2" in upscale(tmp_path / "a.png", MODEL, tmp_path / "out").failed.popitem()[1]
    )


def test_what_a_format_cannot_hold_is_known_before_the_network_runs(tmp_path: Path) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    model = Repeat()
    model.register_forward_pre_hook(never)
    write_picture(tmp_path / "a.png", picture(8, 8, 4))
    report = upscale(tmp_path / "a.png", dataclasses.replace(MODEL, model=model), tmp_path / "out", format="jpeg")
    assert "JPEG files hold no transparency; choose PNG" in report.failed[tmp_path / "a.png"]


def test_a_mislabelled_picture_is_written_whole(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    deep = picture(8, 8)[..., 0].astype(np.uint16) * 257
    for name, pixels in {"clear": picture(8, 8, 4), "deep": deep, "plain": picture(8, 8)}.items():
        Image.fromarray(pixels).save(tmp_path / f"in/{name}.jpg", "PNG")
    report = upscale(tmp_path / "in", MODEL, tmp_path / "out")
    assert not report.failed
    assert sorted(path.name for path in report.written) == ["clear.png", "deep.png", "plain.jpg"]
    assert sniff((tmp_path / "out/plain.jpg").read_bytes()[:64]) == "jpeg"
    assert read_picture(tmp_path / "out/clear.png", alpha=True).shape == (16, 16, 4)
    assert open_source(tmp_path / "out/deep.png").info.depth == 16
    told = "the result is of format PNG, and called so."
    assert [line.split(": ", 1) for line in report.notes] == [
        [str(tmp_path / f"in/{name}.jpg"), f"JPEG cannot hold its transparency or 16 bits; {told}"]
        for name in ("clear", "deep")
    ]
    assert len(upscale(tmp_path / "in", MODEL, tmp_path / "out").skipped) == 3
    asked = upscale(tmp_path / "in/clear.jpg", MODEL, tmp_path / "asked", format="jpeg")
    assert "JPEG files hold no transparency" in asked.failed[tmp_path / "in/clear.jpg"]


def test_folders_are_searched_for_all_formats(tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(8, 8, seed=n)) for n in range(2)]
    frames[0].save(tmp_path / "in.gif")
    frames[0].save(tmp_path / "still.avif")
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    report = upscale(tmp_path, MODEL, tmp_path / "out")
    assert names(tmp_path / "out") == ["in.png", "still.avif"]
    assert "several frames" in report.failed[tmp_path / "moving.gif"]


def test_pictures_of_one_name_keep_their_suffix(tmp_path: Path) -> None:
    for name in ("in/a.png", "in/a.bmp", "other/a.png"):
        write_picture(tmp_path / name, picture(8, 8))
    report = upscale(tmp_path / "in", MODEL, tmp_path / "out", format="png")
    assert names(tmp_path / "out") == ["a.bmp.png", "a.png"]
    assert report.renamed == [tmp_path / "out/a.bmp.png"]
    upscale(tmp_path / "in", MODEL, tmp_path / "kept")
    assert names(tmp_path / "kept") == ["a.bmp", "a.png"]
    with pytest.raises(DataError, match=r"would both become .*a\.png; give their folders one by one"):
        upscale([tmp_path / "in", tmp_path / "other"], MODEL, tmp_path / "out")


def test_mistakes_are_named_before_work_starts(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", picture(8, 8))
    (tmp_path / "file").touch()
    right: dict[str, Any] = {"inputs": tmp_path / "a.png", "model": MODEL, "output": tmp_path / "out"}
    no_folders = ("out.png", "b.JPG", "file")
    for error, message, mistake in (
        (DataError, r"missing\.png", {"inputs": [tmp_path / "a.png", tmp_path / "missing.png"]}),
        (ModelError, r"missing\.pth", {"model": tmp_path / "missing.pth"}),
        (AesopError, "--device nowhere", {"device": "nowhere"}),
        (AesopError, "--format gif: choose one of png, jpeg,", {"format": "gif"}),
        (AesopError, "--quality must be from 1 to 100, not 0", {"quality": 0}),
        (AesopError, "--device meta", {"device": "meta"}),
        (AesopError, "not a folder; choose another", {"output": tmp_path / "file/out"}),
        *((DataError, f"{name}: --output is the folder", {"output": tmp_path / name}) for name in no_folders),
    ):
        with pytest.raises(error, match=message):
            upscale(**(right | dict[str, Any](mistake)))
    assert names(tmp_path) == ["a.png", "file"]
    (tmp_path / "out.png").mkdir()  # a folder may be called as a picture is
    assert upscale(tmp_path / "a.png", MODEL, tmp_path / "out.png").written == [tmp_path / "out.png/a.png"]


def test_command_exits_with_2_if_a_picture_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "model.safetensors", scale=2)
    arguments = [tmp_path / "in", "--model", model, "--output", tmp_path / "out", "--format", "png"]
    monkeypatch.setattr("sys.argv", ["aesop", "upscale", *map(str, arguments)])

    def call() -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as left:
            main()
        said, warned = capsys.readouterr()
        return left.value.code, said, warned

    write_picture(tmp_path / "in/a.png", picture(8, 8))
    write_picture(tmp_path / "in/a.bmp", picture(8, 8))
    status, said, _ = call()
    assert (status, said.splitlines()[0]) == (0, f"2 written to {tmp_path / 'out'}")
    assert "a.bmp.png" in said
    (tmp_path / "in/b.png").write_bytes(b"")
    status, said, warned = call()
    assert status == 2
    assert "2 skipped" in said
    assert "b.png" in warned
    (tmp_path / "in/b.png").unlink()
    (tmp_path / "in/a.png").rename(tmp_path / "in" / os.fsdecode(b"caf\xe9.png"))
    assert call()[0] == 0
    assert (tmp_path / "out" / os.fsdecode(b"caf\xe9.png")).is_file()


def test_an_engine_by_name(tmp_path: Path, photos: Path) -> None:
    model, output = write_model(tmp_path / "model.safetensors"), tmp_path / "out"
    for engine, told in (("auto", "engine: torch"), ("torch-channels-last", "engine: torch-channels-last, ")):
        report = upscale(photos, model, output / engine, engine=engine)
        assert report.engine.startswith(told)
        assert len(report.written) == 4
    first, second = (sorted((output / name).iterdir()) for name in ("auto", "torch-channels-last"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    with pytest.raises(AesopError, match="--engine fastest: no such engine; there are auto, exact, torch"):
        upscale(photos, model, output / "none", engine="fastest")
    assert not (output / "none").exists()
