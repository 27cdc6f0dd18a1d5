"""The command line: help, examples and error messages."""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import aesop
from aesop.cli import app, main


def commands(group: Any, *names: str) -> dict[tuple[str, ...], Any]:
    """All commands and subcommands, by the words that call them."""
    found = {}
    for name, command in group.commands.items():
        nested = hasattr(command, "commands")
        found |= commands(command, *names, name) if nested else {(*names, name): command}
    return found


COMMANDS = commands(get_command(app))


def called(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["aesop", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    assert isinstance(left.value.code, int)
    return left.value.code


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_every_command_has_examples_that_parse(names: tuple[str, ...]):
    examples = [line for line in COMMANDS[names].epilog.splitlines() if line.startswith("  aesop ")]
    assert examples
    for example in examples:
        words = shlex.split(example)[1:]
        assert words[: len(names)] == [*names]
        parsed = COMMANDS[names].make_context(" ".join(names), words[len(names) :])
        assert parsed.params.get("recipe", "laptop") in aesop.recipe_names()


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_paths_that_may_not_be_read_are_left_to_the_functions(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.access", lambda *_: False)
    words = shlex.split(COMMANDS[names].epilog.splitlines()[-1])[1 + len(names) :]
    for option in COMMANDS[names].params:
        if re.search("DIR|FILE|RUN", option.metavar or "") and option.opts[0].startswith("--"):
            words += [option.opts[0], "path"]
    for word in words:
        Path(word).mkdir(parents=True, exist_ok=True)
    COMMANDS[names].make_context(" ".join(names), words)


@pytest.mark.parametrize("names", [(), ("analyze",), *COMMANDS], ids=" ".join)
def test_help_fits_and_shows_defaults_and_no_types_of_flags(
    names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("COLUMNS", "80")
    assert called(monkeypatch, *names, "--help") == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert not re.search("<(list|str|bool|path)", shown)
    if names not in COMMANDS:
        assert not re.search(r"^  .*\.\.\.$", shown, flags=re.MULTILINE)  # a summary that is cut ends in dots
    if "--device " in shown:
        assert "[default: auto]" in shown


@pytest.mark.parametrize(
    ("value", "said"),
    [("0", '`--processes` must be at least 1 (it is "0")'), ("a", '`--processes` must be a whole number (it is "a")')],
)
@pytest.mark.parametrize("command", [("evaluate",), ("analyze", "curves", "--output", "x.png")], ids=" ".join)
def test_an_impossible_value_is_one_sentence(
    command: tuple[str, ...],
    value: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    assert called(monkeypatch, *command, "bicubic", "--benchmark", "Set5", "--processes", value) == 2
    assert capsys.readouterr().err == f"aesop: {said}.\n"


def test_the_version_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert called(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"aesop {aesop.__version__}\n"


def test_names_that_are_too_long_are_refused_before_the_work(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for option in ("--json", "--csv", "--markdown", "--latex", "--report"):
        output = tmp_path / (251 * "a" + ".html")
        assert called(monkeypatch, "evaluate", "bicubic", "--benchmark", photos, option, output) == 2
        said = capsys.readouterr()
        assert said.err == f"aesop: {output}: the file name is too long; choose a shorter one.\n"
        assert said.out == ""


def test_an_error_of_the_system_that_nobody_expected_is_a_sentence(capsys: pytest.CaptureFixture[str]):
    def fails() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "some/file")

    with pytest.raises(SystemExit, match="2"):
        main(fails)
    assert capsys.readouterr().err == f"aesop: some/file: {os.strerror(errno.EIO)}.\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("labtop --data . --run run", "did you mean laptop"),
        ("laptop seeed=1 --data . --run run", "the nearest is `seed`"),
        ("laptop --data none --run run", "none"),
        ("laptop --hr . --run run", "--lr DIR"),
        ("laptop --data . --run run --device warp", "--device warp"),
    ],
)
def test_mistakes_of_a_training_are_one_sentence(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert called(monkeypatch, "train", *words.split()) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("aesop: ")
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_warnings_of_libraries_are_not_shown():
    script = """
import warnings, logging, subprocess, sys
from aesop.cli import main
def warns():
    import lightning_fabric
    warnings.warn("a library's warning")
    logging.getLogger("lightning_fabric").info("a tip")
    subprocess.run([sys.executable, "-c", "import warnings; warnings.warn('of a worker')"])
main(warns)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("", "")


def test_warnings_of_ones_own_modules_are_shown(tmp_path: Path):
    """Both at import and at run time."""
    (tmp_path / "mine.py").write_text("import warnings\nwarnings.warn('first')\ndef f(): warnings.warn('second')\n")
    script = """
import sys, warnings
from aesop.cli import main
from aesop.cli.options import import_modules
def warns():
    import_modules(["mine"])
    sys.modules["mine"].f()
    warnings.warn("a library's")
main(warns)
"""
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stderr
    assert re.findall(r"UserWarning: (.*)", said) == ["first", "second"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_options_recipes_and_models_without_torch(tmp_path: Path):
    command = tmp_path / "aesop"
    command.write_text(
        f"#!{sys.executable}\nimport atexit, sys\nfrom aesop.cli import main\n"
        "atexit.register(lambda: 'torch' in sys.modules and print('torch'))\nmain()\n"
    )
    command.chmod(0o755)
    lines = [
        "aesop ups",
        "aesop train lap",
        "aesop upscale a.png --model cl",
        "aesop analyze loss",
        "aesop upscale ./x",
    ]
    script = 'source <(aesop --show-completion bash)\ncomplete -p aesop | grep -o "default"\n' + "".join(
        f'COMP_WORDS=({line}) COMP_CWORD={len(line.split()) - 1}; _aesop_completion aesop; echo "${{COMPREPLY[@]}}"\n'
        for line in lines
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", script], env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert done.stderr == ""
    options, *completed = done.stdout.splitlines()
    assert options == "default"  # where nothing of ours begins so, files do
    recipes = " ".join(name for name in aesop.recipe_names() if name.startswith("lap"))
    assert completed == ["upscale", recipes, "clean-x4 clean-x4-aesop", "loss-maps loss-scales", ""]


def test_the_package_is_imported_in_no_time():
    script = "import time; start = time.process_time(); import aesop; print(time.process_time() - start)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.1
