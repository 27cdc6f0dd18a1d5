"""`aesop models --search` and `--get`, against a local server that answers like OpenModelDB."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from aesop.cli import app
from aesop.errors import AesopError, MissingExtraError
from helpers import write_model


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class Site(NamedTuple):
    """A folder that is served, and its list of models."""

    folder: Path
    url: str
    models: dict[str, Any]
    cache: Path

    def add(self, key: str, file: Path, **card: Any) -> None:
        """Offer a file as a model; `card` is added to the usual card."""
        data = file.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        kind = file.suffix[1:]
        offer = {"platform": "pytorch", "type": kind, "size": len(data), "sha256": digest}
        offer["urls"] = [f"{self.url}/{file.name}"]
        usual = {"name": key.partition("-")[2], "author": "Ann", "license": "CC-BY-4.0", "architecture": "compact"}
        self.models[key] = {**usual, "scale": 4, "tags": ["photo"], "description": "", "resources": [offer], **card}
        self.publish()

    def publish(self) -> None:
        """Publish the current list, as if an hour had passed."""
        (self.folder / "models.json").write_text(json.dumps(self.models))
        (self.cache / "models.json").unlink(missing_ok=True)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    client = pytest.importorskip("openmodeldb.client")
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(client, "API_URL", f"{url}/models.json")
        found = Site(folder, url, {}, tmp_path / "cache" / "openmodeldb")
        found.add("4x-Repeats", write_model(folder / "of-4x.safetensors"))
        yield found
        server.shutdown()


def run(*arguments: str) -> str:
    """Call a command; return its output, or raise its exception."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str) -> str:
    with pytest.raises(AesopError) as caught:
        run(*arguments)
    said = str(caught.value)
    assert said.isprintable()
    return said


def kept(site: Site) -> list[str]:
    return sorted(path.name for path in site.cache.glob("*") if path.name != "models.json" and path.suffix != ".meta")


def test_a_model_is_found_fetched_and_used_by_its_name(site: Site, tmp_path: Path):
    assert "4x-Repeats" not in run("models")
    (line,) = run("models", "--search", "repeats ANN").splitlines()
    assert line.split() == ["4x-Repeats", "x4", "compact", "0.0", "MB", "licence", "CC-BY-4.0,", "by", "Ann"]
    Image.new("RGB", (20, 18), (10, 90, 200)).save("a.png")
    assert "aesop models --get 4x-Repeats" in refused("upscale", "a.png", "--model", "4x-Repeats")
    assert kept(site) == []  # nothing is fetched unasked
    said = run("models", "--get", "4x-Repeats")
    assert said.index("licence CC-BY-4.0, by Ann") < said.index(str(site.cache / "4x-Repeats.safetensors"))
    assert kept(site) == ["4x-Repeats.md", "4x-Repeats.safetensors"]
    assert "licence CC-BY-4.0, by Ann; https://openmodeldb.info/models/4x-Repeats" in run("models")
    run("upscale", "a.png", "--model", "4x-Repeats", "--engine", "torch")
    assert np.array_equal(np.asarray(Image.open("upscaled/a.png")), np.full((72, 80, 3), (10, 90, 200), np.uint8))
    run("export", "4x-Repeats", "--to", "safetensors")
    assert Path("4x-Repeats.safetensors").is_file()


