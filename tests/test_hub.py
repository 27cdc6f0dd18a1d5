"""`hf://OWNER/NAME` and `aesop push`, against a local server with Hugging Face's protocol."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from spandrel import ModelLoader
from typer.testing import CliRunner

from aesop import AESOPLoss, AutoEncoder, load_generator, load_recipe
from aesop.box import hub as addresses
from aesop.box import models, resolved
from aesop.cli import app
from aesop.errors import AesopError, MissingExtraError
from aesop.evaluation.model_names import short_names, split_pair, titled_models
from aesop.networks.state_dicts import read_metadata, read_state, write_state
from aesop.run import Run
from helpers import write_model
from hub_server import TOKEN, Hub, Repo, hub_server


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.chdir(tmp_path)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    addresses.fetch.cache_clear()
    with hub_server() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", found.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield found


def offer(hub: Hub, name: str, **files: bytes | Path) -> Repo:
    """Put a repository with a README and these files on the hub; `__` in a name stands for a dot."""
    repo = hub.repos[name] = Repo()
    contents = {n.replace("__", "."): c.read_bytes() if isinstance(c, Path) else c for n, c in files.items()}
    repo.commit({"README.md": b"# Some model", **contents})
    return repo


def run(*arguments: object) -> str:
    """Call a command; return its output, or raise its exception."""
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: object) -> str:
    with pytest.raises(AesopError) as caught:
        run(*arguments)
    said = str(caught.value)
    assert said.isprintable()
    return said


def upscaled_with(model: str, *options: object) -> np.ndarray:
    """Upscale a picture with a model in a separate command."""
    addresses.fetch.cache_clear()
    Image.new("RGB", (20, 18), (10, 90, 200)).save("a.png")
    run("upscale", "a.png", "--model", model, "--engine", "torch", "--overwrite", *options)
    return np.asarray(Image.open("upscaled/a.png"))


def test_a_model_is_fetched_and_used_by_its_address_wherever_a_file_is(hub: Hub, tmp_path: Path):
    plain, brighter = write_model(tmp_path / "m.safetensors"), write_model(tmp_path / "n.safetensors", plus=0.5)
    offer(hub, "ann/plain", model__safetensors=plain)
    offer(hub, "ann/bright", model__safetensors=brighter)
    assert np.array_equal(upscaled_with("hf://ann/plain"), np.full((72, 80, 3), (10, 90, 200), np.uint8))
    assert Path(tmp_path, "hub-cache").is_dir()
    run("interpolate", "hf://ann/plain", "hf://ann/bright", "--alpha", 0.5, "--output", "between.safetensors")
    run("interpolate", plain, brighter, "--alpha", 0.5, "--output", "of-files.safetensors")
    mixed, expected = read_state("between.safetensors"), read_state("of-files.safetensors")
    assert all(torch.equal(mixed[key], expected[key]) for key in expected)
    assert "hf://ann/plain" in Path("between.safetensors").read_bytes().decode(errors="replace")
    run("export", "hf://ann/plain", "--to", "safetensors", "--output", "out.safetensors")
    assert Path("out.safetensors").is_file()
    assert split_pair("hf://ann/plain:hf://ann/bright") == (resolved("hf://ann/plain"), resolved("hf://ann/bright"))
    assert split_pair("hf://ann/plain") is None
    Path("set").mkdir()
    Image.new("RGB", (64, 64), (10, 90, 200)).save("set/a.png")
    told = run(
        "evaluate", "hf://ann/plain", "B=hf://ann/bright", "--benchmark", "set", "--metrics", "psnr", "--device", "cpu"
    )
    assert "plain" in told
    assert "B " in told


def test_a_recipe_takes_its_weights_and_generator_from_an_address(hub: Hub):
    offer(hub, "ann/clean", clean__safetensors=models()["clean-x4"])
    recipe = load_recipe("box", ["fidelity.weights=hf://ann/clean"])
    assert recipe.generator.model_dump()["features"] == 32
    assert recipe.fidelity.model_dump(mode="json")["weights"] == "hf://ann/clean"
    assert recipe.fidelity.weights is not None
    assert load_generator(recipe.fidelity.weights).architecture == "RRDB"


def test_an_auto_encoder_is_fetched_for_the_loss(hub: Hub):
    offer(hub, "ann/ae", ae__safetensors=models()["auto-encoder-x4"])
    sr, hr = torch.rand(2, 1, 3, 32, 32)
    assert torch.equal(AESOPLoss.pretrained("hf://ann/ae")(sr, hr), AESOPLoss.pretrained("x4")(sr, hr))
    assert AutoEncoder.load("hf://ann/ae").scale == 4


def test_a_file_and_a_revision_can_be_named(hub: Hub, tmp_path: Path):
    repo = offer(hub, "ann/m", one__safetensors=write_model(tmp_path / "1.safetensors"))
    first = repo.hash_of("main")
    repo.commit({"x2/two.safetensors": write_model(tmp_path / "2.safetensors", scale=2).read_bytes()})
    said = refused("upscale", "a.png", "--model", "hf://ann/m")
    assert "holds several models, one.safetensors, x2/two.safetensors; name one: hf://ann/m/one.safetensors" in said
    assert load_generator("hf://ann/m/x2/two.safetensors").scale == 2
    assert load_generator(Path("hf://ann/m/x2/two.safetensors")).scale == 2
    assert load_generator(f"hf://ann/m@{first}").scale == 4
    assert load_generator(f"hf://ann/m@{first}/one.safetensors").scale == 4
    assert "no such revision" in refused("upscale", "a.png", "--model", "hf://ann/m@v9")
    assert "which has one.safetensors" in refused(
        "upscale", "a.png", "--model", f"hf://ann/m@{first}/x2/two.safetensors"
    )
    assert "is no model file" in refused("upscale", "a.png", "--model", "hf://ann/m/README.md")


def test_of_one_model_in_several_formats_safetensors_is_taken(hub: Hub, tmp_path: Path):
    model = write_model(tmp_path / "m.safetensors")
    torch.save(read_state(model), tmp_path / "m.pth")
    offer(hub, "ann/both", m__pth=tmp_path / "m.pth", m__safetensors=model)
    assert resolved("hf://ann/both").name == "m.safetensors"
    offer(hub, "ann/torch", m__pth=tmp_path / "m.pth")
    assert load_generator("hf://ann/torch").scale == 4


def test_a_file_that_would_run_code_is_refused(hub: Hub, tmp_path: Path):
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"params": Evil()}, "evil.pth")
    offer(hub, "ann/evil", evil__pth=Path("evil.pth"))
    assert "holds Python objects" in refused("upscale", "a.png", "--model", "hf://ann/evil")
    assert not (tmp_path / "ran").exists()


def test_what_was_fetched_is_used_without_the_hub_and_not_fetched_twice(hub: Hub, tmp_path: Path):
    repo = offer(hub, "ann/m", m__safetensors=write_model(tmp_path / "m.safetensors"))
    first = upscaled_with("hf://ann/m")
    gets = [asked for asked in hub.asked if asked.startswith("GET") and "resolve" in asked]
    assert np.array_equal(upscaled_with("hf://ann/m"), first)
    assert [asked for asked in hub.asked if asked.startswith("GET") and "resolve" in asked] == gets
    hub.broken = True
    assert np.array_equal(upscaled_with("hf://ann/m"), first)
    assert np.array_equal(upscaled_with("hf://ann/m/m.safetensors"), first)
    addresses.fetch.cache_clear()
    assert "the hub cannot be reached" in refused("upscale", "a.png", "--model", "hf://ann/other")
    hub.broken = False
    repo.commit({"m.safetensors": write_model(tmp_path / "m.safetensors", plus=0.5).read_bytes()})
    assert not np.array_equal(upscaled_with("hf://ann/m"), first)  # what is new is fetched


def test_a_hub_that_is_not_there_is_one_sentence(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for command in (("upscale", "a.png", "--model", "hf://ann/m"), ("push", "clean-x4", "ann/m")):
        said = refused(*command)
        assert said.startswith(("hf://ann/m: ", "ann/m: "))
        assert "the hub cannot be reached" in said
        assert "$HF_ENDPOINT" in said


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("hf://ann", "is no address of a model; write hf://OWNER/NAME"),
        ("hf://ann/m/../../x.pth", "is no address of a model"),
        ("hf://ann/m..n", "is no name of a repository"),
        ("hf://ann/none", "is not on the hub, or is private"),
        ("hf://ann/hidden", "is not on the hub, or is private"),
        ("hf://ann/gated", "its author asks for consent"),
        ("hf://ann/text", "holds no .safetensors or .pth file"),
        ("hf://ann/loud", "holds several models"),
    ],
)
def test_what_cannot_be_fetched_is_one_sentence(hub: Hub, address: str, said: str):
    hub.repos |= {"ann/hidden": Repo(private=True), "ann/gated": Repo(gated=True)}
    offer(hub, "ann/text", notes__txt=b"")
    offer(hub, "ann/loud").commit({"a\x1b[2J\u202e.pth": b"", "b.pth": b""})
    told = refused("upscale", "a.png", "--model", address)
    assert told.startswith(f"{address}: ")
    assert said in told
    assert refused("upscale", "a.png", "--model", Path(address)) == told


def test_nothing_else_asks_the_hub(hub: Hub, tmp_path: Path):
    run("models")
    write_model(tmp_path / "m.safetensors")
    upscaled_with("m.safetensors")
    assert titled_models(["T=hf://ann/m", "hf://bob/n@v1"]) == {"T": "hf://ann/m", "n@v1": "hf://bob/n@v1"}
    assert short_names(["hf://ann/m", "hf://bob/m"]) == {"hf://ann/m": "ann/m", "hf://bob/m": "bob/m"}
    Path("hf:/ann").mkdir(parents=True)
    assert resolved(write_model(Path("hf:/ann/m"))) == Path("hf:/ann/m")  # a file of that name comes first
    assert hub.asked == []


def test_what_is_pushed_comes_back_the_same(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    file = models()["clean-x4"]
    assert run("push", "clean-x4", "me/small", "--license", "apache-2.0") == f"{hub.url}/me/small\n"
    sent = hub.repos["me/small"].revisions["main"]
    assert sent.keys() == {".gitattributes", "small.safetensors", "README.md"}
    assert sent["small.safetensors"] == file.read_bytes()
    lr = torch.rand(1, 3, 12, 14)
    there, back = load_generator(file), load_generator("hf://me/small")
    with torch.no_grad():
        assert torch.equal(there.model(lr), back.model(lr))
    assert back.sha256 == there.sha256
    assert sum(asked.startswith("POST /api/models/me/small/commit") for asked in hub.asked) == 1  # all or nothing

    _, front, body = sent["README.md"].decode().split("---\n", 2)
    assert yaml.safe_load(front) == {
        "library_name": "aesop-sr",
        "pipeline_tag": "image-to-image",
        "license": "apache-2.0",
        "tags": ["super-resolution", "image-to-image", "aesop", "x4", "rrdb"],
    }
    assert "| Architecture | RRDB, 453,955 parameters |" in body
    assert "aesop upscale PICTURE --model hf://me/small\n" in body
    recipe = body[body.index("```yaml\n") + 8 : body.rindex("```")]
    assert yaml.safe_load(recipe)["fidelity"]["iterations"] == read_metadata(file)["iteration"]
    # The card's lines on spandrel are what they say.
    lines = body[body.index("from huggingface_hub") : body.index("sr = model")]
    names: dict[str, Any] = {}
    exec(lines, names)
    assert isinstance(names["ModelLoader"](), ModelLoader)
    with torch.no_grad():
        assert torch.allclose(names["model"](lr).float(), there.model(lr).clamp(0, 1), atol=2e-3)


@pytest.mark.long
def test_the_library_s_own_settings_say_where_the_hub_is(hub: Hub, tmp_path: Path):
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
    script = """
