"""Folders: several pictures at a time, progress in pixels, and the summary."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

from aesop.cli import app
from aesop.data.pictures import read_picture, write_picture
from aesop.errors import AesopError, RunError
from aesop.networks.loading import LoadedGenerator
from aesop.progress import progress
from aesop.upscaling.batches import Batches
from aesop.upscaling.engines.choose import Chosen, choose_engine
from aesop.upscaling.upscale import upscale


class Repeat(nn.Module):
    """An x2 generator that repeats pixels and counts the threads that call it at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.threads, self.most = 0, set[int](), 0

    def __deepcopy__(self, _: object) -> Repeat:
        return self

    def forward(self, images: Tensor) -> Tensor:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.threads.add(threading.get_ident())
        result = images.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
        self.inside -= 1
        return result


def model() -> LoadedGenerator:
    return LoadedGenerator(Repeat(), 2, "repeat", Path("twice.pth"), "")


def model_of(network: nn.Module) -> LoadedGenerator:
    return dataclasses.replace(model(), model=network)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_rarer_suffixes_are_pictures_too(tmp_path: Path) -> None:
    """Results keep their names; HEIC, for which the extra may not be installed, is at least named."""
    (tmp_path / "in").mkdir()
    for name in ("a.jfif", "b.JPE"):
        Image.fromarray(picture(20, 30)).save(tmp_path / "in" / name, "JPEG")
    (tmp_path / "in/c.hif").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    report = upscale(tmp_path / "in", model(), tmp_path / "out")
    assert [path.name for path in report.written] == ["a.jfif", "b.JPE"]
    assert report.failed.keys() == {tmp_path / "in/c.hif"}
    with Image.open(tmp_path / "out/a.jfif") as image:
        assert (image.format, image.size) == ("JPEG", (60, 40))


def test_the_suffix_names_the_results_format(tmp_path: Path) -> None:
    """Whatever the content is."""
    (tmp_path / "in").mkdir()
    Image.fromarray(picture(20, 30)).save(tmp_path / "in/a.jpg", "PNG")
    Image.fromarray(picture(20, 30)).save(tmp_path / "in/b.png", "BMP")
    upscale(tmp_path / "in", model(), tmp_path / "out")
    for name, kind in (("a.jpg", "JPEG"), ("b.png", "PNG")):
        with Image.open(tmp_path / "out" / name) as image:
            assert (image.format, image.size) == (kind, (60, 40))


def test_another_models_result_whose_xmp_was_too_long_is_not_taken_for_done(tmp_path: Path) -> None:
    Image.fromarray(picture(20, 30)).save(tmp_path / "a.webp", xmp=b"<rdf:RDF>" + b" " * 70_000 + b"</rdf:RDF>")
    report = upscale(tmp_path / "a.webp", model(), tmp_path / "out", format="jpeg")
    assert report.written == [tmp_path / "out/a.jpg"]
    assert report.notes == [f"{tmp_path}/out/a.jpg: XMP of more than 64 kB left out, as JPEG cannot hold it; PNG can."]
    other = dataclasses.replace(model(), path=Path("other.pth"))
    report = upscale(tmp_path / "a.webp", other, tmp_path / "out", format="jpeg")
    assert "is of twice, scale 2" in report.failed[tmp_path / "a.webp"]
    how = ["upscale", str(tmp_path / "a.webp"), "--format", "jpeg", "--output", str(tmp_path / "new")]
    told = CliRunner().invoke(app, how)
    assert (told.exit_code, "a.jpg: XMP of more than 64 kB left out" in told.stderr) == (0, True)


def test_the_network_runs_one_picture_at_a_time(tmp_path: Path) -> None:
    originals = {f"{seed:02}.png": picture(20 + seed, 30, seed) for seed in range(20)}
    for name, pixels in originals.items():
        write_picture(tmp_path / "in" / name, pixels)
    network = Repeat()
    report = upscale(tmp_path / "in", model_of(network), tmp_path / "out")
    assert [path.name for path in report.written] == sorted(originals)
    for name, pixels in originals.items():
        assert np.array_equal(read_picture(tmp_path / "out" / name), pixels.repeat(2, 0).repeat(2, 1))
    assert network.most == 1
    assert len(network.threads - {threading.get_ident()}) == 1
    assert report.megapixels == pytest.approx(sum(pixels[..., 0].size * 4 for pixels in originals.values()) / 1e6)
    assert report.seconds > 0


