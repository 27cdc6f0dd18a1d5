"""A recipe without a generator section takes the one of the file `fidelity.weights`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file

from aesop.errors import ModelError, RecipeError
from aesop.networks.generators import GeneratorConfig
from aesop.networks.loading import generator_section
from aesop.training.recipe_files import load_recipe

SECTION: TypeAdapter[GeneratorConfig] = TypeAdapter(GeneratorConfig)
#: Nothing as by default, which the section would leave out.
DAT = {"depth": [1], "embed_dim": 32, "num_heads": [2], "split_size": [4, 4], "upsampler": "pixelshuffledirect"}


def bare_file(folder: Path, section: dict[str, object], scale: int = 4) -> Path:
    """A file with a network's parameters but without its settings, as others publish them."""
    path = folder / "released.safetensors"
    network = SECTION.validate_python(section).build(scale)
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    return path


@pytest.mark.parametrize(
    "section",
    [
        {"type": "rrdb", "features": 8, "blocks": 2, "growth": 4},
        {"type": "srresnet", "features": 8, "blocks": 2, "norm": False},
        {"type": "srresnet", "features": 8, "blocks": 2, "norm": True},
        {"type": "srvgg", "features": 8, "convs": 2},
        {"type": "upconv", "features": 8, "blocks": 2, "head": 4},
        {"type": "spandrel", "architecture": "DAT", "arguments": DAT},
    ],
    ids=lambda section: f"{section['type']}{section.get('norm', '')}",
)
def test_the_section_builds_the_files_network(section: dict[str, object], tmp_path: Path) -> None:
    path = bare_file(tmp_path, section)
    (tmp_path / "own.yaml").write_text(f"name: own\nscale: 4\nfidelity: {{weights: {path}}}\n")
    found = load_recipe(str(tmp_path / "own.yaml")).generator
    shapes = [
        {key: value.shape for key, value in built.build(4).state_dict().items()}
        for built in (found, SECTION.validate_python(section))
    ]
    assert shapes[0] == shapes[1]
    if section["type"] != "srvgg":  # spandrel's network, told as such
        assert found.model_dump() == SECTION.validate_python(section).model_dump()


def test_a_run_folder_gives_what_it_recorded(tmp_path: Path) -> None:
    from aesop.networks.state_dicts import write_state

    section = {"type": "srvgg", "features": 8, "convs": 2}
    path = tmp_path / "run" / "fidelity" / "generator.safetensors"
    path.parent.mkdir(parents=True)
    record = {"recipe": {"scale": 4, "generator": section}, "stage": "fidelity"}
    write_state(path, SECTION.validate_python(section).build(4).state_dict(), record)
    assert generator_section(tmp_path / "run") == section


def test_a_file_that_does_not_tell_is_named(tmp_path: Path) -> None:
    recipe = tmp_path / "own.yaml"
    recipe.write_text(f"name: own\nscale: 4\nfidelity: {{weights: {tmp_path / 'none.pth'}}}\n")
    with pytest.raises(ModelError, match=r"none\.pth"):
        load_recipe(str(recipe))
    recipe.write_text("name: own\nscale: 4\nfidelity: {iterations: 5}\n")
    with pytest.raises(RecipeError, match="generator"):
        load_recipe(str(recipe))
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="a generator is expected"):
        generator_section(tmp_path / "other.pth")
