"""Runs docs/extending.md: its files, its recipe, its commands."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch

from aesop.cli import main
from aesop.cli.options import import_modules
from aesop.errors import ModelError, RecipeError
from aesop.metrics import METRICS
from aesop.training.recipe_files import load_recipe
from helpers import synthetic_pictures

TEXT = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")


def write_files(folder: Path) -> list[str]:
    """Write every code block to the file that its first line names."""
    names = []
    for block in re.findall(r"```(?:python|yaml)\n(.*?)```", TEXT, flags=re.DOTALL):
        name = block.partition("\n")[0].removeprefix("# ")
        (folder / name).write_text(block, encoding="utf-8")
        names.append(name)
    return names


@pytest.mark.long
def test_the_documents_example_trains_evaluates_and_upscales(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    modules = ("mynet", "myloss", "mydiscriminator", "mydegradation", "mymetric")
    assert {*write_files(tmp_path)} == {"mine.yaml", *(f"{module}.py" for module in modules)}
    synthetic_pictures(tmp_path / "bench", 1, 64)
    monkeypatch.chdir(tmp_path)

    def aesop(*arguments: object) -> tuple[object, str]:
        """Call the command as in a new process, which has not imported the user's modules."""
        for module in modules:
            sys.modules.pop(module, None)
        monkeypatch.setattr("sys.argv", ["aesop", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code, capsys.readouterr().err

    tiny = [f"{stage}.{setting}" for stage in ("fidelity", "perceptual") for setting in (
        "iterations=3", "crop=32", "batch=2",
    )]  # fmt: skip
    tiny.append("degradation.source_crop=48")
    assert aesop("degrade", "mine.yaml", tmp_path / "bench/000.png", "--output", "degraded.png")[0] == 0
    train = ("train", "mine.yaml", *tiny, "data.held_out=1", "--data", photos, "--run", "runs/mine")
    assert aesop(*train)[0] == 0
    # A second call reads the run's recipe, including the user's classes.
    assert "done before" in aesop(*train)[1]
    for arguments in (
        ("evaluate", "runs/mine", "--benchmark", "bench", "--metrics", "psnr,mymetric:ColourDrift"),
        ("upscale", "bench", "--model", "runs/mine", "--output", "upscaled"),
    ):
        status, said = aesop(*arguments)
        assert status == 2
        assert "import it first (--import mynet on the command line)" in said
        assert aesop(*arguments, "--import", "mynet")[0] == 0
    assert (tmp_path / "upscaled" / "000.png").is_file()
    assert METRICS.pop("mymetric:ColourDrift").title == "colour drift"


def test_mistakes_in_ones_own_sections_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert load_recipe("mine.yaml").generator.type == "mynet:MyNetConfig"
    for override, message in {
        "generator.witdh=3": r"`generator`: mynet:MyNetConfig: unknown key `witdh`",
        "generator.width=0": r"mynet:MyNetConfig: `width` must be at least 1",
        "generator.type=nowhere:Net": r"nowhere cannot be imported .*call from the folder of nowhere.py",
        "generator.type=mynet:MyNet": r"mynet has no class MyNet derived from GeneratorSection; see docs/extending.md",
        "perceptual.crop=98": r"perceptual.crop: ",
        "degradation.type=mynet:MyNet": r"mynet has no class MyNet derived from DegradationSection",
    }.items():
        with pytest.raises(RecipeError, match=message) as caught:
            load_recipe("mine.yaml", [override])
        assert "\n" not in str(caught.value)


def test_the_documents_degradation_is_a_function_of_its_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    section = load_recipe("mine.yaml").degradation
    assert section is not None
    degradation, hr = section.build(4, 32), torch.full((2, 3, 48, 48), 0.5)
    lr, crops = degradation(hr, seed=3)
    assert (lr.shape, crops.shape) == ((2, 3, 8, 8), (2, 3, 32, 32))
    assert torch.equal(lr, degradation(hr, seed=3)[0])
    noise = (lr - hr[..., :8, :8]).flatten(1).std(dim=1) * 255
    assert (noise < 5 * 1.3).all()
    assert noise[0] != noise[1]  # a strength of its own for each


def test_a_module_that_cannot_be_imported_is_named():
    with pytest.raises(ModelError, match="--import nosuchmodule cannot be imported"):
        import_modules(["nosuchmodule"])
