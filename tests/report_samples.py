"""An evaluation and pictures for the tests of the report, and a reader of its page."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aesop.data.bicubic import resize
from aesop.evaluation.pictures import EvaluatedPicture
from aesop.evaluation.results import NO_GROUND_TRUTH, Evaluation, Failure, Note, Result
from aesop.reports.training import TrainingSection

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
VOID = {"meta", "img", "input", "br", "wbr"}


class Parsed(HTMLParser):
    """All elements with their attributes, and the text of scripts; checks that elements are nested correctly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self.open[-1:] != ["style"]:
            self.text += f"{data} "

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def plain(self) -> str:
        """The text with single spaces."""
        return " ".join(self.text.split())

    @property
    def data(self) -> dict[str, Any]:
        """The data that the page's scripts read."""
        return json.loads(self.scripts[0])


def evaluation(model: str = "net", picture: str = "p1") -> Evaluation:
    names = ["p0", picture, "p2", "p3", "p4"]

    def result(name: str, metric: str, values: list[float | None]) -> Result:
        return Result(name, "Set5", 4, metric, dict(zip(names, values, strict=True)))

    return Evaluation(
        ["bicubic", model],
        ["Set5", "RealSRSet"],
        ["psnr", "fid", "niqe"],
        [
            result("bicubic", "psnr", [24.0, 30.0, 26.0, 28.0, float("inf")]),
            result(model, "psnr", [25.0, None, 27.0, 29.5, 23.0]),
            Result("bicubic", "Set5", 4, "fid", dict.fromkeys(names), "no weights: <none>"),
            Result(model, "Set5", 4, "fid", dict.fromkeys(names), set_value=12.5, set_pictures=tuple(names)),
            result("bicubic", "niqe", [7.0, 7.1, 7.2, 7.3, 7.4]),
            result(model, "niqe", [5.0, 5.2, 5.1, 5.4, 5.3]),
            *(Result(m, "RealSRSet", 4, "psnr", {"a": None}, NO_GROUND_TRUTH) for m in ("bicubic", model)),
            *(Result(m, "RealSRSet", 4, "fid", {"a": None}, NO_GROUND_TRUTH) for m in ("bicubic", model)),
            *(Result(m, "RealSRSet", 4, "niqe", {"a": 6.0}) for m in ("bicubic", model)),
        ],
        [Failure("Set5", picture, model, "psnr", "broken & <b>bold</b>")],
        {"torch": "2.9"},
        [Note("Set5", picture, "is greyscale among colour")],
    )


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    """A random picture, which no compression makes smaller."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, height, width), np.uint8))


def evaluated(name: str, side: int = 32, scale: int = 4, model: str = "net", hr: bool = True) -> EvaluatedPicture:
    truth = noise(side, side)
    lr = resize(truth, 1 / scale)
    return EvaluatedPicture("Set5", name, scale, truth if hr else None, lr, {model: noise(side, side, 1)})


def log_of(*losses: str) -> list[dict[str, Any]]:
    """A stage's log of 30 iterations."""
    lines: list[dict[str, Any]] = [
        {"iteration": i, "kind": "loss", "seconds": float(i), **dict.fromkeys(losses, 9.0 / i)} for i in range(1, 31)
    ]
    measured = {"psnr": 27.0, "ae_psnr": 31.25, "fidelity_psnr": 30.25, "bottleneck_psnr": 45.678}
    return [*lines, {"iteration": 30, "kind": "validation", "seconds": 8.0, **measured}]


def training(model: str = "net", **options: Any) -> TrainingSection:
    terms = ("perceptual", "artifact", "adversarial", "discriminator")
    twins = {model: log_of("aesop", "pixel", *terms), "bicubic": log_of("pixel", *terms)}
    return TrainingSection(log_of("pixel"), log_of("lr", "hr"), twins, **options)


def decoded(parsed: Parsed) -> Iterator[tuple[str, Image.Image]]:
    for image in parsed.of("img"):
        assert image["src"].startswith("data:image/webp;base64,")
        data = base64.b64decode(image["src"].partition(",")[2], validate=True)
        yield image["alt"], Image.open(io.BytesIO(data))
