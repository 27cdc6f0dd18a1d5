"""Damaged, forged or foreign model files give a one-sentence error: no traceback, hang or huge allocation."""

from __future__ import annotations

import os
import pickle
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from spandrel.architectures.Compact import Compact
from torch import nn

from aesop import AutoEncoder, load_generator
from aesop.data.pictures import write_picture
from aesop.errors import ModelError
from aesop.networks.features import VGG19Features
from aesop.networks.rrdb import RRDBNet
from aesop.networks.state_dicts import read_state, write_state
from helpers import memory_grows_by_at_most, synthetic_picture

STATE = RRDBNet(4, features=4, blocks=1, growth=4).state_dict()
RECIPE = {"scale": 4, "generator": {"type": "rrdb", "features": 4, "blocks": 1, "growth": 4}}

WRITERS: dict[str, Callable[[Path], object]] = {
    "legacy.pth": lambda path: torch.save({"params": STATE}, path, _use_new_zipfile_serialization=False),
    "zip.pth": lambda path: torch.save({"params": STATE}, path),
    "ours.safetensors": lambda path: write_state(path, STATE, {"stage": "fidelity", "recipe": RECIPE}),
}


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Damage a file's content in one of six ways, most often near its beginning or end, where its structure is."""
    reach = rng.choice((64, 1024, len(content)))
    at = rng.randrange(min(reach, len(content)))
    at = len(content) - 1 - at if rng.random() < 0.3 else at
    length = rng.choice((1, 2, 4, 8, 64))
    noise = rng.choice((rng.randbytes(length), b"\xff" * length, b"\0" * length))
    return rng.choice(
        (
            content[:at],
            content[:at] + content[at + length :],
            content[:at] + noise + content[at:],
            content[:at] + noise + content[at + length :],
            content[:at] + content[max(0, at - length) : at] * 3 + content[at:],
            content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :],
        )
    )


@pytest.mark.parametrize(
    ("first", "last"), [(0, 40), pytest.param(40, 200, marks=pytest.mark.long)], ids=["some", "many"]
)
@pytest.mark.parametrize("name", WRITERS)
def test_damaged_files_are_refused_or_load(tmp_path: Path, name: str, first: int, last: int):
    path = tmp_path / name
    WRITERS[name](path)
    content = path.read_bytes()
    started, refused = time.monotonic(), 0
    with memory_grows_by_at_most(500):
        for seed in range(first, last):
            path.write_bytes(mutated(content, random.Random(seed)))
            said = ""
            try:
                load_generator(path)
            except ModelError as error:
                said = str(error)
                refused += 1
            assert not said or name in said, seed
            assert "\n" not in said, seed
    assert refused > (last - first) / 4
    assert time.monotonic() - started < (last - first)


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, ("harm",))


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pth").write_bytes(pickle.dumps(Malicious(), protocol=2))
    with pytest.raises(ModelError, match=r"model\.pth: holds Python objects, which might run code"):
        read_state(tmp_path / "model.pth")
    assert not (tmp_path / "harm").exists()


def save(value: object) -> Callable[[Path], object]:
    return lambda path: torch.save(value, path)