def test_small_pictures_of_one_size_share_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forced onto the CPU; the very first picture waits until others have arrived."""
    monkeypatch.setattr("aesop.upscaling.groups.pays", lambda device: True)
    originals = {f"{seed:02}.png": picture(20 + 4 * (seed > 12), 30, seed) for seed in range(20)}
    for name, pixels in originals.items():
        write_picture(tmp_path / "in" / name, pixels)
    sizes: list[int] = []

    class Counting(Repeat):
        def forward(self, images: Tensor) -> Tensor:
            time.sleep(0.05)
            sizes.append(len(images))
            return super().forward(images)

    upscale(tmp_path / "in", model_of(Counting()), tmp_path / "out", engine="torch")
    for name, pixels in originals.items():
        assert np.array_equal(read_picture(tmp_path / "out" / name), pixels.repeat(2, 0).repeat(2, 1))
    assert sum(sizes) == 20
    assert max(sizes) > 3


def test_a_batch_that_fails_is_run_one_by_one() -> None:
    def run(images: Tensor) -> Tensor:
        if len(images) > 1 or images.min() < 0:
            raise torch.OutOfMemoryError
        return images + 1

    with ThreadPoolExecutor(1) as network, ThreadPoolExecutor(4) as threads:
        held = threading.Event()
        network.submit(held.wait)
        engine = Batches(run, network)
        futures = [threads.submit(engine, torch.full((1, 3, 4, 4), value)) for value in (0.0, -1.0, 2.0)]
        while len(engine._waiting) < 3:
            time.sleep(0.001)
        held.set()
        assert futures[0].result().max() == 1
        assert futures[2].result().max() == 3
        with pytest.raises(torch.OutOfMemoryError):
            futures[1].result()


def test_a_full_disk_stops_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(30):
        write_picture(tmp_path / f"in/{seed:02}.png", picture(20, 30, seed))

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(
        RunError, match=r"disk is full.* 0 of 30 pictures are written; the same command does the others"
    ):
        upscale(tmp_path / "in", model(), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert threading.active_count() < 30


@pytest.mark.parametrize("number", [errno.EFBIG, errno.EIO])
def test_a_file_that_alone_cannot_be_written_fails_alone(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(4):
        write_picture(tmp_path / f"in/{seed}.png", picture(20, 30, seed))
    replace = Path.replace

    def refuses(self: Path, target: Path) -> Path:
        if target.name == "1.png":
            raise OSError(number, os.strerror(number))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuses)
    report = upscale(tmp_path / "in", model(), tmp_path / "out")
    assert [path.name for path in report.written] == ["0.png", "2.png", "3.png"]
    assert report.failed.keys() == {tmp_path / "in/1.png"}
    assert str(tmp_path / "out/1.png") in report.failed[tmp_path / "in/1.png"]
    assert len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.parametrize(
    "failure", [AssertionError(), ValueError("odd sides\nof course"), KeyError("x"), MemoryError()]
)
def test_whatever_a_network_raises_fails_one_picture(
    failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Repeat):
        def forward(self, images: Tensor) -> Tensor:
            if images.shape[-1] != 30:
                raise failure
            return super().forward(images)

    for seed in range(5):
        write_picture(tmp_path / f"in/{seed}.png", picture(20, 31 - (seed != 2), seed))
    generator = model_of(Failing())
    report = upscale(tmp_path / "in", generator, tmp_path / "out")
    assert [path.name for path in report.written] == ["0.png", "1.png", "3.png", "4.png"]
    said = report.failed.pop(tmp_path / "in/2.png")
    assert not report.failed
    if isinstance(failure, MemoryError):
        assert said == "not enough memory; close other programs, or take another --device."
    else:
        assert said.startswith(f"cannot be upscaled ({type(failure).__name__}(")
        assert "\n" not in said
    monkeypatch.setattr("aesop.upscaling.upscale.generators_for", lambda *_: lambda _: generator)
    failed = CliRunner().invoke(app, ["upscale", str(tmp_path / "in"), "--output", str(tmp_path / "again")])
    assert failed.exit_code == 2
    assert f"{tmp_path / 'in/2.png'}: {said}" in failed.stderr
    assert "4 written" in failed.stdout


def test_what_fails_while_the_engine_is_chosen_fails_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the first picture's pixels nor an engine that cannot even be tried."""
    for seed in range(2):
        write_picture(tmp_path / f"in/{seed}.png", picture(20, 31, seed))

    def fails(*given: Any, wanted: str, **options: Any) -> Chosen:
        if wanted != "torch":
            raise MemoryError
        return choose_engine(*given, wanted=wanted, **options)

    def refuses(path: Path) -> Any:
        raise MemoryError

    monkeypatch.setattr("aesop.upscaling.groups.choose_engine", fails)
    monkeypatch.setattr("aesop.upscaling.groups.open_source", refuses)
    assert len(upscale(tmp_path / "in", model(), tmp_path / "out").written) == 2


