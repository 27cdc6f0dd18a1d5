"""What figures show: their matplotlib artists, compared with the measured values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import PowerNorm, to_hex
from matplotlib.figure import Figure

from aesop.analysis.crops import CropSheet, draw_crops
from aesop.analysis.curves import PerceptionDistortion, PlottedCurve, PlottedPoint, draw_curves
from aesop.analysis.drawing import DPI, brightest, drawn, require_drawable, show
from aesop.analysis.loss_maps import LossMaps, draw_loss_maps, loss_maps
from aesop.analysis.loss_scales import LossCurve, LossScales, draw_loss_scales
from aesop.analysis.regions import Region
from aesop.analysis.spectra import compare_spectra, draw_spectra
from aesop.errors import AesopError
from analysis_cases import Halving


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are drawn; they are not rendered."""
    seen: list[Any] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: seen.append(figure))
    return seen


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def shown(axes: Any) -> np.ndarray:
    return np.asarray(axes.get_images()[0].get_array())


# Perception-distortion curves


def distortion(**methods: list[tuple[float, float]]) -> PerceptionDistortion:
    """Curves over PSNR and LPIPS through points, with notes a, b, c, ..."""
    curves = [
        PlottedCurve(
            name, "Set5", [PlottedPoint("abcdefgh"[i] if len(xys) > 1 else "", "file", *xy) for i, xy in enumerate(xys)]
        )
        for name, xys in methods.items()
    ]
    return PerceptionDistortion("psnr", "lpips", curves, [])


def test_curves_go_through_their_points(tmp_path: Path, figures: list[Any]):
    points = [(26.0, 0.3), (25.5, 0.25), (25.2, 0.21)]
    draw_curves(distortion(ours=points, alone=[(25.8, 0.32)]), tmp_path / "curves.png")
    (axes,) = figures[0].axes
    drawn_lines = {line.get_label(): line for line in axes.get_lines()}
    assert np.allclose(drawn_lines["ours"].get_xydata(), points)
    assert np.allclose(drawn_lines["alone"].get_xydata(), [(25.8, 0.32)])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("PSNR (dB) ↑", "LPIPS ↓")
    assert axes.get_title() == "Set5"
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["ours", "alone"]
    # The start is hollow; both ends are named, at their points.
    (start,) = [line for line in axes.get_lines() if line.get_markerfacecolor() == "white"]
    assert np.allclose(start.get_xydata(), points[:1])
    notes = {text.get_text(): getattr(text, "xy", None) for text in axes.texts}
    assert notes["a"] == points[0]
    assert notes["c"] == points[-1]
    assert "b" not in notes


@pytest.mark.parametrize(
    ("x", "y", "arrow", "corner"),
    [("psnr", "lpips", "↘", (1, 0)), ("lpips", "psnr", "↖", (0, 1)), ("psnr", "ssim", "↗", (1, 1))],
)
def test_the_better_corner_is_marked(tmp_path: Path, figures: list[Any], x: str, y: str, arrow: str, corner: Any):
    draw_curves(PerceptionDistortion(x, y, distortion(a=[(1.0, 1.0), (2.0, 2.0)]).curves, []), tmp_path / "curves.png")
    (mark,) = [text for text in figures[0].axes[0].texts if text.get_text().startswith("better")]
    assert mark.get_text() == f"better {arrow}"
    assert tuple(np.round(mark.xy)) == corner


def test_a_point_that_would_squeeze_the_curves_is_named_instead(tmp_path: Path, figures: list[Any]):
    ours = [(26.0, 0.30), (25.0, 0.20)]
    # An axis from 25 to 26 may become 2 long: down to 24, but not further.
    draw_curves(distortion(ours=ours, near=[(24.0, 0.25)], far=[(23.9, 0.25)]), tmp_path / "curves.png")
    (axes,) = figures[0].axes
    labels = {line.get_label() for line in axes.get_lines()}
    assert "near" in labels
    assert "far" not in labels
    assert axes.get_title() == "Set5\noutside: far (23.900 dB, 0.2500)"


def test_sixteen_methods_can_be_told_apart(tmp_path: Path, figures: list[Any]):
    draw_curves(distortion(**{f"m{i}": [(float(i), 1.0), (i + 1.0, 2.0)] for i in range(16)}), tmp_path / "curves.png")
    lines = [line for line in figures[0].axes[0].get_lines() if str(line.get_label()).startswith("m")]
    assert len({(to_hex(line.get_color()), line.get_marker()) for line in lines}) == 16