def test_what_is_there_is_not_fetched_again_unless_it_is_damaged(site: Site):
    run("models", "--get", "4X-REPEATS")
    file = site.cache / "4x-Repeats.safetensors"
    good = file.read_bytes()
    offered = site.folder / "of-4x.safetensors"
    hidden = offered.rename(site.folder / "hidden")
    run("models", "--get", "Repeats")
    file.write_bytes(good[:-1] + b"?")
    assert "nothing was fetched (HTTP error 404" in refused("models", "--get", "4x-Repeats")
    hidden.rename(offered)
    run("models", "--get", "4x-Repeats")
    assert file.read_bytes() == good


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sha256": "0" * 64}, "SHA-256 mismatch"),
        ({"sha256": None}, "states no SHA-256"),
        ({"sha256": ""}, "states no SHA-256"),
        ({"urls": ["file:///etc/passwd"]}, "only http/https"),
        ({"urls": ["http://127.0.0.1:9/a.pth\x1b]0;x\x07"]}, "nothing was fetched"),
        ({"urls": [7]}, "nothing was fetched"),
        ({"type": "onnx"}, "no .safetensors or .pth file"),
        ({"type": "../pth"}, "no .safetensors or .pth file"),
    ],
)
def test_nothing_is_kept_of_a_file_that_is_not_what_its_card_says(site: Site, change: dict[str, Any], said: str):
    site.models["4x-Repeats"]["resources"][0].update(change)
    site.publish()
    assert said in refused("models", "--get", "4x-Repeats")
    assert kept(site) == []


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"architecture": "srformer"}, "its architecture, srformer, cannot be read here"),
        ({"scale": 1}, "not an SR model"),
        ({"scale": "4\x1b[2J"}, "not an SR model"),
        ({"inputChannels": 1}, "not for RGB"),
        ({"resources": []}, "no .safetensors or .pth file"),
    ],
)
def test_what_cannot_be_used_here_is_left_out_and_says_why(site: Site, card: dict[str, Any], said: str):
    site.add("4x-Other", site.folder / "of-4x.safetensors", **card)
    assert "4x-Other" not in run("models", "--search", "")
    assert "1 more cannot be used here" in run("models", "--search", "other")
    assert said in refused("models", "--get", "4x-Other")


def test_a_file_that_would_run_code_is_not_kept(site: Site, tmp_path: Path):
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"params": Evil()}, site.folder / "evil.pth")
    site.add("4x-Evil", site.folder / "evil.pth")
    assert refused("models", "--get", "4x-Evil").startswith("4x-Evil: holds Python objects")
    assert not (tmp_path / "ran").exists()
    assert kept(site) == []


def test_hostile_names_reach_neither_the_disk_nor_the_terminal(site: Site, tmp_path: Path):
    file = site.folder / "of-4x.safetensors"
    for name in ("../x", "..", "/etc/x", "a/b", "4x-\u202egnp", ".hidden"):
        site.add(name, file)
    site.add("4x-Loud", file, name="L\x1b[2Joud\r\n", author=["A\x07nn", "B\u202eob"], license="MIT\x1b]0;x\x07\nfree")
    before = sorted(tmp_path.rglob("*"))
    listed = run("models", "--search", "")
    assert [line.split()[0] for line in listed.splitlines()] == ["4x-Loud", "4x-Repeats"]
    assert all(line.isprintable() for line in listed.splitlines())
    assert "has no model '../x'" in refused("models", "--get", "../x")
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before and "cache" not in path.parts] == []
    assert "licence MIT]0;x free, by Ann, Bob;" in run("models", "--get", "4x-Loud")


def test_a_title_that_several_have_is_refused(site: Site):
    site.add("2x-Repeats", site.folder / "of-4x.safetensors", scale=2)
    assert "4x-Repeats, 2x-Repeats; name one" in refused("models", "--get", "repeats")
    assert [line.split()[0] for line in run("models", "--search", "", "--scale", "2").splitlines()] == ["2x-Repeats"]


def test_without_network_or_with_a_damaged_list_it_is_one_sentence(site: Site, monkeypatch: pytest.MonkeyPatch):
    for content in (b"<html>", b"[]", b'{"a": 3}', b'{"a": {"tags": null}}', b"\xff"):
        (site.cache / "models.json").unlink(missing_ok=True)
        (site.folder / "models.json").write_bytes(content)
        assert "OpenModelDB" in refused("models", "--search", "x")
    (site.cache / "models.json").unlink(missing_ok=True)
    monkeypatch.setattr("openmodeldb.client.API_URL", "http://127.0.0.1:9/models.json")
    assert "OpenModelDB cannot be reached" in refused("models", "--get", "4x-Repeats")
    assert "clean-x4" in run("models")


def test_options_that_do_not_go_together_are_refused():
    assert "leave out --search" in refused("models", "--get", "a", "--search", "b")
    assert "needs `--search TEXT`" in refused("models", "--scale", "2")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "openmodeldb", None)
    with pytest.raises(MissingExtraError, match=r"aesop-sr\[openmodeldb\]"):
        run("models", "--search", "x")