KINDS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "net.onnx": ("is an ONNX model", lambda path: path.write_bytes(b"anything")),
    "renamed.pth": ("is an ONNX model", lambda path: path.write_bytes(b"\x08\x07\x12\x07pytorch\x1a\x05" + bytes(90))),
    "script.pth": (
        "is a TorchScript model", lambda path: torch.jit.save(torch.jit.script(nn.Conv2d(3, 3, 1)), str(path)),
    ),
    "net.param": ("is an ncnn model", lambda path: path.write_bytes(b"7767517\n10 10\n")),
    "net.bin": ("is an ncnn model", lambda path: path.write_bytes(bytes(200))),
    "checkpoint.pt": ("is a training checkpoint", save({"iteration": 3, "state": {}, "rng": torch.get_rng_state()})),
    "basicsr.state": (
        "is a training checkpoint without a network's parameters; .* of parameters is expected here",
        save({"epoch": 1, "iter": 9, "optimizers": [torch.optim.Adam([torch.ones(1)]).state_dict()], "schedulers": []}),
    ),
    "tensor.pth": ("is a single tensor; .* of parameters is expected here", save(torch.ones(2))),
    "list.pth": ("is a Python list; .* of parameters is expected here", save([torch.ones(2)])),
    "settings.pth": ("is a dictionary of other things; .* of parameters is expected here", save({"scale": 4})),
    300 * "n": ("file name is too long", lambda path: None),
    "photo.png": ("is a picture", lambda path: write_picture(path, synthetic_picture(8, 8, 0))),
    "page.pth": ("is a web page", lambda path: path.write_text("<!DOCTYPE html><html></html>")),
    "lfs.safetensors": ("is a Git LFS pointer", lambda path: path.write_text("version https://git-lfs.github.com")),
    "folder.pth": ("is not a run folder", Path.mkdir),
    "dangling.pth": ("no such model file", lambda path: path.symlink_to("nowhere")),
    "empty.pth": ("is damaged", Path.touch),
    "nothing.pth": ("holds no parameters", save({})),
    "other.pth": ("is a network of no known architecture; a generator is expected here", save({"a": torch.ones(1)})),
    "ints.pth": (
        "is quantised .conv_first.weight is int8.; get it in floating point",
        save({key: value.to(torch.int8) for key, value in STATE.items()}),
    ),
    "endless.pth": ("is damaged", save(STATE | {"body.90000000.rdb1.conv1.weight": torch.ones(1)})),
    "expanded.pth": ("is damaged", save({"conv.weight": torch.ones(1).expand(100_000, 100_000)})),
    "gap.pth": ("do not fit", save(STATE | {"body.300.rdb1.conv1.weight": torch.ones(1)})),
    "flat.pth": ("do not fit", save(STATE | {"conv_first.weight": torch.ones(3)})),
    "short.pth": ("do not fit", save({key: STATE[key] for key in STATE if key != "conv_hr.weight"})),
    "grey.pth": (
        "does not upscale RGB pictures",
        save(Compact(num_in_ch=1, num_out_ch=1, num_feat=4, num_conv=1, upscale=2).state_dict()),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_file_of_another_kind_is_told_what_it_is(tmp_path: Path, name: str):
    message, make = KINDS[name]
    make(tmp_path / name)
    with pytest.raises(ModelError, match=rf"{name}:? .*{message}|{name}:? {message}") as caught:
        load_generator(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_the_parameters_in_a_training_checkpoint_are_found(tmp_path: Path):
    optimizer = torch.optim.Adam([torch.ones(1)]).state_dict()
    torch.save({"epoch": 1, "model_state_dict": STATE, "optimizer_state_dict": optimizer}, tmp_path / "last.pt")
    assert load_generator(tmp_path / "last.pt").architecture == "RRDB"


def test_networks_of_another_kind_are_told_what_they_are(tmp_path: Path):
    with pytest.raises(ModelError, match="is not a run folder"):
        AutoEncoder.load(tmp_path)
    with pytest.raises(ModelError, match="file name is too long"):
        AutoEncoder.load(tmp_path / (300 * "n"))
    torch.save(STATE, tmp_path / "generator.pth")
    with pytest.raises(ModelError, match=r"generator\.pth is a generator \(ESRGAN\); an auto-encoder is expected here"):
        AutoEncoder.load(tmp_path / "generator.pth")
    with pytest.raises(ModelError, match=r"generator\.pth is a generator .*; torchvision's VGG19 .* is expected here"):
        VGG19Features(["conv1_1"], str(tmp_path / "generator.pth"))
    autoencoder = AutoEncoder(RRDBNet(4, 4, 1, 4), 4, 4, 4, 1)
    write_state(tmp_path / "ae.safetensors", autoencoder.state_dict(), {})
    with pytest.raises(ModelError, match=r"ae\.safetensors is an auto-encoder; a generator is expected here"):
        load_generator(tmp_path / "ae.safetensors")


def test_safetensors_are_known_by_their_content(tmp_path: Path):
    WRITERS["ours.safetensors"](tmp_path / "renamed.pth")
    assert load_generator(str(tmp_path / "renamed.pth")).architecture == "RRDB"
