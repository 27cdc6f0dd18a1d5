"""Which model in the box upscales a picture if the user names none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from aesop.cli import app
from aesop.upscaling.pictures.source import picture_size, read_xmp
from aesop.upscaling.pictures.xmp import tag_of
from aesop.upscaling.upscale import upscale

SIZE = (20, 12)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), np.uint8))
    for name in ("a.jpg", "b.png", "c.webp", "d.tif"):
        picture.save(folder / name)
    picture.save(folder / "e.png", "JPEG")
    return folder


def models_of(folder: Path) -> dict[str, str]:
    """The name of the model that made each result, by the tag in the file."""
    found = {path.name: tag_of(read_xmp(path)) for path in sorted(folder.iterdir())}
    return {name: tag.model.partition(" ")[0] for name, tag in found.items() if tag}


def test_lossy_formats_get_the_model_for_photographs(pictures: Path, tmp_path: Path):
    report = upscale(pictures, "auto", tmp_path / "out", engine="torch")
    photo, clean = "photo-x4", "clean-x4"
    by_content = {"a.jpg": photo, "b.png": clean, "c.webp": photo, "d.tif": clean, "e.png": photo}
    assert models_of(tmp_path / "out") == by_content
    assert len(report.written) == 5
    assert all(picture_size(path) == (4 * SIZE[1], 4 * SIZE[0]) for path in report.written)
    assert sorted(part.partition(":")[0] for part in report.engine.split("; ")) == [clean, photo]
    again = upscale(pictures, "auto", tmp_path / "out", engine="torch")
    assert (len(again.skipped), again.failed) == (5, {})


@pytest.mark.parametrize("size", [{"scale": 2}, {"scale": 1.5}, {"width": 2 * SIZE[0]}])
def test_up_to_twice_the_size_they_get_the_one_of_scale_2(pictures: Path, tmp_path: Path, size: dict[str, float]):
    upscale(pictures, "auto", tmp_path / "out", engine="torch", **size)  # pyright: ignore[reportArgumentType]
    assert set(models_of(tmp_path / "out").values()) == {"photo-x2", "clean-x4"}
    upscale(pictures / "a.jpg", "auto", tmp_path / "larger", engine="torch", width=2 * SIZE[0] + 1)
    assert models_of(tmp_path / "larger") == {"a.jpg": "photo-x4"}


def test_names_and_bad_pictures(pictures: Path, tmp_path: Path):
    (pictures / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    report = upscale(pictures, "auto", tmp_path / "out", name="{stem}_{model}", engine="torch")
    assert {path.name for path in report.written} >= {"a_photo-x4.jpg", "b_clean-x4.png"}
    assert [path.name for path in report.failed] == ["bad.jpg"]


def test_the_dial_without_a_model_is_that_of_clean_x4(pictures: Path, tmp_path: Path):
    said = CliRunner().invoke(
        app, ["upscale", str(pictures / "a.jpg"), "--fidelity", "0.5", "--output", str(tmp_path / "out")]
    )
    assert said.exit_code == 0, said.output
    assert models_of(tmp_path / "out") == {"a.jpg": "clean-x4-aesop"}


@pytest.mark.parametrize(("fidelity", "end"), [(0.0, "clean-x4-aesop"), (1.0, "clean-x4")])
def test_the_ends_of_the_dial_are_the_two_networks(pictures: Path, tmp_path: Path, fidelity: float, end: str):
    upscale(pictures / "b.png", "auto", tmp_path / "out", fidelity=fidelity, engine="torch")
    assert upscale(pictures / "b.png", end, tmp_path / "out", engine="torch").skipped == [tmp_path / "out/b.png"]
