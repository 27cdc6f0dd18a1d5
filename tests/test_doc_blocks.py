"""The documentation matches the code: every code block is run, or checked as far as possible here."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import tomllib
import torch
import yaml
from typer.main import get_command

from aesop.cli import app, main
from aesop.data.pictures import read_picture, write_picture
from aesop.networks.state_dicts import read_state
from aesop.run import Run
from aesop.training.recipe_files import load_recipe
from aesop.training.recipe_names import recipe_names
from helpers import synthetic_pictures
from tiny_training import TINY

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

#: How each document's blocks are checked, in order.
CHECKED = {
    "README.md": ["shell", "shell", "shell", "python", "shell"],
    "CONTRIBUTING.md": [],
    "analysis.md": ["synopsis", "python"],
    "evaluation.md": [
        "synopsis",
        "test_evaluate_folders.py",
        "python",
        "test_evaluate_output.py",
    ],
    "evidence.md": [],
    "extending.md": ["test_extending.py"] * 8,
    "gallery.md": [],
    "getting_started.md": ["shell", "shell", "shell", "python", "shell", "shell"],
    "index.md": [],
    "known_posterior.md": [],
    "loss.md": ["python"],
    "method.md": [],
    "plugins.md": [*["test_plugins.py"] * 4, *["test_plugin_hosts.py"] * 3],
    "scale.md": ["synopsis"],
    "systems.md": ["shell", "shell"],
    "training.md": ["synopsis", "recipe", "run folder", "python"],
    "upscaling.md": ["shell", "synopsis", "shell", "python", *["synopsis"] * 4],
}


def quotations() -> list[tuple[str, str]]:
    """Each line of code that docs/method.md quotes, with the file that it names."""
    text = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    return re.findall(r"^\|.*\| `([^`]+)` \| \[[^]]+\]\(\.\./([^)]+)\) \|$", text, flags=re.MULTILINE)


def test_every_equation_is_quoted():
    assert len(quotations()) >= 11


@pytest.mark.parametrize(("line", "file"), quotations())
def test_quoted_code_is_there(line: str, file: str):
    found = (ROOT / file).read_text(encoding="utf-8").splitlines()
    assert line in [one.split("  #")[0].strip().rstrip(",") for one in found]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path):
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8")):
        assert target.startswith("http") or (document.parent / target).exists(), target


def blocks(document: str) -> list[str]:
    path = next(path for path in DOCUMENTS if path.name == document)
    return re.findall(r"^```\w*\n(.*?)^```", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def of_kind(kind: str) -> list[Any]:
    """All blocks that are checked in this way."""
    return [
        pytest.param(block, id=f"{document}-{number}")
        for document, kinds in CHECKED.items()
        for number, (own, block) in enumerate(zip(kinds, blocks(document), strict=False))
        if own == kind
    ]


def lines_of(block: str) -> list[list[str]]:
    """The words of each command without comments; indented lines continue the previous one."""
    joined = re.sub(r"\n\s+(?![\s#])", " ", block)
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


def test_every_block_is_accounted_for():
    assert {path.name: len(blocks(path.name)) for path in DOCUMENTS} == {
        document: len(kinds) for document, kinds in CHECKED.items()
    }
    kinds = {"shell", "python", "synopsis", "recipe", "run folder"}
    for kind in {kind for kinds in CHECKED.values() for kind in kinds} - kinds:
        assert (ROOT / "tests" / kind).is_file()


def command_of(words: list[str]) -> Any:
    """The command that a line calls, and the number of words that name it."""
    found: Any = get_command(app)
    for number, word in enumerate(words[1:], 1):
        if not hasattr(found, "commands"):
            return found, number
        found = found.commands[word]
    return found, len(words)


@pytest.mark.parametrize("block", of_kind("synopsis"))
def test_synopses_name_options_that_there_are(block: str):
    for words in lines_of(block):
        command, _ = command_of(words)
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        named = set(re.findall(r"--[a-z-]+", " ".join(words)))
        assert named == options if words[1] in ("evaluate", "upscale") else named <= options, words


@pytest.mark.parametrize("block", of_kind("recipe"))
def test_recipes_load(block: str, tmp_path: Path):
    (tmp_path / "mine.yaml").write_text(block, encoding="utf-8")
    assert load_recipe(str(tmp_path / "mine.yaml")).name == yaml.safe_load(block)["name"]


def test_every_recipe_stands_in_the_table_of_systems():
    text = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
    assert [name for name in recipe_names() if f"`{name}`" not in text] == []


def test_what_ci_runs_stands_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [line.strip() for line in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()]
    (demo,) = [line for line in commands if line.startswith("make demo")]
    assert f"`{demo}`" in readme


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small files and folders under the names that the documents use."""
    folder = tmp_path_factory.mktemp("documents")
    for name, side in (("DIR", 48), ("photos", 24), ("Set5", 64), ("Set14", 64)):
        synthetic_pictures(folder / name, 2, side)
    for name in ("photo.png", "holiday.jpg"):
        write_picture(folder / name, read_picture(folder / "Set5/000.png"))
    return folder


