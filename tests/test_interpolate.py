"""Interpolated networks, and the networks along a perception-distortion curve."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from typer import Typer
from typer.testing import CliRunner

from aesop.cli.interpolate import interpolate as interpolate_command
from aesop.errors import AesopError, ModelError
from aesop.evaluation.curves import between, checkpoints, find_curves
from aesop.evaluation.model_names import split_pair
from aesop.networks.generators import SRVGGConfig
from aesop.networks.interpolate import interpolate, interpolate_files
from aesop.networks.loading import load_generator
from aesop.networks.rrdb import RRDBNet
from aesop.networks.section import GeneratorSection
from aesop.networks.state_dicts import read_metadata, read_state, write_state
from aesop.run import Run
from analysis_cases import generator, make_run


def test_files_are_the_same_bytes_every_time(tmp_path: Path):
    said: dict[str, object] = {f"key {number}": {"täxt": number} for number in range(20)}
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path in paths:
        write_state(path, generator(0).state_dict(), said)
    content = paths[0].read_bytes()
    assert paths[1].read_bytes() == content
    (length,) = struct.unpack("<Q", content[:8])
    assert length % 8 == 0
    assert list(json.loads(content[8 : 8 + length])["__metadata__"]) == ["aesop_sha256", *sorted(said)]
    assert read_metadata(paths[0]) == said
    state = read_state(paths[0])
    assert all(torch.equal(state[name], value) for name, value in generator(0).state_dict().items())


def test_interpolation_is_linear_and_exact_at_its_ends():
    first, second = generator(0).state_dict(), generator(1).state_dict()
    first["counter"], second["counter"] = torch.tensor(3), torch.tensor(8)
    for alpha in (0.0, 0.3, 1.0):
        mixed = interpolate(first, second, alpha)
        assert mixed["counter"] == (8 if alpha == 1 else 3)
        for name, value in mixed.items():
            expected = (1 - alpha) * first[name].double() + alpha * second[name].double()
            if value.is_floating_point():
                torch.testing.assert_close(value, expected.float(), rtol=1e-6, atol=1e-7)
    assert all(torch.equal(value, first[name]) for name, value in interpolate(first, second, 0.0).items())
    assert all(torch.equal(value, second[name]) for name, value in interpolate(first, second, 1.0).items())
    half = {name: value.half() if value.is_floating_point() else value for name, value in second.items()}
    assert interpolate(first, half, 0.5)["body.0.weight"].dtype == torch.float32
    for one, other in ((first, second), (second, first)):
        with pytest.raises(ValueError, match="they differ in counter"):
            interpolate(one, other | {"counter": torch.tensor(1.0)}, 0.5)


def test_a_network_in_between_loads_as_its_parents_do(tmp_path: Path):
    run = make_run(tmp_path / "run", [])
    output = tmp_path / "between.safetensors"
    interpolate_files(run / "fidelity/generator.safetensors", run, 0.25, output)
    assert load_generator(output).scale == 4
    metadata = read_metadata(output)
    files = {"first": run / "fidelity/generator.safetensors", "second": run / "perceptual/generator.safetensors"}
    assert metadata["interpolation"] == {
        "first": {"path": str(files["first"]), "sha256": hashlib.sha256(files["first"].read_bytes()).hexdigest()},
        "second": {"path": str(run), "sha256": hashlib.sha256(files["second"].read_bytes()).hexdigest()},
        "alpha": 0.25,
    }
    # It records only how its parents' networks are built, since it was not trained like them.
    assert metadata.keys() == {"recipe", "stage", "interpolation"}
    assert metadata["recipe"].keys() == {"scale", "generator"}
    assert metadata["stage"] == "interpolation"
    first, second = generator(0).state_dict(), generator(15).state_dict()
    for name, value in read_state(output).items():
        torch.testing.assert_close(value, 0.75 * first[name] + 0.25 * second[name])


class Scaling(nn.Module):
    """A network whose settings do not follow from its shapes."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale, self.gain = scale, nn.Parameter(torch.ones(1))

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return self.gain * lr.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)