from aesop.cli import app
app(["push", "clean-x4", "me/small"], standalone_mode=False)
app(["export", "hf://me/small", "--to", "safetensors"], standalone_mode=False)
"""
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | settings, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    written, shipped = read_state("small.safetensors"), read_state(models()["clean-x4"])
    assert all(torch.equal(written[key], shipped[key]) for key in shipped)
    assert (tmp_path / "home/hub/models--me--small").is_dir()


def test_the_card_tells_what_was_measured_and_hides_folders(hub: Hub, tmp_path: Path):
    recipe = {"name": "mine", "about": "a | b", "scale": 4, "fidelity": {"weights": "/home/somebody/x.pth"}}
    measured = {"psnr": 31.234, "ae_psnr": 33.1, "niqe": 5.123, "odd": "x"}
    record = {
        "recipe": recipe,
        "stage": "perceptual",
        "iteration": 7,
        "measured": measured,
        "versions": {"torch": "2.9"},
    }
    write_state(tmp_path / "m.safetensors", read_state(write_model(tmp_path / "n.safetensors")), record)
    card = run("push", "m.safetensors", "me/mine", "--dry-run")
    assert "| Measured on held-out pictures | PSNR 31.23 dB, AE-PSNR 33.10 dB, NIQE 5.12 |" in card
    assert r"| Recipe | mine (a \| b) |" in card
    assert "| Stage | perceptual, 7 iterations |" in card
    assert "| Licence | not stated |" in card
    assert "| Trained with | torch 2.9 |" in card
    assert "x.pth" in card
    assert "somebody" not in card
    assert hub.asked == []


def test_an_auto_encoder_is_pushed_with_a_card_of_its_own(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    run("push", "auto-encoder-x4", "me/ae", "--private")
    assert hub.repos["me/ae"].private
    assert 'AESOPLoss.pretrained("hf://me/ae")' in hub.repos["me/ae"].revisions["main"]["README.md"].decode()
    assert AutoEncoder.load("hf://me/ae").scale == 4


def test_without_a_token_nothing_is_sent(hub: Hub):
    assert "there is no token" in refused("push", "clean-x4", "me/small")
    assert hub.asked == []


def test_what_cannot_be_pushed_is_one_sentence(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    torch.save(read_state(write_model(tmp_path / "m.safetensors")), "m.pth")
    assert "aesop export m.pth --to safetensors" in refused("push", "m.pth", "me/m")
    assert "write OWNER/NAME" in refused("push", "m.safetensors", "m")
    assert "write OWNER/NAME" in refused("push", "m.safetensors", "me/m/x.pth")
    assert "write OWNER/NAME" in refused("push", "m.safetensors", "../..")
    assert "is not an identifier" in refused("push", "m.safetensors", "me/m", "--license", "a|b\n# hi")
    assert hub.asked == []
    hub.repos["me/open"] = Repo()
    hub.repos["me/open"].commit({})
    assert "exists and is public" in refused("push", "m.safetensors", "me/open", "--private")
    assert hub.repos["me/open"].revisions["main"] == {}
    monkeypatch.setenv("HF_TOKEN", "hf_reads")
    assert "log in with a token that may do it" in refused("push", "m.safetensors", "me/new")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    addresses.fetch.cache_clear()
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for command in (("upscale", "a.png", "--model", "hf://ann/m"), ("push", "clean-x4", "me/m")):
        with pytest.raises(MissingExtraError, match=r"aesop-sr\[hub\]"):
            run(*command)


def test_a_run_finds_the_fidelity_network_that_its_recipe_names(hub: Hub, tmp_path: Path):
    offer(hub, "ann/m", m__safetensors=write_model(tmp_path / "m.safetensors"))
    run_folder = Run(tmp_path / "run")
    run_folder.folder.mkdir()
    for weights, found in (
        ("hf://ann/m", resolved("hf://ann/m")),
        ("clean-x4", models()["clean-x4"]),
        ("hf://ann/gone", None),
        ("gone.pth", None),
    ):
        run_folder.recipe_file.write_text(yaml.safe_dump({"fidelity": {"weights": weights}}))
        assert run_folder.fidelity() == found
