"""Plans and dry runs, training until a stage, the schema of recipes, and the summary of a finished run."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import torch
import yaml
from torch import nn

from aesop.cli import main
from aesop.data.prepared import Entry, PreparedData
from aesop.errors import RunError
from aesop.run import Run, seconds_of
from aesop.training import loop
from aesop.training.plan import _cost, plan_of, summary_of
from aesop.training.recipe_files import load_recipe
from aesop.training.recipe_names import recipe_names
from aesop.training.train import train
from stopping import SECTION, stop_at
from tiny_training import OUTPUTS, TINY, run_tiny, same_files

RECIPES = Path(__file__).parents[1] / "src" / "aesop" / "recipes"


def numbers(line: str) -> list[float]:
    words = line.replace(",", "").split()
    return [float(word) for word in words if word.replace(".", "", 1).isdigit()]


def test_a_plan_counts_what_a_network_does():
    recipe = load_recipe("fidelity-srresnet", ["fidelity.crop=64", "fidelity.batch=3", "steps=1000"])
    pictures = PreparedData(Path(), 4, (Entry("a.png", 640, 960, "a", ""),))
    first, second = plan_of(recipe, pictures, 2)
    assert "1,000 iterations of 6 crops of 64 pixels, 3 on each of 2 devices" in first
    passes, megapixels, gibibytes = numbers(first.split("devices")[1])
    assert passes == pytest.approx(1000 * 6 * 64**2 / (640 * 960), rel=0.01)
    assert megapixels == 0.6
    # The same counted by hooks, which see the shapes of a real run, and by a list of the tensors kept for its gradient.
    network = recipe.generator.build(4)
    work = 0

    def add(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal work
        if isinstance(layer, nn.Conv2d):
            work += layer.weight[0].numel() * output.numel()

    for layer in network.modules():
        layer.register_forward_hook(add)
    kept: dict[int, torch.Tensor] = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.setdefault(x.data_ptr(), x), lambda x: x):
        network(torch.rand(1, 3, 16, 16, requires_grad=True))
    size = sum(tensor.nbytes for tensor in kept.values() if not isinstance(tensor, nn.Parameter))
    parameters, multiply_adds = numbers(second)
    assert parameters == sum(weight.numel() for weight in network.parameters())
    assert multiply_adds == pytest.approx(work / 1e9, rel=0.01)
    assert gibibytes == pytest.approx((20 * parameters + 3 * size) / 2**30, rel=0.05)


def test_every_network_of_a_stage_is_in_the_plan():
    pictures = PreparedData(Path(), 4, (Entry("a.png", 640, 960, "a", ""),))
    lines = plan_of(load_recipe("box"), pictures, 1)
    assert [line.split(":")[0].strip() for line in lines] == [
        "perceptual", "generator", "discriminator", "auto-encoder, frozen", "features, frozen",
    ]  # fmt: skip
    whole, half = (
        numbers(plan_of(load_recipe("box", [f"precision={precision}"]), pictures, 1)[0])[-1]
        for precision in ("32-true", "bf16-mixed")
    )
    assert 0.5 * whole < half < whole  # parameters, and what the auto-encoder keeps, stay in float32
    twin = plan_of(load_recipe("box-pixel", ["perceptual.adversarial_loss.weight=0"]), pictures, 1)
    assert [line.split(":")[0].strip() for line in twin] == ["perceptual", "generator", "features, frozen"]


class Choosy(nn.Module):
    """A network that looks at values, which do not exist in a plan."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images) if images.mean().item() > 0 else images


def test_a_network_that_needs_values_is_not_counted():
    assert _cost(Choosy(), 16) == (84, None, 0)


def test_a_dry_run_tells_and_leaves_nothing(photos: Path, tmp_path: Path):
    said: list[str] = []
    recipe, run = load_recipe("laptop", TINY), tmp_path / "run"
    train(recipe, photos, run, store=tmp_path / "store", dry_run=True, say=said.append)
    assert [line.split(":")[0] for line in said if line.split(":")[0] in ("fidelity", "autoencoder", "perceptual")] == [
        "fidelity", "autoencoder", "perceptual",
    ]  # fmt: skip
    assert not run.exists()


