"""The closed forms of the known world in `benchmarks/`, against resizing, sampling and enumeration."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aesop.data.bicubic import resize
from aesop.errors import AesopError
from aesop.losses.lr_consistency import LRConsistencyLoss
from aesop.losses.pixel import PixelLoss
from known_measures import TestSet, measure_images, measure_sight, summaries
from known_posterior import WEIGHTS, Tried, at_hr_texture, enclosing, search
from known_tables import tables
from known_world import GRAIN, RANGES, SCALE, Pictures, Scene, deviation, draw, picture, pictures, seen, unseen, upscale
from markdown_tables import fill

ROOT = Path(__file__).resolve().parents[1]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_all_hr_pictures_of_one_lr_downscale_to_it() -> None:
    found = draw(4, seeded())
    other = found.redrawn(seeded(1))
    assert (other - found.hr).abs().max() > 0.2
    for images in (found.hr, other, found.mean):
        # 1e-6: pictures are float32.
        torch.testing.assert_close(resize(images, 1 / SCALE), found.lr, atol=1e-6, rtol=0)
    assert found.mean.min() > 0.1
    assert found.mean.max() < 0.9


def test_what_the_downscaler_sees_and_removes() -> None:
    images, lr = torch.rand(2, 3, 48, 48, dtype=torch.float64), torch.rand(2, 3, 12, 12, dtype=torch.float64)
    assert resize(unseen(images), 1 / SCALE).abs().max() < 1e-12
    torch.testing.assert_close(resize(upscale(lr), 1 / SCALE), lr)
    torch.testing.assert_close(seen(images), upscale(resize(images, 1 / SCALE)))
    assert (seen(images) * unseen(images)).sum().abs() < 1e-9


def test_mean_and_deviation_are_those_of_samples() -> None:
    count = 2000
    one = pictures([Scene.draw(seeded(3))], seeded(4))
    many = one._replace(**{name: getattr(one, name).expand(count, -1, -1, -1) for name in ("lr", "mean", "strength")})
    samples = many.redrawn(seeded(5))[:, :1]
    exact = deviation(one.strength)
    # Five standard errors of a mean, and of a standard deviation, at every pixel.
    assert ((samples.mean(dim=0) - one.mean[0, :1]).abs() <= 5 * exact[0] / count**0.5 + 1e-6).all()
    assert ((samples.std(dim=0) - exact[0]).abs() <= 5 * exact[0] / (2 * count) ** 0.5 + 1e-6).all()


def neighbours(scene: Scene) -> list[Scene]:
    steps = (-1, 0, 1)
    edges = [
        scene._replace(angle=(scene.angle + a) % 16, offset=scene.offset + b) for a in steps for b in (-2, *steps, 2)
    ]
    discs = [
        scene._replace(x=scene.x + a, y=scene.y + b, radius=scene.radius + c)
        for a in steps
        for b in steps
        for c in steps
    ]
    kinds = [scene._replace(**{name: 1 - getattr(scene, name)}) for name in ("plain", "textured", "disc")]
    inside = (
        all(low <= value < high for value, (low, high) in zip(near, RANGES.values(), strict=True))
        for near in edges + discs + kinds
    )
    return [near for near, kept in zip(edges + discs + kinds, inside, strict=True) if kept and near != scene]


def test_lr_determines_the_scene() -> None:
    # LR pictures of two scenes differ by more than twice the grain, so only one scene fits an LR picture.
    generator = seeded()
    for scene in (Scene.draw(generator) for _ in range(40)):
        drawn = torch.stack([picture(near) for near in [scene, *neighbours(scene)]])
        first, *others = resize(drawn, 1 / SCALE)
        assert min((other - first).abs().max().item() for other in others) > 2 * GRAIN


def test_a_known_bias_and_a_known_variance_are_measured() -> None:
    test = TestSet(scenes=3, grains=16, seed=0)
    generator = seeded(1)

    def wrong(found: Pictures) -> Tensor:
        return found.mean + 4 / 255 + 6 / 255 * torch.randn(found.hr.shape, generator=generator)

    values = measure_images(wrong, test)
    for se, ve, ve_hr, rmse in zip(*(values[name] for name in ("se", "ve", "ve_hr", "rmse")), strict=True):
        assert se == pytest.approx(4, abs=0.1)
        assert ve == pytest.approx(6, abs=0.1)
        assert rmse == pytest.approx((se**2 + ve**2 + ve_hr**2) ** 0.5, rel=0.03)  # eq. 2, within the draws' noise
    # A 16th of the noise's energy lies where LR sees it, and all of the bias.
    assert values["lr"] == pytest.approx([(16 + 36 / 16) ** 0.5] * 3, abs=0.1)
    assert values["edges"] == pytest.approx([(36 * 15 / 16) ** 0.5] * 3, abs=0.2)


def test_hr_is_perfect() -> None:
    values = measure_images(lambda found: found.hr, TestSet(scenes=3, grains=16, seed=0))
    assert values["lr"] == pytest.approx([0] * 3, abs=1e-3)
    assert values["band"] == pytest.approx([1] * 3, abs=0.1, nan_ok=True)
    assert values["ve"] == pytest.approx(values["ve_hr"], rel=0.05)
    assert values["fixed"] == pytest.approx([0] * 3, abs=0.05)


def test_what_losses_see() -> None:
    test = TestSet(scenes=2, grains=1, seed=0)
    assert measure_sight(PixelLoss(), test) == {name: [1, 1] for name in ("texture", "edges", "stripes", "lr")}
    consistency = measure_sight(LRConsistencyLoss(SCALE), test)
    assert max(consistency[name][0] for name in ("texture", "edges", "stripes")) < 1e-5
    assert min(consistency["lr"]) > 0.5


def tried(threshold: float) -> Callable[[float], Tried]:
    """A made-up loss whose texture is HR's at this weight, and whose SE falls with the weight."""
    return lambda weight: Tried(weight, weight / threshold, {"se": [10 - 1000 * weight, 20 - 1000 * weight]})


