"""Says what a file is that is not a model, and which network a state dictionary belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping

from spandrel import MAIN_REGISTRY
from torch import Tensor

#: The first bytes of files that people mistake for models.
_BEGINNINGS = {
    "a picture": (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"BM", b"II*\0", b"MM\0*"),
    "an ncnn model": b"7767517",
    "a Keras model (HDF5)": b"\x89HDF",
    "a Git LFS pointer, not the file that it points to": b"version https://git-lfs",
    "a web page, not the file that it offers": (b"<!DOCTYPE", b"<!doctype", b"<html"),
    "an XML file (such as an OpenVINO model)": b"<?xml",
}
#: How many bytes of a file `kind_of_file` looks at.
HEAD = 64
#: Names that only the VGG-style, the U-Net and CALGAN's discriminator have.
_DISCRIMINATORS = (
    {"conv0_0.weight", "linear2.weight"},
    {"conv0.weight", "conv1.weight_orig"},
    {"router.weight", "classifier.0.weight"},
)


def kind_of_file(head: bytes, suffix: str) -> str | None:
    """Say what a file is by its first bytes and its suffix; None if it may hold a state dictionary."""
    for kind, beginning in _BEGINNINGS.items():
        if head.startswith(beginning):
            return kind
    # Protobuf has no magic number: ONNX begins with its field 1, a version, and a field of bytes.
    if suffix.lower() == ".onnx" or re.match(rb"\x08[\x01-\x1f][\x12\x1a:]", head):
        return "an ONNX model"
    if suffix.lower() == ".param" or (suffix.lower() == ".bin" and not head.startswith((b"PK", b"\x80"))):
        return "an ncnn model"
    return None


def kind_of_archive(names: list[str]) -> str | None:
    """Say what a zip archive is by its entries; None if it is one of `torch.save`."""
    if any(name.endswith("/constants.pkl") for name in names):
        return "a TorchScript model"
    return None if any(name.endswith("/data.pkl") for name in names) else "a zip archive"


def kind_of_object(loaded: object) -> str:
    """Say what a torch file holds that is not a dictionary of tensors."""
    if isinstance(loaded, dict):
        training = any(key == "rng" or "optimizer" in str(key) for key in loaded)
        return "a training checkpoint without a network's parameters" if training else "a dictionary of other things"
    return "a single tensor" if isinstance(loaded, Tensor) else f"a Python {type(loaded).__name__}"


def kind_of_network(state: Mapping[str, Tensor]) -> str:
    """Name the network that parameters belong to, for a sentence: `an auto-encoder`, `a generator (DAT)`, ..."""
    keys = state.keys()
    encoder = "conv_first.0.weight" in keys or "encoder.conv_first.0.weight" in keys
    if encoder and any(key.startswith("decoder.") for key in keys):
        return "an auto-encoder"
    patchgan = "model.0.weight" in keys and state["model.0.weight"].shape[1:] == (3, 4, 4)
    if patchgan or any(marks <= keys for marks in _DISCRIMINATORS):
        return "a discriminator"
    if {"features.0.weight", "classifier.0.weight"} <= keys:
        return "an image classifier"
    known = MAIN_REGISTRY.architectures("detection")
    name = next((support.architecture.name for support in known if support.detect(dict(state))), None)
    return "a network of no known architecture" if name is None else f"a generator ({name})"