def test_training_until_a_stage_goes_on_from_there(photos: Path, tmp_path: Path):
    run_tiny(photos, tmp_path / "straight")
    recipe, run, said = load_recipe("laptop", TINY), tmp_path / "parts", []
    train(recipe, photos, run, until="autoencoder", plan=True, say=said.append, device="cpu")
    assert not any("perceptual" in line for line in said)
    assert said[-1].startswith("autoencoder: 6 iterations in ")
    assert not (run / OUTPUTS[2]).exists()
    train(recipe, photos, run, say=said.append, device="cpu")
    assert all(same_files(tmp_path / "straight", run, name) for name in OUTPUTS)
    with pytest.raises(RunError, match="--until perceptul: the stages of laptop are fidelity, autoencoder, perceptual"):
        train(recipe, photos, run, until="perceptul")
    with pytest.raises(RunError, match=r"fidelity\.total_batch: 4 crops cannot be shared by 3 devices"):
        train(load_recipe("laptop", [*TINY, "fidelity.total_batch=4"]), photos, tmp_path / "three", devices=3)


def test_a_long_training_says_how_long(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loop, "RATED", 2)
    now = iter(range(0, 10**6, 400))
    monkeypatch.setattr("time.monotonic", lambda: float(next(now)))
    said = run_tiny(photos, tmp_path / "run", "perceptual=null", "autoencoder=null")
    assert any(line.endswith("to go, by the first 2 iterations") for line in said)


def test_a_first_iteration_that_compiles_does_not_count(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock = 0.0

    def compiles() -> None:
        nonlocal clock
        clock = 5000.0

    monkeypatch.setattr(loop, "RATED", 2)
    monkeypatch.setattr("time.monotonic", lambda: clock)
    with stop_at("fidelity", 1, compiles):
        said = run_tiny(photos, tmp_path / "run", SECTION, "perceptual=null", "autoencoder=null")
    assert clock
    assert not any("to go" in line for line in said)


def test_time_adds_up_over_interruptions():
    assert seconds_of([{"seconds": value} for value in (5.0, 9.5, 4.0, 8.0, 2.0)]) == pytest.approx(9.5 + 8.0 + 2.0)


@pytest.fixture
def schema(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> jsonschema.Draft202012Validator:
    monkeypatch.setattr("sys.argv", ["aesop", "recipes", "--schema"])
    with pytest.raises(SystemExit):
        main()
    found = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def test_the_schema_is_the_one_that_recipes_name_and_takes_them_all(schema: jsonschema.Draft202012Validator):
    assert schema.schema == json.loads((RECIPES / "schema.json").read_text(encoding="utf-8")), (
        "call `aesop recipes --schema > src/aesop/recipes/schema.json`"
    )
    for name in recipe_names():
        text = (RECIPES / f"{name}.yaml").read_text(encoding="utf-8")
        assert text.startswith("# yaml-language-server: $schema=schema.json\n"), name
        schema.validate(yaml.safe_load(text))
        schema.validate(load_recipe(name).model_dump(mode="json"))


def test_the_schema_refuses_what_a_recipe_may_not_say(schema: jsonschema.Draft202012Validator):
    for wrong in (
        {"perceptual": {"bacth": 3}},
        {"generator": {"type": "upconv", "featurs": 1}},
        {"generator": {"type": "upcnov"}},
        {"scale": 5},
        {"fidelity": {"batch": 0}},
        {"inherits": 3},
    ):
        assert not schema.is_valid(wrong), wrong
    for right in (
        {"inherits": ["laptop", "mine.yaml"], "perceptual": {"fidelity_loss": {"type": "mine:Loss", "anything": 1}}},
        {"generator": {"features": 8}},
        {"perceptual": None},
    ):
        schema.validate(right)


def test_a_recipe_is_printed_with_every_value(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("sys.argv", ["aesop", "recipes", "aesop-rrdb-x2", "perceptual.batch=3"])
    with pytest.raises(SystemExit):
        main()
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed == load_recipe("aesop-rrdb-x2", ["perceptual.batch=3"]).model_dump(mode="json")


def test_a_finished_run_is_summed_up(photos: Path, tmp_path: Path):
    run_tiny(photos, tmp_path / "run")
    lines = summary_of(Run(tmp_path / "run"), load_recipe("laptop", TINY))
    assert [line.split(" in ")[0] for line in lines] == [
        "fidelity: 6 iterations", "autoencoder: 6 iterations", "perceptual: 6 iterations",
    ]  # fmt: skip
    assert "seconds" not in "".join(lines)