def test_labels_do_not_cover_each_other(tmp_path: Path, figures: list[Any]):
    start = (26.0, 0.3)
    ends = {f"m{i}": [start, (25.0 + 0.001 * i, 0.2)] for i in range(4)}
    draw_curves(distortion(**ends), tmp_path / "curves.png")
    (axes,) = figures[0].axes
    renderer = figures[0].canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert [text.get_text() for text in axes.texts].count("a") == 1  # one start, one note
    assert len(boxes) == 1 + 1 + 4
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


# Loss scales


def test_losses_are_drawn_plain_and_weighted_on_a_logarithmic_axis(tmp_path: Path, figures: list[Any]):
    pixel = LossCurve("pixel", 0.01, True, [2, 4], [0.04, 0.03])
    aesop = LossCurve("aesop", 1.0, True, [2, 4], [0.02, 0.01])
    draw_loss_scales(LossScales({"one": [pixel, aesop], "two": [aesop]}), tmp_path / "scales.png")
    one, two = figures[0].axes
    found = {line.get_label(): line.get_xydata().tolist() for line in one.get_lines()}
    assert found == {
        "pixel loss": [[2, 0.04], [4, 0.03]],
        "0.01 x pixel loss": [[2, pytest.approx(0.0004)], [4, pytest.approx(0.0003)]],
        "AESOP loss": [[2, 0.02], [4, 0.01]],
    }
    assert (one.get_title(), two.get_title()) == ("one", "two")
    assert one.get_yscale() == two.get_yscale() == "log"
    assert one.get_legend() is None  # it stands below the panels, over no curve
    assert len(figures[0].legends[0].get_texts()) == 3


# Loss maps


def test_all_loss_maps_are_in_one_visible_range(tmp_path: Path, figures: list[Any]):
    hr = picture(24, 32)
    maps = {name: loss_maps(picture(24, 32, seed), hr, Halving(), sigma=1) for seed, name in ((1, "a"), (2, "b"))}
    draw_loss_maps(LossMaps(hr, hr / 2, maps), tmp_path / "maps.png")
    panels = {}
    for axes in figures[0].axes:
        if axes.get_images():
            panels.setdefault(axes.get_title().split("\n")[0], []).append(axes)
    for title, values in (
        ("pixel loss $|SR - HR|$", [found.pixel for found in maps.values()]),
        ("AESOP loss $|AE(SR) - AE(HR)|$", [found.aesop for found in maps.values()]),
        ("high-pass loss", [found.high_pass for found in maps.values()]),
        ("variance $|HR - AE(HR)|$", [(hr / 2).mean(0)]),
        ("variance $|SR - AE(SR)|$", [(found.sr / 2).mean(0) for found in maps.values()]),
    ):
        for axes, expected in zip(panels[title], values, strict=True):
            assert np.allclose(shown(axes), expected)
            assert axes.get_title().split("\n")[1] == f"{float(expected.mean()):.4f}"
            norm = axes.get_images()[0].norm
            assert isinstance(norm, PowerNorm)
            assert norm.gamma == 0.5
            highest = max(brightest(found.pixel) for found in maps.values())
            assert axes.get_images()[0].get_clim() == (0, highest)
    assert np.allclose(shown(panels["HR"][0]), hr.permute(1, 2, 0))
    assert np.allclose(shown(panels["a"][0]), maps["a"].sr.permute(1, 2, 0))
    (bar,) = [child for axes in figures[0].axes for child in axes.child_axes]
    assert "square root" in bar.get_title()
    assert bar._colorbar.extend == "max"


# Spectra


def test_spectral_differences_have_their_sign(tmp_path: Path, figures: list[Any]):
    found = compare_spectra(picture(32, 32), Halving(), 4)
    draw_spectra(found, tmp_path / "spectra.png")
    panels = {axes.get_title(): axes for axes in figures[0].axes if axes.get_images()}
    last = panels["log spectrum of $AE(y)$ less that of $g * y$"]
    assert np.allclose(shown(last), found.autoencoded.spectrum - found.low_passed.spectrum)
    reach = brightest(found.spectral_difference.abs())
    assert last.get_images()[0].get_clim() == (-reach, reach)
    assert last.get_images()[0].get_cmap().name == "RdBu_r"
    difference = found.difference.mean(0)
    (axes,) = [axes for title, axes in panels.items() if title.startswith("$|AE(y) - g * y|$")]
    assert np.allclose(shown(axes), difference)
    assert axes.get_images()[0].get_clim() == (0, brightest(difference))
    assert np.allclose(shown(panels["log spectrum of $y$"]), found.picture.spectrum)
    spectra = [axes for title, axes in panels.items() if title.startswith("log spectrum")][:3]
    assert len({axes.get_images()[0].get_clim() for axes in spectra}) == 1
    bars = [axes.get_xlabel() for axes in figures[0].axes if not axes.get_images()]
    assert any(label.startswith("log(1 + |F|)") for label in bars)
    assert any("has more" in label for label in bars)