def test_who_watches_ends_the_work_by_whatever_it_raises(tmp_path: Path) -> None:
    write_picture(tmp_path / "in/a.png", picture(20, 31))
    for error in (ValueError("enough"), RuntimeError("enough"), OSError(5, "enough")):

        def watch(done: int, work: int, name: str, error: Exception = error) -> None:
            raise error

        with pytest.raises((type(error), AesopError), match="enough"):
            upscale(tmp_path / "in", model(), tmp_path / "out", watch=watch)
        assert list((tmp_path / "out").iterdir()) == []


def test_time_and_memory_of_long_work_are_told_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "in/a.png", picture(20, 30))
    generator = model()
    for seconds, told in ((0.01, False), (12.0, True)):
        chosen = Chosen("torch", generator.model, seconds=seconds)
        monkeypatch.setattr("aesop.upscaling.groups.choose_engine", lambda *_, found=chosen, **__: found)
        upscale(tmp_path / "in", generator, tmp_path / "out", overwrite=True)
        assert bool(re.search(r"; about 2h00m and \d+\.\d GB of memory\n", capsys.readouterr().err)) == told


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    wrong: Any
    for wrong in ([picture(20, 30)], 3, None):
        with pytest.raises(AesopError, match="takes paths, or one picture: a PIL image, an array or a tensor"):
            upscale(wrong, model(), tmp_path / "out")
    write_picture(tmp_path / "a.png", picture(20, 30))
    with pytest.raises(AesopError, match=r"a\.png/out: "):
        upscale(tmp_path / "a.png", model(), tmp_path / "a.png/out")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(AesopError, match=r"pipe\.png: is neither a file nor a folder"):
        upscale(tmp_path / "pipe.png", model(), tmp_path / "out")


def test_one_large_picture_shows_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aesop.progress.LINE_INTERVAL", 0.0)
    write_picture(tmp_path / "a.png", picture(640, 800))
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    upscale([tmp_path / "a.png", tmp_path / "b.png"], model(), tmp_path / "out", tile=256)
    said = capsys.readouterr().err
    assert "upscale: 2 pictures to 2.0 megapixels by twice; engine: torch" in said
    parts = [float(part) for part in re.findall(r"upscale: ([\d.]+)/0.5, [\d.]+ MP/s, \w+ left", said)]
    assert len(set(parts)) > 3
    assert parts == sorted(parts)
    assert parts[-1] == 0.5


def test_what_fails_counts_as_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The header is intact, the pixels are not."""
    monkeypatch.setattr("aesop.progress.LINE_INTERVAL", 0.0)
    write_picture(tmp_path / "a.png", picture(700, 1000))
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    report = upscale(tmp_path / "a.png", model(), tmp_path / "out")
    assert "no complete picture" in report.failed[tmp_path / "a.png"]
    assert "upscale: 0.7/0.7, " in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_progress_in_larger_units(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("work", 2_500_000, unit="MP", per=1_000_000) as advance:
        advance(500_000)
        advance(2_000_000, "a.png")
    assert re.fullmatch(r"work: 2\.5/2\.5, [\d.]+ MP/s, 0s left, a\.png\n", capsys.readouterr().err)
