"""The pictures of an evaluation, with what every model made of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from aesop.data.pictures import read_picture, to_planes
from aesop.errors import AesopError, DataError
from aesop.evaluation.results import Evaluation


@dataclass(frozen=True)
class EvaluatedPicture:
    """A picture and what the models made of it: uint8, (3, H, W); `sr` lacks the models that failed on it."""

    benchmark: str
    name: str
    scale: int
    hr: Tensor | None
    lr: Tensor
    sr: Mapping[str, Tensor]


def pictures(evaluation: Evaluation) -> Iterator[EvaluatedPicture]:
    """Read all pictures of an evaluation, one at a time; what cannot be read is left out.

    Raises AesopError where `evaluate` was called without `sr_folder`.
    """
    folder = evaluation.sr_folder
    if folder is None:
        raise AesopError("This evaluation kept no SR pictures; call `evaluate` with `sr_folder`.")
    for benchmark in evaluation.sets:
        for picture in benchmark.pictures:
            try:
                hr, lr = picture.read(benchmark.scale)
            except (AesopError, OSError, RuntimeError):  # a failure of the evaluation
                continue
            sr = {}
            for model in evaluation.models:
                try:
                    sr[model] = to_planes(read_picture(sr_path(folder, benchmark.name, model, picture.name)))
                except DataError:  # likewise
                    continue
            yield EvaluatedPicture(benchmark.name, picture.name, benchmark.scale, hr, lr, sr)


def sr_path(folder: Path, benchmark: str, model: str, picture: str) -> Path:
    """Where a model's SR picture stands: `folder/benchmark/model/picture.png`."""
    return folder.joinpath(*(f"./{part}".replace("/..", "/__") for part in (benchmark, model, f"{picture}.png")))
