"""The public names, and what importing them costs."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import aesop


def test_only_public_names_are_listed():
    starred: dict[str, object] = {}
    exec("from aesop import *", starred)
    assert set(dir(aesop)) == starred.keys() - {"__builtins__"}
    assert not [name for name in dir(aesop) if inspect.ismodule(getattr(aesop, name))]
    with pytest.raises(AttributeError, match="no attribute 'Any'"):
        aesop.Any  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_editors_see_the_names_that_are_imported_on_use():
    """The block that type checkers read, and the one that runs."""
    tree = ast.parse(Path(aesop.__file__).read_text(encoding="utf-8"))
    seen = {(node.module, name.name, name.asname) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
            for name in node.names if name.asname}  # fmt: skip
    assert {name for _, _, name in seen} | {"__version__"} == set(dir(aesop))
    for module, name, public in seen:
        assert name == public
        assert getattr(importlib.import_module(str(module)), name) is getattr(aesop, name)


@pytest.mark.parametrize("name", dir(aesop))
def test_every_public_name_is_listed_and_documented(name: str):
    found = getattr(aesop, name)
    assert isinstance(found, str) or (found.__doc__ and found.__name__.endswith(name))


def test_importing_the_package_or_its_commands_loads_nothing_heavy():
    script = "import sys, aesop, aesop.cli; print({'torch', 'pydantic', 'numpy', 'pyvips'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "set()"


def test_no_two_public_classes_have_one_name():
    modules = [importlib.import_module(found.name) for found in pkgutil.walk_packages(aesop.__path__, "aesop.")
               if found.name != "aesop.__main__" and not found.name.startswith("aesop.plugins.")]  # fmt: skip
    homes = defaultdict(list)
    for module in modules:
        for name, found in vars(module).items():
            if inspect.isclass(found) and found.__module__ == module.__name__ and not name.startswith("_"):
                homes[name].append(module.__name__)
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


WITHOUT_TRAIN = """
import sys
for name in ("lightning_fabric", "tensorboard"):
    sys.modules[name] = None  # as if they were not installed
"""


def test_without_the_extra_train_all_else_works():
    script = f"""{WITHOUT_TRAIN}
import torch, aesop
sr = torch.rand(1, 3, 32, 32, requires_grad=True)
aesop.AESOPLoss.pretrained()(sr, torch.rand(1, 3, 32, 32)).backward()
print(aesop.load_generator("clean-x4").scale, len(aesop.recipe_names()) > 30, aesop.evaluate, aesop.report)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert said.stdout.startswith("4 True"), said.stderr


def test_training_names_the_extra_that_it_needs(tmp_path: Path):
    command = ["train", "laptop", "--data", ".", "--run", str(tmp_path / "r")]
    script = f"{WITHOUT_TRAIN}sys.argv[1:] = {command!r}\nfrom aesop.cli import main; main()"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.strip().endswith(
        "Training needs packages that are not installed; run: pip install 'aesop-sr[train]'"
    )
    assert len(said.stderr.splitlines()) == 1
    assert not (tmp_path / "r").exists()