def aesop(*words: str) -> int:
    """Call the command as a shell would; return its exit status."""
    before, sys.argv = sys.argv, ["aesop", *words]
    try:
        main()
    except SystemExit as left:
        return int(left.code or 0)
    finally:
        sys.argv = before
    return 0


def train_first(home: Path) -> None:
    """Run the README's first training at the smallest size, and copy its networks to the documents' other names."""
    if not (home / "runs/first").is_dir():
        assert aesop("train", "laptop", *TINY, "--data", "DIR", "--run", "runs/first", "--device", "cpu") == 0
        run = Run(home / "runs/first")
        shutil.copyfile(run.stage("autoencoder").network, home / "autoencoder.safetensors")
        shutil.copyfile(run.stage("perceptual").network, home / "model.safetensors")
        torch.save({"params": read_state(run.stage("perceptual").network)}, home / "model.pth")


@pytest.fixture
def inside(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(home)
    with contextlib.redirect_stdout(io.StringIO()):
        train_first(home)
    return home


@pytest.mark.long
@pytest.mark.parametrize("block", of_kind("shell"))
def test_commands_run(block: str, inside: Path):
    for words in lines_of(block):
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        elif words[0] == "pip":
            (extra,) = re.findall(r"\[(\w+)\]", words[-1])
            assert extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        elif words[1] == "train":  # `laptop` has run; the others are checked down to their last option and key
            command, number = command_of(words)
            given = command.make_context("train", words[number:]).params
            recipe = load_recipe(given["recipe"], given["overrides"] or [])
            assert recipe.name == words[2]
        elif words[1] == "ui":  # serves until it is stopped: test_ui.py does
            command, number = command_of(words)
            command.make_context("ui", words[number:])
        else:
            # Leaves out metrics whose weights would be downloaded.
            fewer = ("--metrics", "psnr,lr-psnr,ae-psnr") if words[1] == "evaluate" else ()
            assert aesop(*words[1:], *fewer) == 0, words
            for output in re.findall(r"--(?:output|report) (\S+)", " ".join(words)):
                assert (inside / output).exists()


@pytest.mark.long
@pytest.mark.parametrize("block", of_kind("python"))
def test_python_runs(block: str, inside: Path):
    names: dict[str, Any] = {
        "picture": inside / "photo.png", "run": inside / "runs/first", "figure": inside / "figure.pdf",
        "sr": torch.rand(1, 3, 32, 32, requires_grad=True), "hr": torch.rand(1, 3, 32, 32),
    }  # fmt: skip
    exec(block.replace(" + ...", ""), names)
    if "total" in names:
        names["total"].backward()
    assert "figure" not in block or (inside / "figure.pdf").stat().st_size


@pytest.mark.long
@pytest.mark.parametrize("block", of_kind("run folder"))
def test_a_run_folder_holds_what_is_listed(block: str, inside: Path):
    for line in block.splitlines():
        name, rest = line.split(maxsplit=1)
        path = inside / "runs/first" / name
        assert path.exists()
        if name.endswith("/"):
            for inner in re.findall(r"^[\w.]+|(?<=, )[\w.]+\w", re.sub(r" \(.*?\)", "", rest)):
                assert "." not in inner or (path / inner).exists(), inner