class ScalingConfig(GeneratorSection):
    type: str

    def build(self, scale: int) -> nn.Module:
        return Scaling(scale)


def test_networks_of_a_users_own_class_are_mixed_and_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module: Any = ModuleType("scaling")
    module.ScalingConfig = ScalingConfig
    monkeypatch.setitem(sys.modules, "scaling", module)
    recipe = {"generator": {"type": "scaling:ScalingConfig"}, "scale": 3, "name": "own"}
    for name, gain in (("a", 1.0), ("b", 3.0)):
        state = {"gain": torch.tensor([gain])}
        write_state(tmp_path / f"{name}.safetensors", state, {"stage": "fidelity", "recipe": recipe})
    mixed = tmp_path / "mixed.safetensors"
    interpolate_files(tmp_path / "a.safetensors", tmp_path / "b.safetensors", 0.25, mixed)
    loaded = load_generator(mixed)
    assert loaded.scale == 3
    assert float(loaded.model(torch.ones(1, 3, 2, 2)).detach().mean()) == 1.5
    # ... and can be mixed again.
    interpolate_files(mixed, tmp_path / "b.safetensors", 0.5, tmp_path / "again.safetensors")
    assert float(read_state(tmp_path / "again.safetensors")["gain"]) == 2.25


def test_metadata_of_other_tools_does_no_harm(tmp_path: Path):
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for seed, path in enumerate(paths):
        save_file(generator(seed).state_dict(), path, {"format": "pt", "recipe": "not JSON"})
    interpolate_files(paths[0], paths[1], 0.5, tmp_path / "c.safetensors")
    assert load_generator(tmp_path / "c.safetensors").scale == 4


def test_networks_that_cannot_be_mixed_are_refused(tmp_path: Path):
    run = make_run(tmp_path / "run", [])
    small = run / "fidelity/generator.safetensors"
    wide, rrdb = tmp_path / "wide.safetensors", tmp_path / "rrdb.safetensors"
    write_state(wide, SRVGGConfig(type="srvgg", features=6, convs=1).build(4).state_dict(), {})
    write_state(rrdb, RRDBNet(4, features=4, growth=4, blocks=1).state_dict(), {})
    output = tmp_path / "between.safetensors"
    before = small.read_bytes()
    for first, second, alpha, target, message in (
        (small, wide, 0.5, output, r"are of two architectures, they differ in body\.0\.\w+ and \d more; name two"),
        (small, rrdb, 0.5, output, "are of two architectures, .* and RRDB x4; name two of one"),
        (small, run, 1.5, output, "alpha 1.5: must be between 0"),
        (small, run, float("nan"), output, "alpha nan: must be between 0"),
        (small, run, 0.5, tmp_path / "x.pth", "end the name in .safetensors"),
        (small, run, 0.5, small, "is one of the two networks"),
        (small, tmp_path / "none.safetensors", 0.5, output, "no such model file"),
    ):
        with pytest.raises(ModelError, match=message):
            interpolate_files(first, second, alpha, target)
    assert not output.exists()
    assert small.read_bytes() == before


# Curves of networks


def test_checkpoints_are_evenly_spaced_after_the_start(tmp_path: Path):
    run = make_run(tmp_path / "run", [])
    assert checkpoints(run)[0] == run / "fidelity/generator.safetensors"
    assert [list(checkpoints(run, most)) for most in (10, 2, 1)] == [[0, 5, 10, 15], [0, 10, 15], [0, 15]]
    with pytest.raises(ModelError, match="perceptual: has no snapshots"):
        checkpoints(tmp_path)