# Crops


def sheet_of(*titles: str, boxes: list[Region], captions: dict[str, list[str]] | None = None) -> CropSheet:
    images = {title: (picture(40, 60, seed) * 255).byte() for seed, title in enumerate(titles)}
    crops = [{title: box.cut(image) for title, image in images.items()} for box in boxes]
    return CropSheet(images[titles[-1]], boxes, crops, captions or {})


def test_boxes_and_crops_are_the_same_regions(tmp_path: Path, figures: list[Any]):
    sheet = sheet_of("SR", "HR", boxes=[Region(4, 20, 16), Region(24, 44, 8)], captions={"SR": ["PSNR 1"]})
    draw_crops(sheet, tmp_path / "crops.png", "name")
    whole, *grid = (axes for part in figures[0].subfigs for axes in part.axes)
    # A pixel reaches half a pixel around its middle.
    boxes = [(box.get_xy(), box.get_width(), box.get_height()) for box in whole.patches]
    assert boxes == [((19.5, 3.5), 16, 16), ((43.5, 23.5), 8, 8)]
    assert tuple(whole.get_images()[0].get_extent()) == (-0.5, 59.5, 39.5, -0.5)
    assert whole.get_title() == "name"
    assert [axes.get_title() for axes in grid] == ["SR\nPSNR 1", "HR", "", ""]
    assert np.allclose(shown(grid[0]), sheet.crops[0]["SR"].permute(1, 2, 0) / 255)
    assert np.allclose(shown(grid[3]), sheet.crops[1]["HR"].permute(1, 2, 0) / 255)
    for axes, box in ((grid[0], whole.patches[0]), (grid[2], whole.patches[1])):
        assert axes.spines["left"].get_edgecolor() == box.get_edgecolor()


def test_many_models_are_continued_below(tmp_path: Path, figures: list[Any]):
    draw_crops(sheet_of(*(f"m{i}" for i in range(8)), boxes=[Region(0, 0, 8)]), tmp_path / "crops.png")
    grid = figures[0].subfigs[1].axes
    assert [axes.get_title() for axes in grid] == [f"m{i}" for i in range(8)]
    assert grid[0].get_subplotspec().get_geometry()[:2] == (2, 4)


# Files


def test_files_that_scale_hold_pixels_and_text(tmp_path: Path):
    sheet = sheet_of("Ours", boxes=[Region(4, 20, 16)])
    draw_crops(sheet, tmp_path / "crops.svg", "name")
    text = (tmp_path / "crops.svg").read_text(encoding="utf-8")
    assert ">Ours<" in text
    draw_crops(sheet, tmp_path / "crops.pdf", "name")
    pdf = (tmp_path / "crops.pdf").read_bytes()
    assert b"/FontFile2" in pdf  # TrueType, as publishers want it
    for width, height in ((60, 40), (16, 16)):
        assert f"/Width {width}".encode() in pdf
        assert f"/Height {height}".encode() in pdf
    draw_crops(sheet, tmp_path / "crops.pdf", "name")
    assert (tmp_path / "crops.pdf").read_bytes() == pdf


def test_png_averages_where_a_panel_has_fewer_pixels(tmp_path: Path):
    from PIL import Image

    stripes = torch.zeros(3, 600, 600)
    stripes[..., ::2] = 1
    with drawn(tmp_path / "figure.png", 1, 1) as figure:
        show(figure.subplots(), stripes)
    with Image.open(tmp_path / "figure.png") as image:
        assert image.size == (DPI, DPI)
        middle = np.asarray(image.convert("L"))[100:200, 100:200]
    assert middle.min() > 100
    assert middle.max() < 155


def test_figures_are_whole_or_not_there(tmp_path: Path):
    path = tmp_path / "figure.png"
    with drawn(path, 2, 1) as figure:
        figure.subplots()
    before = path.read_bytes()
    with pytest.raises(RuntimeError), drawn(path, 2, 1):
        raise RuntimeError
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(AesopError, match="is a folder"):
        require_drawable(tmp_path / "folder.png")