@pytest.mark.parametrize("threshold", [0.0015, 0.003, 0.0045, 0.02])
def test_the_search_encloses_hr_texture_and_reads_between(threshold: float) -> None:
    found = search(tried(threshold), 0.004, most=6)
    low, high = enclosing(found)
    assert low.weight < threshold <= high.weight
    assert WEIGHTS.index(high.weight) - WEIGHTS.index(low.weight) == 1
    assert at_hr_texture(low, high)["se"] == pytest.approx([10 - 1000 * threshold, 20 - 1000 * threshold])


def test_a_search_that_encloses_nothing_takes_the_nearest() -> None:
    found = search(tried(1.0), 0.004, most=3)
    assert [one.weight for one in found] == [0.004, 0.0057, 0.008]
    low, high = enclosing(found)
    assert low is high is found[-1]
    assert at_hr_texture(low, high) == high.values


def test_summaries_of_two_seeds() -> None:
    first, second = [1.0, 2.0, 3.0, 4.0, 5.0], [3.0, 4.0, 5.0, 6.0, 7.0]
    found = summaries({"both": [{"se": first}, {"se": second}], "one": [{"se": first}]})
    assert found["both"]["se"]["mean"] == 4
    assert found["both"]["se"]["seeds"] == [3, 5]
    # Seeds shift all scenes alike: the interval is that of the scenes.
    assert found["both"]["se"]["half"] == pytest.approx(found["one"]["se"]["half"])


def test_the_page_has_the_tables_of_its_data(tmp_path: Path) -> None:
    page = ROOT / "docs/known_posterior.md"
    copy = Path(shutil.copy(page, tmp_path))
    fill(copy, tables(json.loads((ROOT / "docs/data/known_posterior.json").read_text(encoding="utf-8"))))
    assert copy.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")


def test_a_page_without_marks_is_named(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- means --> no end", encoding="utf-8")
    with pytest.raises(AesopError, match=r"page\.md: has no place for the table `means`"):
        fill(page, {"means": "|"})
    assert page.read_text(encoding="utf-8") == "<!-- means --> no end"


@pytest.mark.long
def test_the_benchmark_runs(tmp_path: Path) -> None:
    out, pictures, curves = (tmp_path / name for name in ("known.json", "pictures.png", "curves.png"))
    page = Path(shutil.copy(ROOT / "docs/known_posterior.md", tmp_path))

    def run(script: str, *arguments: object) -> None:
        command = [sys.executable, str(ROOT / "benchmarks" / script), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    run("known_posterior.py", "--quick", "--seeds", 2, "--out", out, "--pictures", pictures)
    run("known_tables.py", "--json", out, "--page", page, "--curves", curves)
    assert min(pictures.stat().st_size, curves.stat().st_size) > 10_000
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["images"]["HR"]["band"]["mean"] == pytest.approx(1, abs=0.1)
    assert found["images"].keys() - found["curves"].keys() == {"HR", "fidelity network", "fidelity network, long"}
    text = page.read_text(encoding="utf-8")
    assert all(f"\n| {name} " in text for name in [*found["images"], *found["auto-encoders"], *found["sight"]])