def test_a_run_that_began_from_a_file_starts_there(tmp_path: Path):
    first = make_run(tmp_path / "first", []) / "fidelity/generator.safetensors"
    run = make_run(tmp_path / "run", [], f"fidelity.weights={first}")
    (run / "fidelity/generator.safetensors").unlink()
    assert Run(run).fidelity() == first
    assert Run(tmp_path / "none").fidelity() is None


def test_networks_between_stand_in_a_folder_of_their_own(tmp_path: Path):
    run = make_run(tmp_path / "run", [])
    start = run / "fidelity/generator.safetensors"
    alphas = (0, 0.5, 0.5000001, 1)
    found = [between(start, run, tmp_path / "mixed", name, alphas) for name in ("0", "1")]
    assert list(found[0]) == ["alpha 0", "alpha 0.5", "alpha 0.5000001", "alpha 1"]
    (first, *mixed, last), (_, *others, _) = (list(models.values()) for models in found)
    assert (first, last) == (str(start), str(run / "perceptual/generator.safetensors"))
    assert len({*mixed, *others}) == 4
    assert Path(mixed[0]).read_bytes() == Path(others[0]).read_bytes()
    for wrong, message in (
        ((0, 0.5, 0.5), r"--alphas 0,0\.5,0\.5: 0\.5 is given twice"),
        ((0.5, 2), r"--alphas 0\.5,2: 2 is not between 0 and 1"),
        ((float("nan"),), "nan is not between 0 and 1"),
        ((), "none given"),
    ):
        with pytest.raises(AesopError, match=message):
            find_curves([f"{start}:{run}"], tmp_path / "none", wrong)
    assert not (tmp_path / "none").exists()


def test_methods_are_told_by_what_they_are(tmp_path: Path):
    run = make_run(tmp_path / "run", [])
    file = run / "fidelity/generator.safetensors"
    given = [str(run), f"AESOP∗={file}:{run}", f"AESOP†={run}:{file}", f"{file}:{run}", "bicubic", f"x={file}"]
    found = {
        curve.title: list(curve.models.items())
        for curve in find_curves(given, tmp_path / "mixed", (0, 0.5, 1), points=1)
    }
    assert list(found) == ["run", "AESOP∗", "AESOP†", "fidelity to run", "bicubic", "x"]
    assert found["run"][1] == ("iteration 15", str(checkpoints(run, 1)[15]))
    assert found["bicubic"] == [("", "bicubic")]
    assert found["x"] == [("", str(file))]
    # Titles that differ only in symbols have separate networks.
    one, other = (read_state(Path(found[title][1][1])) for title in ("AESOP∗", "AESOP†"))
    parents = read_state(file), read_state(run / "perceptual/generator.safetensors")
    for name, value in one.items():
        torch.testing.assert_close(value, (parents[0][name] + parents[1][name]) / 2)
        torch.testing.assert_close(other[name], value)
    assert found["AESOP∗"][1] != found["AESOP†"][1]
    with pytest.raises(AesopError, match="two methods are called run; give them titles"):
        find_curves([str(run), str(run)], tmp_path)
    with pytest.raises(AesopError, match="none: is neither a run folder, nor a model file, nor A:B"):
        find_curves(["none"], tmp_path)
    with pytest.raises(ModelError, match="perceptual: has no snapshots"):
        find_curves([str(tmp_path)], tmp_path)


def test_a_path_may_hold_colons(tmp_path: Path):
    odd = tmp_path / "a:b"
    odd.mkdir()
    assert split_pair(str(odd)) is None
    assert split_pair(f"{odd}:{tmp_path}") == (odd, tmp_path)


def test_the_command_writes_a_network(tmp_path: Path):
    run = make_run(tmp_path / "run", [])
    command = Typer()
    command.command()(interpolate_command)
    start, output = run / "fidelity/generator.safetensors", tmp_path / "between.safetensors"
    result = CliRunner().invoke(command, [str(start), str(run), "--alpha", "0.5", "--output", str(output)])
    assert result.exit_code == 0
    assert str(output) in result.output.replace("\n", "")
    assert output.is_file()
